//! Who may enter a route: rules on claims, addresses and networks, and routes that need nobody to be signed in.

use std::{fs, time::Duration};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

fn claims_of(name: &str, more: &Value) -> Value {
    let mut claims = user(name);
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

async fn status(visitor: &Visitor, path: &str) -> StatusCode {
    visitor.fetch(path).await.status
}

#[tokio::test]
async fn a_route_s_rule_may_be_on_any_claim_and_who_lacks_the_claim_is_denied() {
    let world = World::build()
        .routes(|_| {
            r#"
            [[route]]
            path = "/eng"
            claims = { department = ["eng", "ops"] }

            [[route]]
            path = "/both"
            claims = { department = ["eng"], "realm_access.roles" = ["admin"] }

            [[route]]
            path = "/match"
            claims_match = { costcenter = "4[0-9]{3}|x" }

            [[route]]
            path = "/exists"
            claims_exist = ["https://x.example/employee"]
            "#
            .to_owned()
        })
        .start()
        .await;
    for (more, allowed) in [
        (json!({}), &[][..]),
        (json!({"department": "eng"}), &["/eng"]),
        (json!({"department": ["sales", "ops"]}), &["/eng"]),
        (json!({"department": "engineering", "costcenter": "4000"}), &["/match"]),
        (json!({"department": "eng", "realm_access": {"roles": ["user", "admin"]}}), &["/eng", "/both"]),
        (json!({"costcenter": 4711}), &["/match"]),
        (json!({"costcenter": "14711", "https://x.example/employee": null}), &[]),
        (json!({"costcenter": "4711\nx", "https://x.example/employee": {"id": 1}}), &["/exists"]),
    ] {
        world.idp.log_in_as(claims_of("ann", &more));
        let visitor = world.signed_in().await;
        for path in ["/eng", "/both", "/match", "/exists"] {
            let expected = if allowed.contains(&path) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(status(&visitor, path).await, expected, "{path} {more}");
        }
        assert_eq!(status(&visitor, "/").await, StatusCode::OK, "other routes ask for nothing");
    }
}

#[tokio::test]
async fn a_rule_on_a_claim_follows_each_token_refresh_and_one_that_comes_later_locks_nobody_out() {
    let world = World::build()
        .timed(|timings| timings.blocking_refresh_wait = Duration::from_secs(60))
        .routes(|_| "[[route]]\npath = \"/eng\"\nclaims = { department = [\"eng\"] }\n".to_owned())
        .start()
        .await;
    world.idp.log_in_as(claims_of("ann", &json!({"department": "eng"})));
    let visitor = world.signed_in().await;
    assert_eq!(status(&visitor, "/eng").await, StatusCode::OK);
    // As a release that knows no such claims writes it.
    world.sql("UPDATE grants SET identity = '{\"subject\":\"sub-ann\",\"username\":\"ann\",\"email\":\"ann@example.com\",\"groups\":[]}'").await;
    let mut world = world;
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    assert_eq!(status(&visitor, "/eng").await, StatusCode::OK, "the request waits for the claim");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.idp.edit_id_token(|token| token["department"] = json!("sales"));
    world.idp.edit_userinfo(|info| info["department"] = json!("sales"));
    assert_eq!(status(&visitor, "/eng").await, StatusCode::OK, "until the next token refresh");
    world.clock.advance(EXPIRED);
    let denied = visitor.fetch("/eng").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    assert!(!denied.text().contains("sales") && !denied.text().contains("department"), "{}", denied.text());
    assert_eq!(status(&visitor, "/").await, StatusCode::OK, "and nobody is logged out");
}

#[tokio::test]
async fn single_addresses_may_enter_a_route_or_everything() {
    let world = World::build()
        .set("oidc_email_domain", "example.com")
        .set("oidc_allowed_emails", "Eve@other.example")
        .routes(|_| "[[route]]\npath = \"/ann\"\nemails = [\"ANN@example.com\"]\n".to_owned())
        .start()
        .await;
    let ann = world.signed_in().await;
    assert_eq!((status(&ann, "/").await, status(&ann, "/ann").await), (StatusCode::OK, StatusCode::OK));
    world.idp.log_in_as(claims_of("eve", &json!({"email": "eve@other.example"})));
    let eve = world.signed_in().await;
    assert_eq!((status(&eve, "/").await, status(&eve, "/ann").await), (StatusCode::OK, StatusCode::FORBIDDEN));
    world.idp.log_in_as(claims_of("mal", &json!({"email": "mal@other.example"})));
    assert_eq!(world.visitor().browse(&world.idp, "/").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_file_of_addresses_is_read_again_when_it_changes() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("emails");
    fs::write(&path, "# staff\nann@example.com\nbob@example.com\n").unwrap();
    let world = World::build().set("oidc_allowed_emails_file", path.to_str().unwrap()).start().await;
    let ann = world.signed_in().await;
    let mut socket = ann.websocket().await;
    world.idp.log_in_as(user("bob"));
    let bob = world.signed_in().await;
    fs::write(&path, "bob@example.com\neve@example.com\n").unwrap();
    eventually("ann may not enter", async || status(&ann, "/").await == StatusCode::FORBIDDEN).await;
    assert_eq!(status(&bob, "/").await, StatusCode::OK);
    let ended = tokio::time::timeout(Duration::from_secs(60), futures_util::StreamExt::next(&mut socket)).await.unwrap();
    assert!(ended.is_none_or(|message| message.is_err() || message.unwrap().is_close()), "what she has open is cut");
    world.idp.log_in_as(user("eve"));
    assert_eq!(status(&world.signed_in().await, "/").await, StatusCode::OK, "who is new may log in");
    fs::remove_file(&path).unwrap();
    let shown = path.display().to_string();
    eventually("it is said that the file is gone", async || !lines_with(&["cannot be read", &shown]).is_empty()).await;
    assert_eq!(status(&bob, "/").await, StatusCode::OK, "and changes nothing");
    fs::write(&path, "ann@example.com").unwrap();
    eventually("ann is back with the session that she had", async || ann.get("/").await.is_upstreams()).await;
    assert_eq!(status(&bob, "/").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_network_is_asked_of_the_address_that_trusted_proxies_name() {
    let world = World::build()
        .set("proxy_trusted_origins", "127.0.0.1")
        .routes(|_| {
            r#"
            [[route]]
            path = "/inside"
            networks = ["10.0.0.0/8", "2001:db8::/32"]

            [[route]]
            path = "/hook"
            rule = "public"
            networks = ["192.0.2.7"]
            "#
            .to_owned()
        })
        .start()
        .await;
    let visitor = world.signed_in().await;
    let from = async |address: &str, path: &str| {
        let headers = [("x-forwarded-for", address), ("accept", "application/json")];
        visitor.send(Method::GET, path, &headers, "").await.status
    };
    for (address, path, expected) in [
        ("10.1.2.3", "/inside", StatusCode::OK),
        ("2001:db8::7", "/inside", StatusCode::OK),
        ("192.0.2.7", "/inside", StatusCode::FORBIDDEN),
        ("10.1.2.3, 192.0.2.7", "/inside", StatusCode::FORBIDDEN),
        ("192.0.2.7", "/hook", StatusCode::OK),
        ("192.0.2.8", "/hook", StatusCode::FORBIDDEN),
        ("192.0.2.8", "/", StatusCode::OK),
    ] {
        assert_eq!(from(address, path).await, expected, "{address} {path}");
    }
    let stranger = world.visitor().get("/inside").await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN, "a login would not help");
}

const OPTIONAL: &str =
    "[[route]]\npath = \"/wiki\"\nrule = \"optional\"\n[[route]]\npath = \"/strict\"\nrule = \"optional\"\noutage = \"strict\"\n";

/// Whom the app was told of; `None` for nobody.
async fn told(world: &World, visitor: &Visitor, path: &str) -> Option<String> {
    let reply = visitor.get(path).await;
    assert!(reply.is_upstreams(), "{path}: {} {}", reply.status, reply.text());
    world.upstream.last().header("x-forwarded-user").map(str::to_owned)
}

#[tokio::test]
async fn an_optional_route_lets_everybody_pass_and_tells_who_is_signed_in() {
    let world = World::build().routes(|_| OPTIONAL.to_owned()).start().await;
    assert_eq!(told(&world, &world.visitor(), "/wiki").await, None);
    let spoofed = [("x-forwarded-user", "admin"), ("accept", "text/html")];
    assert!(world.visitor().send(Method::GET, "/wiki", &spoofed, "").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-user"), None);
    let stranger = world.visitor();
    stranger.set_cookie("__Host-evergate_session", &"A".repeat(43));
    assert_eq!(told(&world, &stranger, "/wiki").await, None, "a cookie that is nobody's is nobody");

    let visitor = world.signed_in().await;
    assert_eq!(told(&world, &visitor, "/wiki").await.as_deref(), Some("sub-ann"));
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "/wiki").await.as_deref(), Some("sub-ann"));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "a session that is used is renewed");
    world.idp.kill_grants();
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "/wiki").await, None, "a session that has ended is nobody's, and no redirect");
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "elsewhere it is told to sign in");
}

#[tokio::test]
async fn on_an_optional_route_an_outage_makes_nobody_anonymous() {
    let world = World::build().set("oidc_outage_grace", "10m").routes(|_| OPTIONAL.to_owned()).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
    world.clock.advance(EXPIRED);
    assert_eq!(told(&world, &visitor, "/wiki").await.as_deref(), Some("sub-ann"), "within the grace");
    assert!(world.upstream.last().header("x-evergate-renewed-at").is_some());
    assert_eq!(visitor.get("/strict").await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(Duration::from_secs(900));
    assert_eq!(visitor.get("/wiki").await.status, StatusCode::SERVICE_UNAVAILABLE, "after it nobody knows who it is");
    assert_eq!(told(&world, &world.visitor(), "/wiki").await, None, "whoever brings no session needs no provider");
    assert!(visitor.session().is_some());
}

#[tokio::test]
async fn on_an_optional_route_another_site_s_request_does_not_use_the_session() {
    let world = World::build().routes(|_| OPTIONAL.to_owned()).start().await;
    let visitor = world.signed_in().await;
    let foreign = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(visitor.send(Method::POST, "/wiki", &foreign, "").await.status, StatusCode::FORBIDDEN);
    assert!(world.upstream.requests().is_empty());
    assert!(
        world.visitor().send(Method::POST, "/wiki", &foreign, "").await.is_upstreams(),
        "without one there is nothing to abuse"
    );
}

#[tokio::test]
async fn on_an_optional_route_whom_the_policy_does_not_admit_is_nobody() {
    let mut world = World::build().routes(|_| OPTIONAL.to_owned()).start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("oidc_email_domain", "other.example")]).await;
    let visitor = visitor.at(world.address());
    assert_eq!(told(&world, &visitor, "/wiki").await, None);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::FORBIDDEN);
}
