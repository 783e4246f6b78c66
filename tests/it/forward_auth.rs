//! Forward authentication: an ingress asks about requests that do not come here, and is answered as they would be.

mod attacks;
mod drop_in;
mod grpc;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    ACCESS, Builder, Kind, World,
    assertion::{ASSERTION, verified},
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
    logs::lines_with,
    visitor::{Reply, Visitor},
};

const EXPIRED: Duration = Duration::from_secs(301);
const PAGE: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];
const FETCH: [(&str, &str); 3] = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];

const ROUTES: &str = r#"
    [[route]]
    path = "/public"
    rule = "public"

    [[route]]
    path = "/admin"
    groups = ["admins"]

    [[route]]
    path = "/read"
    methods = ["get", "HEAD"]

    [[route]]
    host = "open.test"
    rule = "public"
"#;

/// An app that is told who its user is by `Authorization`, and another one.
const TOLD_BY_AUTHORIZATION: &str = r#"
    [[route]]
    path = "/optional"
    rule = "optional"
    identity_headers = { Authorization = "User {email}" }

    [[route]]
    path = "/lacking"
    identity_headers = { Authorization = "User {claim:employee}" }

    [[route]]
    path = "/public"
    rule = "public"

    [[route]]
    path = "/tokens"
    bearer_tokens = ["provider"]
    identity_headers = { Authorization = "User {claim:employee}" }

    [[route]]
    host = "open.test"
    rule = "public"
"#;

/// A gateway that is asked by an ingress on loopback, and forwards nothing.
fn service() -> Builder {
    World::build().without("upstream_url").set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1")
}

/// A question of an ingress, for a client that sends these headers.
async fn ask(visitor: &Visitor, at: &str, (method, uri): (&str, &str), client: &[(&str, &str)]) -> Reply {
    let told = [("x-forwarded-method", method), ("x-forwarded-uri", uri)];
    visitor.send(Method::GET, at, &[&told, client].concat(), "").await
}

#[tokio::test]
async fn an_ingress_is_told_what_the_rules_of_the_original_page_say() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let stranger = world.visitor();
    world.idp.log_in_as(user("ann"));
    let ann = world.visitor();
    ann.log_in(&world.idp, "/oauth2/start").await;
    for (who, question, status) in [
        (&stranger, ("GET", "/public/page"), 202),
        (&stranger, ("GET", "/page"), 401),
        (&stranger, ("DELETE", "/read"), 403),
        (&ann, ("GET", "/page?q=1"), 202),
        (&ann, ("POST", "/page"), 202),
        (&ann, ("GET", "/admin/users"), 403),
        (&ann, ("GET", "/read"), 202),
        (&ann, ("DELETE", "/read"), 403),
        (&ann, ("GET", "/public/..%2fadmin"), 403),
        (&ann, ("GET", "/oauth2/userinfo"), 403),
    ] {
        let reply = ask(who, "/oauth2/auth", question, &PAGE).await;
        assert_eq!(reply.status.as_u16(), status, "{question:?} {}", reply.text());
        assert!(!reply.headers.contains_key("location") && reply.set_cookies().is_empty(), "{question:?}");
        let is_told = reply.headers.contains_key("x-auth-request-user");
        assert_eq!(is_told, status == 202 && question.1 != "/public/page", "{question:?}");
    }
    // The ingresses whose clients get the response.
    for (who, question, client, status) in [
        (&stranger, ("GET", "/page"), &PAGE[..], 303),
        (&stranger, ("GET", "/page"), &FETCH, 401),
        (&stranger, ("POST", "/page"), &PAGE, 401),
        (&ann, ("GET", "/page"), &PAGE, 200),
        (&ann, ("GET", "/admin"), &PAGE, 403),
        (&ann, ("GET", "/public/..%2fadmin"), &PAGE, 400),
        (&ann, ("GET", "/oauth2/userinfo"), &PAGE, 404),
        (&ann, ("DELETE", "/read"), &PAGE, 405),
    ] {
        let reply = ask(who, "/oauth2/forward_auth", question, client).await;
        assert_eq!(reply.status.as_u16(), status, "{question:?} {}", reply.text());
        let path = format!("/oauth2/auth{}", question.1);
        let by_request_line = who.send(question.0.parse().unwrap(), &path, client, "").await;
        assert_eq!(by_request_line.status.as_u16(), status, "ext_authz: {question:?} {}", by_request_line.text());
        let allowed = if status == 405 { "GET, HEAD" } else { "" };
        assert_eq!((reply.header("allow"), by_request_line.header("allow")), (allowed, allowed), "{question:?}");
    }
    let denied = ask(&ann, "/oauth2/forward_auth", ("GET", "/admin"), &PAGE).await;
    assert!(denied.text().contains("You are signed in as ann@example.com"), "{}", denied.text());
    let login = ask(&stranger, "/oauth2/forward_auth", ("GET", "/page?q=1"), &PAGE).await;
    let callback = world.idp.authorize(&login.location()).await;
    let landed = stranger.get(&crate::harness::visitor::path_of(&callback)).await;
    assert_eq!(landed.location().as_str(), "https://app.test/page?q=1", "the login leads to the page that was asked about");
    let lines = lines_with(&["evergate::access", "\"original.path\":\"/admin/users\"", "\"http.response.status_code\":403"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn the_identity_is_in_the_response_as_the_app_would_get_it_and_by_oauth2_proxy_s_names() {
    let world = service().set("pass_access_token", "true").start().await;
    world.idp.log_in_as(json!({"sub": "u-1", "email": "zoe@example.com", "email_verified": true, "preferred_username": "zoe", "groups": ["a,b", "c"]}));
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    for (at, status) in [("/oauth2/auth", StatusCode::ACCEPTED), ("/oauth2/forward_auth", StatusCode::OK)] {
        let reply = ask(&visitor, at, ("GET", "/"), &PAGE).await;
        assert_eq!((reply.status, reply.body.len(), reply.header("cache-control")), (status, 0, "no-store"));
        for start in ["x-forwarded-", "x-auth-request-"] {
            for (name, value) in
                [("user", "u-1"), ("email", "zoe@example.com"), ("preferred-username", "zoe"), ("groups", "a%2Cb,c")]
            {
                assert_eq!(reply.header(&format!("{start}{name}")), value, "{at} {start}{name}");
            }
            assert!(reply.header(&format!("{start}access-token")).len() > 16, "{at}");
        }
    }
    let world = service().start().await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    let reply = ask(&visitor, "/oauth2/auth", ("GET", "/"), &PAGE).await;
    assert!(!reply.headers.keys().any(|name| name.as_str().ends_with("access-token")), "only where it is passed to apps");
    let reply = ask(&visitor, "/oauth2/forward_auth", ("GET", "/"), &PAGE).await;
    assert_eq!((reply.header("x-forwarded-access-token"), reply.headers.contains_key("x-forwarded-roles")), ("", true));
}

#[tokio::test]
async fn the_assertion_is_in_the_response_for_the_route_that_is_asked_about_and_for_no_other() {
    let routes = r#"
        [[route]]
        path = "/public"
        rule = "public"

        [[route]]
        path = "/anybody"
        rule = "optional"
        assertion = true

        [[route]]
        path = "/reports"
        assertion = true

        [[route]]
        host = "other.test"
        assertion = true
    "#;
    let world = service().routes(move |_| routes.to_owned()).start().await;
    world.idp.log_in_as(user("ann"));
    let keys = world.visitor().fetch("/oauth2/jwks").await.json();
    let (ann, there) = (world.visitor(), world.visitor().on_host("other.test"));
    for visitor in [&ann, &there] {
        visitor.log_in(&world.idp, "/oauth2/start").await;
    }
    for at in ["/oauth2/auth", "/oauth2/forward_auth"] {
        let audience = async |visitor: &Visitor, page: &str| {
            let reply = ask(visitor, at, ("GET", page), &PAGE).await;
            assert!(reply.status.is_success(), "{at} {page}: {} {}", reply.status, reply.text());
            let token = reply.headers.contains_key(ASSERTION).then(|| reply.header(ASSERTION).to_owned());
            token.map(|token| verified(&token, &keys).map_or(token, |claims| claims["aud"].as_str().unwrap().to_owned()))
        };
        assert_eq!(audience(&ann, "/reports/1?q=2").await, Some(format!("{ACCESS}/reports")), "{at}");
        assert_eq!(audience(&there, "/reports").await.as_deref(), Some("https://other.test"), "{at}");
        // An ingress that copies an absent line may leave a client's own in its place.
        let none = (at != "/oauth2/auth").then_some("");
        assert_eq!(audience(&ann, "/page").await.as_deref(), none, "{at}");
        for page in ["/public/page", "/anybody"] {
            assert_eq!(audience(&world.visitor(), page).await.as_deref(), none, "{at} {page}");
        }
        assert_eq!(audience(&ann, "/anybody").await, Some(format!("{ACCESS}/anybody")), "{at}");
    }
    let by_request_line = ann.send(Method::GET, "/oauth2/auth/reports/1", &PAGE, "").await;
    assert_eq!(verified(by_request_line.header(ASSERTION), &keys).unwrap()["aud"], format!("{ACCESS}/reports"));
}

#[tokio::test]
async fn a_storm_of_questions_makes_one_renewal_and_an_outage_signs_nobody_out() {
    let world = service().on(Kind::Postgres).set("oidc_outage_grace", "10m").start().await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    world.clock.advance(EXPIRED);
    let replies = visitor.fetch_at_once(32, "/oauth2/auth").await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::ACCEPTED), "{replies:?}");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);

    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, "away".to_owned(), vec![]));
    world.clock.advance(EXPIRED);
    let stale = ask(&visitor, "/oauth2/auth", ("GET", "/"), &PAGE).await;
    assert_eq!(stale.status, StatusCode::ACCEPTED);
    assert!(stale.headers.contains_key("x-evergate-renewed-at"), "the app is told that nobody could verify it");
    world.clock.advance(Duration::from_secs(601));
    for at in ["/oauth2/auth", "/oauth2/forward_auth", "/oauth2/refused"] {
        let away = ask(&visitor, at, ("GET", "/"), &PAGE).await;
        assert_eq!((away.status, away.set_cookies().len()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{at}");
        assert!(away.headers.contains_key("retry-after"), "{at}");
    }
    world.idp.behave(Endpoint::Refresh);
    eventually("the session goes on when the provider is back", async || {
        world.clock.advance(Duration::from_secs(60));
        ask(&visitor, "/oauth2/auth", ("GET", "/"), &PAGE).await.status == StatusCode::ACCEPTED
    })
    .await;

    let copy = visitor.copy();
    visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    let ended = ask(&copy, "/oauth2/auth", ("GET", "/"), &FETCH).await;
    assert_eq!((ended.status, ended.json()["reason"].clone()), (StatusCode::UNAUTHORIZED, json!("unknown_session")));
}

#[tokio::test]
async fn what_auth_refused_is_explained_to_its_client_who_never_gets_an_empty_page() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let stranger = world.visitor();
    let refused = async |visitor: &Visitor, at: &str, client: &[(&str, &str)]| ask(visitor, at, ("GET", "/page"), client).await;
    assert!(refused(&stranger, "/oauth2/refused", &PAGE).await.location().as_str().starts_with(world.idp.issuer()));
    let script = refused(&stranger, "/oauth2/refused", &FETCH).await;
    assert_eq!((script.status, script.json()["error"].clone()), (StatusCode::UNAUTHORIZED, json!("sign_in_required")));
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    let denied = refused(&visitor, "/oauth2/refused?allowed_groups=others", &PAGE).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let passes_now = refused(&visitor, "/oauth2/refused", &PAGE).await;
    assert_eq!(passes_now.status, StatusCode::SERVICE_UNAVAILABLE, "the page tries again by itself: {}", passes_now.text());
    assert!(!passes_now.headers.contains_key("x-auth-request-user"));
}

#[tokio::test]
async fn a_service_without_an_app_starts_and_serves_nothing_but_its_own_pages() {
    let world = service().set("wildcard_access_url", "*.apps.test").start().await;
    let visitor = world.visitor();
    for path in ["/", "/page", "/pingpong"] {
        let reply = visitor.get(path).await;
        assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::NOT_FOUND, "not_found"), "{path}");
    }
    // Probes ask by whatever address they find.
    for (path, host) in [("/ping", "10.0.0.1"), ("/ready", "10.0.0.1"), ("/oauth2/ping", "x"), ("/oauth2/healthz", "x")] {
        assert_eq!(visitor.send(Method::GET, path, &[("host", host)], "").await.status, StatusCode::OK, "{path}");
    }
    let (code, said) = world.command(&["check"]).await;
    assert!(said.contains("no app is proxied: an ingress asks about its requests"), "{code} {said}");
    // An ingress may ask by any address as well, and tells the client's.
    for (host, status) in [("one.apps.test", 401), ("evil.test", 421)] {
        let told = [("host", "evergate:3000"), ("x-forwarded-host", host), ("x-forwarded-uri", "/")];
        let reply = visitor.send(Method::GET, "/oauth2/forward_auth", &[&told[..], &FETCH].concat(), "").await;
        assert_eq!(reply.status.as_u16(), status, "{host} {}", reply.text());
    }
}

#[tokio::test]
async fn nobody_is_answered_who_was_not_promised_it() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for at in ["/oauth2/auth", "/oauth2/forward_auth", "/oauth2/auth/page", "/oauth2/refused"] {
        assert_eq!(visitor.get(at).await.status, StatusCode::NOT_FOUND, "{at}: CODER_FORWARD_AUTH is not set");
    }
    // The health that an app has of its own is the app's.
    assert!(visitor.get("/ping").await.is_upstreams());
}
