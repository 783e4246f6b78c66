//! What an attacker would try on the way in, and what a hostile provider would (HP and CV are the numbers of
//! known cases).

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::harness::{
    ACCESS, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, Signer},
    visitor::{Reply, Visitor, path_of},
};

/// A login up to the callback that the provider sends.
async fn callback(world: &World, visitor: &Visitor) -> Url {
    world.idp.authorize(&visitor.get("/").await.location()).await
}

fn with(url: &Url, edit: impl Fn(&str, String) -> Option<String>) -> String {
    let mut changed = url.clone();
    let pairs: Vec<_> =
        url.query_pairs().filter_map(|(name, value)| Some((name.to_string(), edit(&name, value.into_owned())?))).collect();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    path_of(&changed)
}

fn assert_refused(reply: &Reply, visitor: &Visitor, world: &World, what: &str) {
    assert!(reply.status.is_client_error() || reply.status == StatusCode::BAD_GATEWAY, "{what}: {}", reply.status);
    assert!(visitor.session().is_none(), "{what}");
    assert!(world.upstream.requests().is_empty(), "{what}");
    assert!(!reply.header("evergate-response").is_empty(), "{what}");
}

#[tokio::test]
async fn a_callback_that_this_browser_did_not_ask_for_never_reaches_the_token_endpoint() {
    let world = World::start().await;
    let (victim, attacker) = (world.visitor(), world.visitor());
    let theirs = callback(&world, &attacker).await;
    let own = callback(&world, &victim).await;
    let foreign_code = theirs.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let begun_again = victim.get(&path_of(&theirs)).await.location();
    assert!(begun_again.as_str().starts_with(world.idp.issuer()), "their own login begins: {begun_again}");
    assert!(victim.session().is_none());
    let attempts = [
        with(&own, |name, value| (name != "state").then_some(value)),
        with(&own, |name, value| Some(if name == "state" { format!("{value}x") } else { value })),
        with(&own, |name, value| Some(if name == "state" { value.chars().take(value.len() / 2).collect() } else { value })),
        with(&own, |name, value| Some(if name == "state" { String::new() } else { value })),
        format!("{}&state=x", path_of(&own)),
        format!("{}&code={foreign_code}", path_of(&own)),
        format!("{}&access_token=x", path_of(&own)),
        format!("{}&id_token=x", path_of(&own)),
        "/oauth2/callback".to_owned(),
        "/oauth2/callback?state=&code=".to_owned(),
        "/oauth2/callback?%ff=%ff&state=%ff".to_owned(),
    ];
    for attempt in attempts {
        let reply = victim.get(&attempt).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{attempt}");
        assert_refused(&reply, &victim, &world, &attempt);
    }
    assert_eq!(world.idp.calls(Endpoint::Code), 0, "state is checked before the code is used");
    assert_eq!(victim.get(&path_of(&own)).await.status, StatusCode::SEE_OTHER, "the real one still works");
}

#[tokio::test]
async fn an_attempt_returns_once_and_not_too_late() {
    let world = World::start().await;
    let visitor = world.visitor();
    let own = callback(&world, &visitor).await;
    let thief = visitor.copy();
    visitor.get(&path_of(&own)).await.location();
    let late = world.visitor();
    let other = callback(&world, &late).await;
    world.clock.advance(Duration::from_secs(15 * 60));
    for (browser, callback) in [(&thief, &own), (&late, &other)] {
        let again = browser.get(&path_of(callback)).await.location();
        assert!(again.as_str().starts_with(world.idp.issuer()), "it begins anew: {again}");
        assert!(browser.session().is_none());
    }
    assert_eq!(world.idp.calls(Endpoint::Code), 1);
}

#[tokio::test]
async fn an_answer_must_name_our_issuer() {
    let world = World::start().await;
    for (what, issuer) in [("missing", None), ("another", Some("https://evil.example")), ("empty", Some(""))] {
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        let path = with(&own, |name, value| if name == "iss" { issuer.map(str::to_owned) } else { Some(value) });
        let reply = visitor.get(&path).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}");
        assert_refused(&reply, &visitor, &world, what);
    }
    assert_eq!(world.idp.calls(Endpoint::Code), 0);
}

#[tokio::test]
async fn a_provider_that_does_not_name_itself_in_answers_is_no_error() {
    let world =
        World::build().start_with(|idp| idp.set_metadata(json!({"authorization_response_iss_parameter_supported": null}))).await;
    let visitor = world.visitor();
    let own = callback(&world, &visitor).await;
    visitor.get(&with(&own, |name, value| (name != "iss").then_some(value))).await.location();
}

#[tokio::test]
async fn an_error_from_the_provider_is_shown_without_its_text() {
    let world = World::start().await;
    for (error, status) in [
        ("access_denied", StatusCode::FORBIDDEN),
        ("server_error", StatusCode::BAD_GATEWAY),
        ("<script>", StatusCode::BAD_GATEWAY),
    ] {
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        let path = with(&own, |name, value| Some(if name == "code" { String::new() } else { value }));
        let reply = visitor
            .get(&format!(
                "{}&error={}&error_description=%3Cscript%3Ealert(1)%3C/script%3E",
                path.replace("code=&", ""),
                error.replace('<', "%3C").replace('>', "%3E")
            ))
            .await;
        assert_eq!(reply.status, status, "{error}");
        assert!(!reply.text().contains("<script"), "{}", reply.text());
        assert_refused(&reply, &visitor, &world, error);
    }
}

#[tokio::test]
async fn id_tokens_that_are_not_ours_make_no_session() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 14] = [
        ("another issuer", |claims| claims["iss"] = json!("https://evil.example")),
        ("no sub", |claims| claims["sub"] = Value::Null),
        ("empty sub", |claims| claims["sub"] = json!("")),
        ("another audience", |claims| claims["aud"] = json!("someone-else")),
        ("no audience", |claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        ("empty audience", |claims| claims["aud"] = json!([])),
        ("several audiences without azp", |claims| claims["aud"] = json!(["gateway", "other"])),
        ("another azp", |claims| claims["azp"] = json!("other")),
        ("no iat", |claims| drop(claims.as_object_mut().unwrap().remove("iat"))),
        ("iat in the future", |claims| claims["iat"] = json!(claims["iat"].as_i64().unwrap() + 3600)),
        ("expired", |claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 61)),
        ("exp out of range", |claims| claims["exp"] = json!("never")),
        ("another nonce", |claims| claims["nonce"] = json!("other")),
        ("no nonce", |claims| drop(claims.as_object_mut().unwrap().remove("nonce"))),
    ];
    let world = World::start().await;
    for (what, edit) in cases {
        world.idp.edit_id_token(edit);
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        let reply = visitor.get(&path_of(&own)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}");
        assert_refused(&reply, &visitor, &world, what);
    }
    assert_eq!(world.idp.calls(Endpoint::Userinfo), 0, "no token of a refused login is used");
    world.idp.edit_id_token(|claims| claims["aud"] = json!(["gateway"]));
    world.signed_in().await;
}

#[tokio::test]
async fn id_tokens_with_forged_signatures_make_no_session() {
    let world = World::start().await;
    let headers = [
        ("alg none", json!({"alg": "none"})),
        ("alg HS256", json!({"alg": "HS256"})),
        ("alg of another kind", json!({"alg": "RS256"})),
        ("alg that the provider does not list", json!({"alg": "PS512"})),
        ("unknown alg", json!({"alg": "XX999"})),
        ("unknown key", json!({"alg": "ES256", "kid": "nobody's"})),
        ("critical extension", json!({"alg": "ES256", "crit": ["x"], "x": 1})),
    ];
    for (what, header) in headers {
        world.idp.edit_header(move |original| *original = header.clone());
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        let reply = visitor.get(&path_of(&own)).await;
        assert_refused(&reply, &visitor, &world, what);
    }
    world.idp.edit_header(|_| {});
    world.idp.edit_answer(|answer| {
        answer["id_token"] = json!(Signer::forged(answer["id_token"].as_str().unwrap()));
    });
    let visitor = world.visitor();
    let own = callback(&world, &visitor).await;
    assert_refused(&visitor.get(&path_of(&own)).await, &visitor, &world, "a corrupted signature");
}

#[tokio::test]
async fn new_signing_keys_are_fetched_once_and_not_at_every_stranger_s_wish() {
    let world = World::start().await;
    world.signed_in().await;
    let before = world.idp.calls(Endpoint::Jwks);
    world.idp.rotate_keys(true);
    world.signed_in().await;
    assert_eq!(world.idp.calls(Endpoint::Jwks), before + 1);
    world.idp.rotate_keys(false);
    let codes = world.idp.calls(Endpoint::Code);
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Held);
    let strangers = (0..5).map(async |_| {
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        assert_refused(&visitor.get(&path_of(&own)).await, &visitor, &world, "an unpublished key");
    });
    let all_have_come = async {
        eventually("all have come", async || world.idp.calls(Endpoint::Code) == codes + 5).await;
        world.idp.behave(Endpoint::Code);
    };
    tokio::join!(futures_util::future::join_all(strangers), all_have_come);
    let fetches = world.idp.calls(Endpoint::Jwks) - before;
    assert!(fetches <= 3, "they wait for the same fetch, which is made when one is due: {fetches}");
    world.clock.advance(Duration::from_secs(4));
    world.idp.rotate_keys(true);
    world.signed_in().await;
}

#[tokio::test]
async fn user_info_about_somebody_else_makes_no_session() {
    let world = World::start().await;
    for edit in [
        |claims: &mut Value| claims["sub"] = json!("sub-admin"),
        |claims: &mut Value| *claims = json!([]),
        |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("sub")),
    ] {
        world.idp.edit_userinfo(edit);
        let visitor = world.visitor();
        let own = callback(&world, &visitor).await;
        assert_refused(&visitor.get(&path_of(&own)).await, &visitor, &world, "user info of another sub");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_answers_nonsense_makes_no_session_and_no_harm() {
    let world = World::start().await;
    let answers = [
        Misbehaviour::Answer(200, String::new(), vec![]),
        Misbehaviour::Answer(200, "<html>".into(), vec![]),
        Misbehaviour::Answer(200, "[]".into(), vec![]),
        Misbehaviour::Answer(200, r#"{"access_token":"a","token_type":"Bearer"}"#.into(), vec![]),
        Misbehaviour::Answer(200, r#"{"access_token":"a","id_token":"a.b.c"}"#.into(), vec![]),
        Misbehaviour::Answer(400, r#"{"error":"invalid_grant"}"#.into(), vec![]),
        Misbehaviour::Answer(500, String::new(), vec![]),
        Misbehaviour::Answer(307, String::new(), vec![("location", "http://127.0.0.1:1/token")]),
        Misbehaviour::Endless,
    ];
    for answer in answers {
        let what = format!("{answer:?}");
        world.idp.misbehave(Endpoint::Code, answer);
        let visitor = world.visitor();
        let before = world.idp.calls(Endpoint::Code);
        assert_refused(&visitor.browse(&world.idp, "/").await, &visitor, &world, &what);
        let calls = world.idp.calls(Endpoint::Code) - before;
        assert!((1..=2).contains(&calls), "begun again once at the most, and not without end: {what}: {calls}");
    }
    world.idp.behave(Endpoint::Code);
    world.signed_in().await;
}

#[tokio::test]
async fn metadata_of_another_issuer_or_with_unsafe_endpoints_are_not_believed() {
    for (member, value) in [
        ("issuer", json!("https://evil.example")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("jwks_uri", json!("ftp://x/")),
        ("revocation_endpoint", json!("http://192.0.2.1/")),
    ] {
        let world = World::build().without_provider().start_with(|idp| idp.set_metadata(json!({member: value}))).await;
        eventually("discovery was tried", async || {
            world.idp.calls(Endpoint::Discovery) > 0 && world.visitor().get("/").await.status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
        assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider"], "not_reached", "{member}");
    }
}

#[tokio::test]
async fn login_leads_only_to_pages_of_ours() {
    let world = World::start().await;
    for evil in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/%09/evil.example",
        "/.//evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "https://app.test@evil.example/",
        "https://app.test.evil.example/",
        "%2f%2fevil.example",
        "/\t/evil.example",
    ] {
        let visitor = world.visitor();
        let encoded: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let landed = visitor.log_in(&world.idp, &format!("/oauth2/start?rd={encoded}")).await;
        assert_eq!(landed.origin().ascii_serialization(), ACCESS, "{evil}: {landed}");
        assert_eq!(landed.host_str(), Some("app.test"), "{evil}: {landed}");
        assert!(!landed.path().starts_with("//"), "{evil}: {landed}");
    }
    let visitor = world.visitor();
    assert_eq!(visitor.log_in(&world.idp, "/oauth2/start?rd=%2Fa%3Fb%3Dc").await.as_str(), format!("{ACCESS}/a?b=c"));
    // Asked for as a page of the app's, such a path does not get as far as a login.
    assert_eq!(world.visitor().get("/.//evil.example/x").await.status, StatusCode::BAD_REQUEST);
    let visitor = world.visitor();
    assert_eq!(visitor.log_in(&world.idp, "//evil.example/x").await.as_str(), format!("{ACCESS}/"), "the front page");
}

#[tokio::test]
async fn neither_host_nor_forwarding_headers_choose_the_redirect_uri() {
    let world = World::start().await;
    let visitor = world.visitor();
    let navigation = [
        ("accept", "text/html"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
    ];
    let to_provider = visitor.send(Method::GET, "/", &navigation, "").await.location();
    assert!(to_provider.query().unwrap().contains("redirect_uri=https%3A%2F%2Fapp.test%2Foauth2%2Fcallback"));
    for host in ["evil.example", "app.test.evil.example", "app.test:8443", "evil.example:443"] {
        let reply = visitor.send(Method::GET, "/", &[("accept", "text/html"), ("host", host)], "").await;
        assert_eq!(reply.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert!(reply.set_cookies().is_empty());
    }
    assert_eq!(
        visitor.send(Method::GET, "/", &[("accept", "text/html"), ("host", "app.test:443")], "").await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_client_s_own_bearer_token_and_identity_prove_nothing() {
    let world = World::start().await;
    let reply = world
        .visitor()
        .send(
            Method::GET,
            "/",
            &[
                ("authorization", "Bearer x"),
                ("x-forwarded-user", "admin"),
                ("cookie", "evergate_session=x; __Host-evergate_session="),
            ],
            "",
        )
        .await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "a client's bearer token authenticates nobody (CVE-2022-29226)");
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_login_leads_to_no_endpoint_of_our_own_but_those_that_follow_one() {
    for has_default_route in [true, false] {
        let world = match has_default_route {
            true => World::start().await,
            false => {
                let route = |app: &str| format!("[[route]]\npath = \"/app\"\nupstream = \"{app}\"");
                World::build().without("upstream_url").routes(route).start().await
            }
        };
        for (page, follows) in [
            ("/oauth2/sign_out", false),
            ("/oauth2/frontchannel_logout?x=1", false),
            ("/oauth2/callback?code=x", false),
            ("/oauth2/start?another=true", false),
            ("/oauth2/nonsense", false),
            ("/oauth2/readyz", false),
            ("/oauth2", true),
            ("/oauth2/sessions", true),
            ("/oauth2/userinfo", true),
            ("/app/oauth2/sign_out", true),
            ("/oauth2x", has_default_route),
        ] {
            let visitor = world.visitor();
            let encoded: String = url::form_urlencoded::byte_serialize(page.as_bytes()).collect();
            let landed = visitor.log_in(&world.idp, &format!("/oauth2/start?rd={encoded}")).await;
            let expected = if follows { page } else { "/" };
            assert_eq!(landed.as_str(), format!("{ACCESS}{expected}"), "{page} {has_default_route}");
        }
    }
}
