//! Who may pass: one judgement, by the identity of today, with a message for each rule; and it ends nothing.

use std::time::Duration;

use futures_util::StreamExt;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    eventually::{eventually, in_time},
    idp::{Endpoint, Offline, user},
    logs::lines_with,
    visitor::{Reply, Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);

/// The provider says this of its user's e-mail address from now on.
fn vouch(world: &World, verified: bool) {
    world.idp.edit_id_token(move |claims| claims["email_verified"] = json!(verified));
    world.idp.edit_userinfo(move |claims| claims["email_verified"] = json!(verified));
}

fn told(reply: &Reply) -> (StatusCode, Value) {
    (reply.status, reply.json()["reason"].clone())
}

/// What becomes of the login of somebody with these claims.
async fn login_of(world: &World, claims: &Value) -> (Visitor, Reply) {
    let visitor = Visitor::of(world.address(), claims.clone());
    let callback = world.idp.authorize_as(claims, &visitor.get("/").await.location()).await;
    let reply = visitor.get(&path_of(&callback)).await;
    (visitor, reply)
}

#[tokio::test]
async fn a_rule_never_ends_a_grant() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_email_domain", "example.com").start().await;
        let visitor = world.signed_in().await;
        assert!(visitor.get("/").await.is_upstreams());
        let served = world.upstream.requests().len();
        vouch(&world, false);
        world.clock.advance(EXPIRED);
        let page = visitor.get("/").await;
        assert_eq!((page.status, page.header("evergate-response")), (StatusCode::FORBIDDEN, "access_denied"));
        assert!(page.text().contains("has not verified your e-mail address"), "{}", page.text());
        for path in ["/", "/oauth2/userinfo"] {
            assert_eq!(told(&visitor.fetch(path).await), (StatusCode::FORBIDDEN, json!("email_not_verified")), "{path}");
        }
        assert_eq!(world.upstream.requests().len(), served, "nothing is told to the app in the meantime");
        vouch(&world, true);
        world.clock.advance(EXPIRED);
        assert!(visitor.fetch("/").await.is_upstreams(), "the grant was renewed all the while");
        assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"));
        world.idp.edit_userinfo(|claims| claims["email"] = json!("ann@other.example"));
        world.clock.advance(EXPIRED);
        assert_eq!(told(&visitor.fetch("/").await), (StatusCode::FORBIDDEN, json!("email_domain")));
        world.idp.edit_userinfo(|_| {});
        world.clock.advance(EXPIRED);
        assert!(visitor.fetch("/").await.is_upstreams());
        assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.revoked().len(), world.idp.passes()), (4, 0, 1));
    }
}

#[tokio::test]
async fn an_address_that_nobody_vouches_for_is_told_to_the_app_only_where_that_is_configured() {
    let world = World::build().set("oidc_ignore_email_verified", "true").start().await;
    vouch(&world, false);
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"));
}

#[tokio::test]
async fn each_denial_has_a_message_of_its_own() {
    let world = World::build().set("oidc_email_domain", "example.com").set("oidc_allowed_groups", "staff").start().await;
    let mut texts = Vec::new();
    for (member, value, words) in [
        ("email_verified", json!(false), "has not verified your e-mail address"),
        ("email", json!("eve@evil.example"), "e-mail address is not one that may use"),
        ("groups", json!(["guests"]), "in none of the groups"),
    ] {
        let mut claims = user("eve");
        claims[member] = value;
        let (_, page) = login_of(&world, &claims).await;
        assert_eq!((page.status, page.header("evergate-response")), (StatusCode::FORBIDDEN, "access_denied"), "{member}");
        let text = page.text();
        assert!(text.contains(words) && text.contains("/oauth2/start"), "{member}: {text}");
        let account = claims["email"].as_str().unwrap();
        assert!(text.contains(&format!("The sign-in service knows you as {account}")), "{member}: {text}");
        let rest = text.replace(account, "");
        assert!(!rest.contains("example.com") && !rest.contains("staff"), "what would be allowed is nobody's business: {text}");
        texts.push(text);
    }
    let visitor = world.signed_in().await;
    let evil = [("origin", "https://evil.app.test"), ("sec-fetch-site", "same-site"), ("accept", "text/html")];
    let page = visitor.send(Method::POST, "/transfer", &evil, "all=1").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text().contains("another site") && !page.text().contains("account"), "{}", page.text());
    assert!(!page.text().contains("/oauth2/start"), "another login would not help");
    let script = visitor.send(Method::POST, "/transfer", &evil[..2], "").await;
    assert_eq!(told(&script), (StatusCode::FORBIDDEN, json!("cross_origin")));
}

#[tokio::test]
async fn a_refused_request_of_another_site_is_logged_with_its_origin_its_path_and_the_setting() {
    let world = World::build().set("allowed_origins", "https://friend.example").start().await;
    let visitor = world.signed_in().await;
    let path = format!("/transfer-{}", world.address().port());
    let evil = [("origin", "https://evil.app.test"), ("sec-fetch-site", "same-site")];
    visitor.send(Method::POST, &path, &evil, "").await;
    let lines = lines_with(&["CODER_ALLOWED_ORIGINS", &path, "https://evil.app.test", "https://friend.example"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_denied_login_is_in_the_history_with_the_rule_and_its_user_and_nobody_else_s() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_allowed_groups", "staff").start().await;
        for name in ["eve", "bob"] {
            let mut claims = user(name);
            claims["groups"] = json!(["guests"]);
            let (visitor, reply) = login_of(&world, &claims).await;
            assert_eq!((reply.status, visitor.session()), (StatusCode::FORBIDDEN, None));
        }
        eventually("the denial is written", async || {
            let (code, text) = world.command(&["sessions", "show", "eve@example.com", "--json"]).await;
            let Ok(all) = serde_json::from_str::<Value>(&text) else { return false };
            let events: Vec<_> = all["events"]
                .as_array()
                .unwrap()
                .iter()
                // The refresh token that it brought is revoked, sooner or later.
                .filter(|event| event["kind"] != "revocation")
                .map(|event| ["user", "kind", "outcome", "reason"].map(|member| event[member].as_str().unwrap().to_owned()))
                .collect();
            code == 0 && events == [["sub-eve", "login", "denied", "group"].map(str::to_owned)]
        })
        .await;
        let (_, why) = world.command(&["sessions", "why", "eve@example.com"]).await;
        assert!(
            why.contains("a login was denied: the user is in none of the groups that it takes; groups: guests")
                && !why.contains("The last login"),
            "{why}"
        );
        assert!(lines_with(&["guests"]).is_empty(), "the log names neither groups nor people");
    }
}

#[tokio::test]
async fn a_session_that_goes_on_silently_is_judged_by_its_requests() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,offline_access")]).await;
    let visitor = visitor.at(world.address());
    let session = visitor.session();
    vouch(&world, false);
    assert_eq!(visitor.browse(&world.idp, "/").await.status, StatusCode::FORBIDDEN);
    vouch(&world, true);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams(), "the new grant is renewed, and its user let in again");
    assert_eq!((visitor.session(), world.idp.passes()), (session, 2));
}

#[tokio::test]
async fn userinfo_is_answered_for_whom_the_app_s_pages_are_and_refused_for_the_same_reason() {
    let world = World::build().set("oidc_allowed_groups", "staff").start().await;
    let visitor = world.signed_in().await;
    world.clock.advance(EXPIRED);
    let renewed = visitor.fetch("/oauth2/userinfo").await;
    assert_eq!(
        (renewed.status, &renewed.json()["renewals"]),
        (StatusCode::OK, &json!(1)),
        "a token that expired is renewed for it"
    );
    world.idp.edit_userinfo(|claims| claims["groups"] = json!(["guests"]));
    world.clock.advance(EXPIRED);
    assert_eq!(told(&visitor.fetch("/").await), (StatusCode::FORBIDDEN, json!("group")));
    assert_eq!(told(&visitor.fetch("/oauth2/userinfo").await), (StatusCode::FORBIDDEN, json!("group")));
    world.idp.edit_userinfo(|_| {});
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    for first in ["/oauth2/userinfo", "/"] {
        assert_eq!(told(&visitor.fetch(first).await), (StatusCode::UNAUTHORIZED, json!("grant_dead")), "{first}");
    }
    assert_eq!(visitor.get("/oauth2/userinfo").await.status, StatusCode::UNAUTHORIZED, "it sends nobody to log in");
}

#[tokio::test]
async fn asking_userinfo_is_no_use_of_a_session() {
    // No sweep takes it away before a request meets its limit.
    let build = World::build().timed(|timings| timings.housekeeping_interval = Duration::from_secs(3600));
    let world = build.set("session_duration", "10m").start().await;
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        world.clock.advance(EXPIRED);
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.status, StatusCode::OK);
    }
    world.clock.advance(EXPIRED);
    assert_eq!(told(&visitor.fetch("/").await), (StatusCode::UNAUTHORIZED, json!("session_expired")));
}

#[tokio::test]
async fn a_websocket_of_somebody_who_may_not_enter_any_more_is_closed() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    vouch(&world, false);
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::FORBIDDEN);
    let ended = async {
        while let Some(Ok(message)) = socket.next().await {
            drop(message)
        }
    };
    in_time("the socket is closed", ended).await;
}

#[tokio::test]
async fn whoever_is_disabled_shortly_after_their_login_is_told_that_they_may_not_enter() {
    let world = World::build().start_with(|idp| idp.access_tokens_live(Some(json!(8)))).await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(9));
    let page = visitor.get("/").await;
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::FORBIDDEN, "access_withdrawn"));
    assert!(page.text().contains("withdrawn your access") && page.text().contains("/oauth2/start"), "{}", page.text());
    assert_eq!(told(&visitor.fetch("/").await), (StatusCode::UNAUTHORIZED, json!("grant_dead")));
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(visitor.get("/").await.status, StatusCode::SEE_OTHER, "later they go through the provider, as anybody");
}

/// Goes to a page and through the provider, once; the page's answer if it did not send the browser there.
async fn round(world: &World, visitor: &Visitor) -> Option<Reply> {
    let reply = visitor.get("/").await;
    if reply.status != StatusCode::SEE_OTHER {
        return Some(reply);
    }
    visitor.get(&path_of(&world.idp.authorize(&reply.location()).await)).await.location();
    None
}

#[tokio::test]
async fn only_rounds_that_nobody_s_click_began_are_told_as_a_sign_in_that_does_not_last() {
    for (pause, goes_round) in [(5, true), (15, false)] {
        let world = World::build()
            .start_with(|idp| {
                idp.give_refresh_tokens(Offline::Never);
                idp.access_tokens_live(Some(json!(4)));
            })
            .await;
        let visitor = world.signed_in().await;
        let mut told = None;
        for _ in 0..8 {
            world.clock.advance(Duration::from_secs(pause));
            told = round(&world, &visitor).await;
            if told.is_some() {
                break;
            }
        }
        assert_eq!(told.is_some(), goes_round, "{pause} s");
        if let Some(told) = told {
            assert_eq!((told.status, told.header("evergate-response")), (StatusCode::BAD_GATEWAY, "sign_in_does_not_last"));
            assert!(world.idp.passes() <= 4, "{} rounds", world.idp.passes());
        }
    }
}

#[tokio::test]
async fn a_provider_that_ends_each_grant_at_once_is_not_gone_round_in_circles() {
    let world = World::build().start_with(|idp| idp.access_tokens_live(Some(json!(4)))).await;
    let visitor = world.signed_in().await;
    for _ in 0..3 {
        world.idp.kill_grants();
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(visitor.get("/").await.status, StatusCode::FORBIDDEN);
        let again = world.idp.authorize(&visitor.get("/oauth2/start").await.location()).await;
        visitor.get(&path_of(&again)).await.location();
    }
}

#[tokio::test]
async fn another_account_is_asked_for_by_the_button_that_says_so() {
    for (prompts, expected) in [(json!(["none", "login", "select_account"]), "select_account"), (Value::Null, "login")] {
        let metadata = json!({"prompt_values_supported": prompts});
        let world = World::build().set("oidc_allowed_groups", "admins").start_with(|idp| idp.set_metadata(metadata)).await;
        let (visitor, page) = login_of(&world, &user("ann")).await;
        assert!(page.text().contains("https://app.test/oauth2/start?another=true"), "{}", page.text());
        let request = visitor.get("/oauth2/start?another=true").await.location();
        assert!(request.query_pairs().any(|(name, value)| name == "prompt" && value == expected), "{request}");
    }
}

#[tokio::test]
async fn groups_can_be_a_path_into_a_claim() {
    let world = World::build().set("oidc_group_field", "realm_access.roles").set("oidc_allowed_groups", "admins").start().await;
    let mut claims = user("ann");
    claims["realm_access"] = json!({"roles": ["admins", "ops"]});
    world.idp.log_in_as(claims);
    assert!(world.signed_in().await.get("/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-groups"), Some("admins,ops"));
}
