//! The silent return: a session goes on with a new grant, and its user sees nothing of it.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use url::Url;

use crate::harness::{
    Kind, World,
    idp::{Endpoint, Idp, Misbehaviour, Offline, user},
    logs::lines_with,
    visitor::path_of,
};

const EXPIRED: Duration = Duration::from_secs(301);
const FRAME: [(&str, &str); 3] = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];

fn parameter(request: &Url, name: &str) -> Option<String> {
    request.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn prompt(request: &Url) -> Option<String> {
    parameter(request, "prompt")
}

/// The same answer with another issuer, or none.
fn naming(answer: &Url, issuer: Option<&str>) -> String {
    let mut changed = answer.clone();
    let pairs: Vec<_> = answer.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    changed.query_pairs_mut().clear().extend_pairs(pairs).extend_pairs(issuer.map(|issuer| ("iss", issuer)));
    path_of(&changed)
}

#[tokio::test]
async fn when_offline_access_is_added_every_user_has_a_refresh_token_after_their_next_page_view() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], false);
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
    let (visitor, session) = (visitor.at(world.address()), visitor.session());
    assert!(visitor.fetch("/").await.is_upstreams(), "a script is served on");
    assert!(visitor.send(Method::GET, "/", &FRAME, "").await.is_upstreams(), "a frame too");
    assert!(visitor.send(Method::HEAD, "/", &[("accept", "text/html")], "").await.is_upstreams(), "and whoever only asks");
    let request = visitor.get("/page?a=b").await.location();
    assert_eq!(prompt(&request).as_deref(), Some("none"));
    let back = visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
    assert_eq!(back.as_str(), "https://app.test/page?a=b");
    assert!(visitor.get("/page?a=b").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], true);
    assert_eq!(visitor.session(), session, "the session is the same, so that nothing under way is refused");
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2));
}

#[tokio::test]
async fn a_living_session_whose_user_the_provider_has_forgotten_goes_on_as_it_is() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,offline_access")]).await;
    let visitor = visitor.at(world.address());
    world.idp.forget_browsers();
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2), "nobody was asked anything");
    for _ in 0..3 {
        assert!(visitor.get("/").await.is_upstreams(), "and is not sent there again at each page view");
    }
}

#[tokio::test]
async fn where_a_new_scope_needs_consent_its_user_is_asked_for_it_once() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,offline_access")]).await;
    let visitor = visitor.at(world.address());
    world.idp.want_consent(true);
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!((world.idp.prompts(), world.idp.passes()), (2, 3));
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], true);
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn a_dead_grant_is_replaced_without_a_word_where_the_provider_knows_its_user() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let session = visitor.session();
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "a script is told");
    assert_eq!(visitor.send(Method::GET, "/", &FRAME, "").await.status, StatusCode::UNAUTHORIZED, "a frame is told");
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2));
    assert_eq!(visitor.session(), session);
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams(), "the new grant is renewed as the old one was");
}

#[tokio::test]
async fn a_dead_grant_whose_user_the_provider_has_forgotten_leads_to_a_login() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.idp.forget_browsers();
    world.clock.advance(EXPIRED);
    assert!(visitor.browse(&world.idp, "/deep?x=1").await.is_upstreams());
    assert_eq!(world.upstream.last().target, "/deep?x=1");
    assert_eq!((world.idp.prompts(), world.idp.passes()), (2, 3), "asked silently first, then as a login");
}

#[tokio::test]
async fn a_provider_that_answers_nothing_silently_is_asked_for_a_login_at_once() {
    let metadata = json!({"prompt_values_supported": ["login", "consent"]});
    let world = World::build().start_with(|idp| idp.set_metadata(metadata)).await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(prompt(&visitor.get("/").await.location()), None);
}

#[tokio::test]
async fn a_browser_that_came_back_from_the_provider_by_hand_is_not_sent_silently_again() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(prompt(&visitor.get("/").await.location()).as_deref(), Some("none"));
    assert_eq!(prompt(&visitor.get("/").await.location()), None, "the provider may have shown an error of its own");
}

#[tokio::test]
async fn a_grant_that_ends_as_soon_as_it_is_obtained_is_told_and_not_followed_in_circles() {
    let world = World::build()
        .start_with(|idp| {
            idp.give_refresh_tokens(Offline::Never);
            idp.access_tokens_live(Some(json!(1)));
        })
        .await;
    let visitor = world.signed_in().await;
    world.clock.advance(Duration::from_secs(2));
    let told = visitor.get("/").await;
    assert_eq!((told.status, told.header("evergate-response")), (StatusCode::BAD_GATEWAY, "sign_in_does_not_last"));
    assert!(told.text().contains("/oauth2/start"), "a person may try again");
}

#[tokio::test]
async fn somebody_else_s_login_at_the_provider_takes_no_living_session_over() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,offline_access")]).await;
    let visitor = visitor.at(world.address());
    world.idp.log_in_as(user("bob"));
    let bob = world.visitor();
    bob.log_in(&world.idp, "/").await;
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"));
    // Once the session has nothing left, whoever is at the browser logs in, with a session of their own.
    let session = visitor.session();
    world.clock.advance(Duration::from_secs(700));
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-bob"));
    assert_ne!(visitor.session(), session);
}

#[tokio::test]
async fn whoever_logs_in_by_the_form_that_a_provider_shows_to_a_silent_attempt_is_served_as_themselves() {
    for (who, goes_on) in [("ann", true), ("bob", false)] {
        let scopes = "openid,profile,email,offline_access";
        let mut world = World::build().set("oidc_preset", "dex").set("oidc_scopes", scopes).start().await;
        let (visitor, session) = {
            let visitor = world.signed_in().await;
            let session = visitor.session();
            (visitor, session)
        };
        world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,files")]).await;
        let visitor = visitor.at(world.address());
        world.idp.log_in_as(user(who));
        world.idp.forget_browsers();
        let request = visitor.get("/").await.location();
        assert_eq!(prompt(&request), None, "Dex shows its form");
        assert!(visitor.browse(&world.idp, &path_of(&world.idp.authorize(&request).await)).await.is_upstreams());
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some(format!("sub-{who}").as_str()));
        assert_eq!(visitor.session() == session, goes_on, "{who}");
    }
}

#[tokio::test]
async fn whoever_declines_at_the_form_that_a_provider_shows_to_a_silent_attempt_is_not_asked_again() {
    let scopes = "openid,profile,email,offline_access";
    let mut world = World::build().set("oidc_preset", "dex").set("oidc_scopes", scopes).start().await;
    let visitor = world.signed_in().await;
    world.idp.access_tokens_live(Some(json!(86_400)));
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access,files")]).await;
    let visitor = visitor.at(world.address());
    let state = parameter(&visitor.get("/page").await.location(), "state").unwrap();
    let declined = format!("/oauth2/callback?error=access_denied&state={state}&iss={}", world.idp.issuer());
    assert_eq!(visitor.get(&declined).await.location().path(), "/page", "the session is alive");
    for _ in 0..3 {
        assert!(visitor.get("/page").await.is_upstreams());
        world.clock.advance(Duration::from_secs(700));
    }
}

#[tokio::test]
async fn a_logout_while_the_browser_is_at_the_provider_is_not_undone() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let callback = world.idp.authorize(&visitor.get("/").await.location()).await;
    visitor.copy().send(Method::POST, "/oauth2/sign_out", &[], "").await;
    let session = visitor.session();
    let login = visitor.get(&path_of(&callback)).await.location();
    assert_eq!((login.path().ends_with("/authorize"), prompt(&login)), (true, None), "its user logs in");
    assert_eq!((visitor.session(), visitor.fetch("/").await.status), (session, StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_does_not_replace_a_grant_that_has_one() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        // As a provider does that gives refresh tokens only with consent.
        world.idp.give_refresh_tokens(Offline::Never);
        world.restart_with(&[("oidc_username_field", "email")]).await;
        let visitor = visitor.at(world.address());
        assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
        assert_eq!(world.idp.passes(), 2, "it was sent there");
        let about = visitor.fetch("/oauth2/userinfo").await.json();
        assert_eq!((&about["renewable"], &about["preferredUsername"]), (&json!(true), &json!("ann@example.com")));
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        let refreshes = world.idp.calls(Endpoint::Refresh);
        assert_eq!((refreshes, world.idp.passes()), (2, 2), "once for the other claim, and then as before");
    }
}

#[tokio::test]
async fn where_silence_cannot_be_asked_for_a_changed_setting_leads_through_the_provider_all_the_same() {
    let prepare = |idp: &Idp| idp.set_metadata(json!({"prompt_values_supported": ["login", "consent"]}));
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start_with(prepare).await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
    let (visitor, session) = (visitor.at(world.address()), visitor.session());
    let request = visitor.get("/").await.location();
    assert_eq!(prompt(&request), None);
    visitor.get(&path_of(&world.idp.authorize(&request).await)).await;
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["renewable"], true);
    assert_eq!((visitor.session(), world.idp.prompts()), (session, 1));
}

#[tokio::test]
async fn a_grant_that_the_provider_refuses_without_calling_it_dead_locks_nobody_out() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let odd = Misbehaviour::Answer(400, r#"{"error":"invalid_request"}"#.to_owned(), vec![]);
    world.idp.misbehave(Endpoint::Refresh, odd);
    world.clock.advance(EXPIRED);
    assert!(visitor.fetch("/").await.is_upstreams(), "a script is served within the grace");
    world.clock.advance(Duration::from_secs(3600));
    let script = visitor.fetch("/").await;
    assert_eq!((script.status, &script.json()["reason"]), (StatusCode::UNAUTHORIZED, &json!("grant_refused")));
    let session = visitor.session();
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams(), "a person goes on with another grant");
    assert_eq!((visitor.session(), world.idp.prompts(), world.idp.passes()), (session, 1, 2));
}

#[tokio::test]
async fn the_next_page_view_of_a_refused_grant_goes_on_with_another_at_once_and_scripts_are_served_on() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    // As Glewlwyd refuses.
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, r#"{"error":"invalid_request"}"#.to_owned(), vec![]));
    world.clock.advance(EXPIRED);
    let session = visitor.session();
    let request = visitor.get("/page").await.location();
    assert_eq!(prompt(&request).as_deref(), Some("none"));
    assert!(visitor.fetch("/").await.is_upstreams(), "a script is served while the browser is away");
    visitor.get(&path_of(&world.idp.authorize(&request).await)).await.location();
    assert_eq!(visitor.get("/page").await.header("x-upstream"), "fresh", "with a token that lives");
    assert_eq!((visitor.session(), world.idp.prompts(), world.idp.passes()), (session, 1, 2));
}

#[tokio::test]
async fn a_refused_grant_whose_user_the_provider_has_forgotten_is_served_within_the_grace_all_the_same() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, r#"{"error":"invalid_request"}"#.to_owned(), vec![]));
    world.idp.forget_browsers();
    world.clock.advance(EXPIRED);
    for _ in 0..3 {
        assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    }
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2), "asked silently, once");
}

#[tokio::test]
async fn an_error_that_answers_a_silent_attempt_is_never_worse_than_none() {
    for issuer in [None, Some("https://evil.example"), Some("")] {
        // A living session goes on,
        let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
        let visitor = world.signed_in().await;
        world.restart_with(&[("oidc_scopes", "openid,offline_access")]).await;
        let visitor = visitor.at(world.address());
        world.idp.forget_browsers();
        let answer = world.idp.authorize(&visitor.get("/page").await.location()).await;
        assert_eq!(parameter(&answer, "error").as_deref(), Some("login_required"));
        assert_eq!(visitor.get(&naming(&answer, issuer)).await.location().path(), "/page", "{issuer:?}");
        assert!(visitor.get("/page").await.is_upstreams());
        // and others get the provider's form.
        let world = World::start().await;
        let visitor = world.signed_in().await;
        world.idp.kill_grants();
        world.idp.forget_browsers();
        world.clock.advance(EXPIRED);
        let answer = world.idp.authorize(&visitor.get("/page").await.location()).await;
        let login = visitor.get(&naming(&answer, issuer)).await.location();
        assert_eq!((login.path().ends_with("/authorize"), prompt(&login)), (true, None), "{issuer:?}");
        let back = world.idp.authorize(&login).await;
        assert_eq!(visitor.get(&path_of(&back)).await.location().path(), "/page");
    }
}

#[tokio::test]
async fn a_code_of_another_issuer_is_not_taken_silently_either() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let before = world.idp.calls(Endpoint::Code);
    let answer = world.idp.authorize(&visitor.get("/").await.location()).await;
    assert!(parameter(&answer, "code").is_some());
    let login = visitor.get(&naming(&answer, Some("https://evil.example"))).await.location();
    assert_eq!((prompt(&login), world.idp.calls(Endpoint::Code)), (None, before), "its user logs in instead");
}

#[tokio::test]
async fn an_error_without_an_issuer_is_told_as_the_error_that_it_is_and_one_of_another_is_refused() {
    let world = World::start().await;
    for (issuer, mark) in [(None, "login_declined"), (Some("https://evil.example"), "wrong_issuer")] {
        let visitor = world.visitor();
        let mut answer = world.idp.authorize(&visitor.get("/").await.location()).await;
        let state = parameter(&answer, "state").unwrap();
        answer.query_pairs_mut().clear().append_pair("error", "access_denied").append_pair("state", &state);
        let told = visitor.get(&naming(&answer, issuer)).await;
        assert_eq!((told.status, told.header("evergate-response")), (StatusCode::FORBIDDEN, mark));
    }
}

#[tokio::test]
async fn a_silent_attempt_says_by_the_last_id_token_whose_answer_is_asked_for() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let login = world.visitor().get("/").await.location();
        assert_eq!(parameter(&login, "id_token_hint"), None, "a login does not");
        let visitor = world.signed_in().await;
        world.idp.kill_grants();
        world.clock.advance(EXPIRED);
        let request = visitor.get("/").await.location();
        let hint = parameter(&request, "id_token_hint").unwrap();
        assert!(world.idp.secrets().contains(&hint), "the one that was stored, though it has expired");
        assert_eq!(
            (prompt(&request).as_deref(), parameter(&request, "login_hint").as_deref()),
            (Some("none"), Some("ann@example.com"))
        );
    }
}

#[tokio::test]
async fn a_hint_that_would_make_the_address_too_long_is_left_out_and_so_is_one_whose_key_is_gone() {
    let world = World::build().start_with(|idp| idp.edit_id_token(|claims| claims["large"] = json!("x".repeat(7000)))).await;
    let visitor = world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let request = visitor.get("/").await.location();
    assert_eq!((prompt(&request).as_deref(), parameter(&request, "id_token_hint")), (Some("none"), None));

    let world = World::start().await;
    let visitor = world.signed_in().await;
    world.idp.rotate_keys(true);
    world.signed_in().await;
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    let request = visitor.get("/").await.location();
    assert_eq!((prompt(&request).as_deref(), parameter(&request, "id_token_hint")), (Some("none"), None));
}

#[tokio::test]
async fn the_id_token_of_another_client_is_shown_to_nobody() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_client_id", "another")]).await;
    let request = visitor.at(world.address()).get("/").await.location();
    assert_eq!((prompt(&request).as_deref(), parameter(&request, "id_token_hint")), (Some("none"), None));
}

#[tokio::test]
async fn a_silent_attempt_that_never_came_back_is_not_made_again_in_that_browser() {
    let world = World::start().await;
    let (visitor, other) = (world.signed_in().await, world.signed_in().await);
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(prompt(&visitor.get("/").await.location()).as_deref(), Some("none"));
    // The provider shows a page of its own, and an hour later somebody looks at the app again.
    world.clock.advance(Duration::from_secs(3600));
    let said = || lines_with(&[world.idp.issuer(), "never came back", "CODER_OIDC_SILENT_LOGIN"]).len();
    for _ in 0..3 {
        assert_eq!(prompt(&visitor.get("/").await.location()), None, "the plain login comes instead");
        assert_eq!(said(), 1);
        world.clock.advance(Duration::from_secs(3600));
    }
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(prompt(&visitor.get("/").await.location()), None, "nor for the grant after");
    assert_eq!(prompt(&other.get("/").await.location()).as_deref(), Some("none"), "another browser is asked once itself");
}

#[tokio::test]
async fn a_living_session_whose_silent_attempt_never_came_back_goes_on_as_it_is() {
    let mut world = World::build().set("oidc_scopes", "openid,profile,email").start().await;
    let visitor = world.signed_in().await;
    world.idp.access_tokens_live(Some(json!(86_400)));
    let visitor = {
        visitor.log_in(&world.idp, "/oauth2/start").await;
        visitor
    };
    world.restart_with(&[("oidc_scopes", "openid,profile,email,offline_access")]).await;
    let visitor = visitor.at(world.address());
    assert_eq!(prompt(&visitor.get("/").await.location()).as_deref(), Some("none"));
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(3600));
        assert!(visitor.get("/").await.is_upstreams(), "it is not sent there again every ten minutes");
    }
}

#[tokio::test]
async fn a_silent_attempt_that_came_back_may_be_made_again() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        world.idp.kill_grants();
        world.clock.advance(Duration::from_secs(700));
        let request = visitor.get("/").await.location();
        assert_eq!(prompt(&request).as_deref(), Some("none"));
        let back = visitor.get(&path_of(&world.idp.authorize(&request).await)).await;
        // By the browser's own clock, because this machine's may have been wrong.
        let says_so = |line: &&str| line.starts_with("__Host-evergate_returning") && line.ends_with("Max-Age=600");
        assert_eq!(back.set_cookies().into_iter().filter(says_so).count(), 1, "{:?}", back.set_cookies());
        assert!(visitor.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn silent_attempts_are_turned_off_by_a_setting_and_by_a_preset() {
    for (setting, value, expected) in [
        ("oidc_silent_login", "false", None),
        ("oidc_preset", "django-oauth-toolkit", None),
        ("oidc_silent_login", "true", Some("none")),
    ] {
        let world = World::build().set(setting, value).start().await;
        let visitor = world.signed_in().await;
        world.idp.kill_grants();
        world.clock.advance(EXPIRED);
        assert_eq!(prompt(&visitor.get("/").await.location()).as_deref(), expected, "{setting}={value}");
    }
}
