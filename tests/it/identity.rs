//! What an app is told of its user, in the headers that it wants.

use std::time::Duration;

use base64::prelude::*;
use evergate::{identity::MAX_CLAIM_SIZE, timings::Timings};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    idp::{Endpoint, Misbehaviour, Offline, user},
    logs::lines_with,
    upstream::{Seen, Upstream},
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);

/// Headers that every request has, whoever sends it.
const ALWAYS: [&str; 9] = [
    "host",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "accept",
    "sec-fetch-mode",
    "sec-fetch-dest",
];

/// What the app was told, without what every request has.
fn told(seen: &Seen) -> Vec<String> {
    let is_told = |name: &str| !ALWAYS.contains(&name) && name != "sec-fetch-site";
    let mut lines: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| is_told(name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

/// A request waits for its token refresh, however slow the machine is.
fn patient(timings: &mut Timings) {
    timings.blocking_refresh_wait = Duration::from_secs(60);
}

async fn told_at(world: &World, visitor: &Visitor, path: &str) -> Vec<String> {
    let reply = visitor.fetch(path).await;
    assert!(reply.is_upstreams(), "{path}: {} {}", reply.status, reply.text());
    told(&world.upstream.last())
}

fn ann(more: &Value) -> Value {
    let mut claims = user("ann");
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

const ROUTES: &str = r#"
    [[route]]
    path = "/grafana"
    identity = "grafana"

    [[route]]
    path = "/own"
    identity_headers = { X-User = "{username}@{claim:department}", X-Teams = "{claim:org.teams|join:;}", X-All = "{claim:org|json}", X-Gone = "{claim:nothing}" }

    [[route]]
    path = "/both"
    identity = "remote-user"
    identity_headers = { Remote-Name = "Dr. {username}", "X.Tenant" = "{claim:https://x.example/tenant}" }

    [[route]]
    path = "/none"
    identity = "none"

    [[route]]
    path = "/public"
    rule = "public"
"#;

async fn with_routes() -> World {
    let world = World::build().routes(|_| ROUTES.to_owned()).start().await;
    world.idp.log_in_as(ann(&json!({
        "name": "Ann A.", "department": "R&D", "groups": ["staff", "a,b"],
        "org": {"teams": ["x;y", "z"], "name": "Zoë\r\nX-Admin: 1"}, "https://x.example/tenant": 5,
    })));
    world
}

#[tokio::test]
async fn each_route_s_app_is_told_what_it_wants_and_nothing_else() {
    let world = with_routes().await;
    let visitor = world.signed_in().await;
    for (path, expected) in [
        (
            "/grafana",
            &[
                "x-webauth-email: ann@example.com",
                "x-webauth-groups: staff,a%2Cb",
                "x-webauth-name: Ann A.",
                "x-webauth-user: ann",
            ][..],
        ),
        ("/own", &[r#"x-all: {"name":"Zo\u00eb\r\nX-Admin: 1","teams":["x;y","z"]}"#, "x-teams: x%3By;z", "x-user: ann@R&D"]),
        (
            "/both",
            &[
                "remote-email: ann@example.com",
                "remote-groups: staff,a%2Cb",
                "remote-name: Dr. ann",
                "remote-user: ann",
                "x.tenant: 5",
            ],
        ),
        ("/none", &[]),
        ("/public", &[]),
        (
            "/",
            &[
                "x-forwarded-email: ann@example.com",
                "x-forwarded-groups: staff,a%2Cb",
                "x-forwarded-name: Ann A.",
                "x-forwarded-preferred-username: ann",
                "x-forwarded-user: sub-ann",
            ],
        ),
    ] {
        assert_eq!(told_at(&world, &visitor, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn no_client_sends_a_header_that_some_route_has_configured_however_it_spells_it() {
    let world = with_routes().await;
    let visitor = world.signed_in().await;
    let anonymous = world.visitor();
    let spoofed: Vec<_> = ["X-User", "x_user", "X.WebAuth_User", "remote_user", "REMOTE-NAME", "X~Tenant", "x-gone", "X_All"]
        .into_iter()
        .map(|name| (name, "eve"))
        .chain([("Connection", "X-User, remote-user"), ("X-Users", "mine")])
        .collect();
    for (visitor, path) in
        [(&visitor, "/grafana"), (&visitor, "/own"), (&visitor, "/none"), (&visitor, "/"), (&anonymous, "/public")]
    {
        assert!(visitor.send(Method::GET, path, &spoofed, "").await.is_upstreams(), "{path}");
        let lines = told(&world.upstream.last());
        assert!(!lines.iter().any(|line| line.ends_with(": eve")), "{path}: {lines:?}");
        assert!(lines.contains(&"x-users: mine".to_owned()), "{path}: {lines:?}");
    }
}

#[tokio::test]
async fn tokens_go_as_bearer_and_a_client_s_own_credentials_to_other_apps_alone() {
    let other = Upstream::start().await;
    let address = format!("http://{}", other.address);
    let world = World::build()
        .routes(move |_| {
            format!(
                r#"
                [[route]]
                path = "/id"
                identity = "argocd"

                [[route]]
                path = "/access"
                identity_headers = {{ Authorization = "Bearer {{access_token}}" }}

                [[route]]
                path = "/public"
                rule = "public"

                [[route]]
                path = "/other"
                rule = "public"
                upstream = "{address}"
                "#
            )
        })
        .start()
        .await;
    let visitor = world.signed_in().await;
    let bearer = async |path: &'static str| {
        let own = [("authorization", "Bearer mine"), ("x-mine", "1")];
        assert!(visitor.send(Method::GET, path, &own, "").await.is_upstreams(), "{path}");
        world.upstream.last().header("authorization").map(str::to_owned)
    };
    let id_token = bearer("/id").await.unwrap();
    let claims = id_token.strip_prefix("Bearer ").and_then(|token| token.split('.').nth(1)).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["sub"], "sub-ann");
    let access_token = bearer("/access").await.unwrap();
    assert!(access_token.starts_with("Bearer at-"), "{access_token}");
    assert_eq!((bearer("/").await, bearer("/public").await), (None, None), "the same app, which might believe it");
    assert!(visitor.send(Method::GET, "/other", &[("authorization", "Basic own")], "").await.is_upstreams());
    assert_eq!(other.last().header("authorization"), Some("Basic own"), "another app takes its own clients' credentials");

    world.clock.advance(EXPIRED);
    let (newer_id, newer_access) = (bearer("/id").await.unwrap(), bearer("/access").await.unwrap());
    assert!(newer_id != id_token && newer_access != access_token, "a token refresh brings newer ones");
    world.idp.edit_header(|header| header["alg"] = json!("XX1"));
    world.clock.advance(EXPIRED);
    assert_eq!((bearer("/id").await, bearer("/access").await), (None, None), "none that might be another user's");
}

#[tokio::test]
async fn an_app_that_knows_users_by_basic_credentials_gets_them() {
    let world = World::build()
        .set("identity_basic_password", "pass:wörd")
        .routes(|_| "[[route]]\npath = \"/none\"\nidentity = \"none\"\n".to_owned())
        .start()
        .await;
    let visitor = world.signed_in().await;
    let lines = told_at(&world, &visitor, "/").await;
    let expected = format!("authorization: Basic {}", BASE64_STANDARD.encode("ann:pass:wörd"));
    assert!(lines.contains(&expected), "{lines:?}");
    assert_eq!(told_at(&world, &visitor, "/none").await, [""; 0]);
    let mut claims = user("bob");
    claims["preferred_username"] = json!("bob:x");
    world.idp.log_in_as(claims);
    let lines = told_at(&world, &world.signed_in().await, "/").await;
    assert!(!lines.iter().any(|line| line.starts_with("authorization")), "it would be the user bob: {lines:?}");
    assert!(lines_with(&["pass:wörd"]).is_empty());
}

#[tokio::test]
async fn a_claim_that_is_configured_later_comes_with_one_token_refresh_and_nobody_sees_anything_of_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = World::build().on(kind).timed(patient).start().await;
        world.idp.log_in_as(ann(&json!({"department": "eng"})));
        let visitor = world.signed_in().await;
        world.restart_with(&[("identity_headers", r#"{"X-Department":"{claim:department}","X-Office":"{claim:office}"}"#)]).await;
        let visitor = visitor.at(world.address());
        for _ in 0..3 {
            assert_eq!(told_at(&world, &visitor, "/").await, ["x-department: eng"], "{kind:?}");
            assert!(visitor.get("/").await.is_upstreams(), "no page goes through the provider");
        }
        assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.passes()), (1, 1), "{kind:?}");
        // A replica of an older release writes an identity without claims, which stays for a minute.
        world.clock.advance(Duration::from_secs(60));
        world.sql("UPDATE grants SET identity = '{\"subject\":\"sub-ann\",\"username\":\"ann\",\"email\":\"ann@example.com\",\"groups\":[]}'").await;
        world.restart_with(&[]).await;
        let visitor = visitor.at(world.address());
        assert_eq!(told_at(&world, &visitor, "/").await, ["x-department: eng"], "{kind:?}");
        assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.passes()), (2, 1), "{kind:?}");
    }
}

#[tokio::test]
async fn while_the_provider_is_away_a_claim_that_was_configured_later_is_absent_and_all_else_goes_on() {
    let mut world = World::build().timed(patient).start().await;
    world.idp.log_in_as(ann(&json!({"department": "eng"})));
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
    let headers = r#"{"X-User":"{user}","X-Department":"{claim:department}"}"#;
    world.restart_with(&[("identity_headers", headers)]).await;
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert_eq!(told_at(&world, &visitor, "/").await, ["x-user: sub-ann"]);
    }
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(120));
    crate::harness::eventually::eventually("the claim comes", async || {
        told_at(&world, &visitor, "/").await == ["x-department: eng", "x-user: sub-ann"]
    })
    .await;
    assert_eq!(world.idp.passes(), 1);
}

#[tokio::test]
async fn a_refresh_without_an_id_token_brings_the_claim_from_user_info_and_is_not_repeated_for_what_nobody_has() {
    let mut world = World::build().timed(patient).start().await;
    world.idp.log_in_as(ann(&json!({"department": "eng"})));
    let visitor = world.signed_in().await;
    world.idp.edit_answer(|answer| answer["id_token"] = Value::Null);
    world.restart_with(&[("identity_headers", r#"{"X-Department":"{claim:department}","X-Office":"{claim:office}"}"#)]).await;
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert_eq!(told_at(&world, &visitor, "/").await, ["x-department: eng"]);
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.clock.advance(Duration::from_secs(60));
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(500, String::new(), vec![]));
    world.restart_with(&[("identity_headers", r#"{"X-Department":"{claim:department}","X-Level":"{claim:level}"}"#)]).await;
    // What is refreshed from now on has been since this process began.
    world.clock.advance(Duration::from_secs(1));
    let visitor = visitor.at(world.address());
    for _ in 0..3 {
        assert_eq!(told_at(&world, &visitor, "/").await, ["x-department: eng"], "what is known stays");
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_gets_the_claim_by_the_provider_s_own_session() {
    let mut world = World::build().start_with(|idp| idp.give_refresh_tokens(Offline::Never)).await;
    world.idp.log_in_as(ann(&json!({"department": "eng"})));
    let visitor = world.signed_in().await;
    world.restart_with(&[("identity_headers", r#"{"X-Department":"{claim:department}"}"#)]).await;
    let visitor = visitor.at(world.address());
    assert_eq!(told_at(&world, &visitor, "/").await, [""; 0], "a script is served on");
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(told_at(&world, &visitor, "/").await, ["x-department: eng"]);
    assert_eq!((world.idp.prompts(), world.idp.passes()), (1, 2), "nobody was asked anything");
}

#[tokio::test]
async fn each_token_refresh_brings_the_claims_as_they_are_now() {
    let world = World::build().timed(patient).set("identity_headers", r#"{"X-Teams":"{claim:teams}"}"#).start().await;
    world.idp.log_in_as(ann(&json!({"teams": ["a"]})));
    let visitor = world.signed_in().await;
    assert_eq!(told_at(&world, &visitor, "/").await, ["x-teams: a"]);
    let huge = vec!["x".repeat(100); MAX_CLAIM_SIZE / 100];
    for (teams, expected) in
        [(json!(["b", "c"]), &["x-teams: b,c"][..]), (json!([]), &[]), (json!(huge), &[]), (json!("one"), &["x-teams: one"])]
    {
        let claims = teams.clone();
        world.idp.edit_id_token(move |token| token["teams"] = claims.clone());
        let claims = teams.clone();
        world.idp.edit_userinfo(move |info| info["teams"] = claims.clone());
        world.clock.advance(EXPIRED);
        assert_eq!(told_at(&world, &visitor, "/").await, expected, "{expected:?}");
    }
}

#[tokio::test]
async fn a_websocket_s_app_is_told_the_same() {
    let world = World::build().set("identity", "grafana").start().await;
    let visitor = world.signed_in().await;
    drop(visitor.websocket().await);
    let seen = world.upstream.last();
    assert_eq!((seen.header("x-webauth-user"), seen.header("x-forwarded-user")), (Some("ann"), None));
    assert_eq!(visitor.fetch("/").await.status, StatusCode::OK);
}
