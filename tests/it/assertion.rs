//! Signed assertions: an app knows by itself who sends a request.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use base64::prelude::*;
use evergate::jose::{Algorithm, KeySet, SignedToken, UnknownKeyIds, VerificationOptions};
use http::Method;
use serde_json::{Map, Value, json};

use crate::harness::{ACCESS, World, idp::user, visitor::Visitor};

const ASSERTION: &str = "x-evergate-assertion";
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The token that the app at `path` gets.
async fn token(world: &World, visitor: &Visitor, path: &str) -> String {
    let reply = visitor.fetch(path).await;
    assert!(reply.is_upstreams(), "{path}: {} {}", reply.status, reply.text());
    world.upstream.last().header(ASSERTION).unwrap_or_else(|| panic!("{path} got none")).to_owned()
}

/// What an app reads by its own means.
fn verified(token: &str, key_set: &Value) -> Option<Map<String, Value>> {
    let keys = KeySet::parse(key_set.to_string().as_bytes()).unwrap();
    let options = VerificationOptions {
        algorithms: &[Algorithm::Es256],
        keys: &keys,
        key_issuer: None,
        unknown_key_ids: UnknownKeyIds::Reject,
        secrets: &[],
    };
    SignedToken::parse(token).ok()?.verify(options).ok().map(|(claims, _)| claims.members)
}

async fn key_set(world: &World) -> Value {
    world.visitor().fetch("/oauth2/jwks").await.json()
}

const ROUTES: &str = r#"
    [[route]]
    path = "/reports"
    assertion = true

    [[route]]
    path = "/none"
    identity = "none"
    assertion = true

    [[route]]
    host = "other.test"
    path = "/wiki"
    assertion = true

    [[route]]
    path = "/public"
    rule = "public"
"#;

#[tokio::test]
async fn an_app_is_sent_who_its_user_is_for_it_alone_and_for_a_minute() {
    let world = World::build().routes(|_| ROUTES.to_owned()).start().await;
    let mut claims = user("ann");
    claims["groups"] = json!(["staff"]);
    world.idp.log_in_as(claims);
    let visitor = world.signed_in().await;
    let keys = key_set(&world).await;
    let (reports, none) = (token(&world, &visitor, "/reports/1").await, token(&world, &visitor, "/none").await);
    let claims = verified(&reports, &keys).unwrap();
    let now = world.clock.now().seconds();
    for (name, expected) in [
        ("iss", json!(ACCESS)),
        ("aud", json!(format!("{ACCESS}/reports"))),
        ("sub", json!("sub-ann")),
        ("email", json!("ann@example.com")),
        ("preferred_username", json!("ann")),
        ("groups", json!(["staff"])),
        ("iat", json!(now)),
        ("exp", json!(now + 60)),
        ("auth_time", json!(now)),
        ("renewed_at", json!(now)),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    let of_none = verified(&none, &keys).unwrap();
    assert_eq!((&of_none["aud"], &of_none["sid"]), (&json!(format!("{ACCESS}/none")), &claims["sid"]));
    assert!(world.upstream.last().header("x-forwarded-user").is_none());
    assert_eq!(token(&world, &visitor, "/reports").await, reports, "it is signed once, and not for each request");
    world.clock.advance(Duration::from_secs(31));
    let newer = verified(&token(&world, &visitor, "/reports").await, &keys).unwrap();
    assert_eq!((&newer["iat"], &newer["sid"], &newer["auth_time"]), (&json!(now + 31), &claims["sid"], &json!(now)));
    let other = world.signed_in().await;
    assert_ne!(verified(&token(&world, &other, "/reports").await, &keys).unwrap()["sid"], claims["sid"]);
    let mut tampered = reports.clone();
    tampered.replace_range(reports.len() - 4.., "AAAA");
    assert!(verified(&tampered, &keys).is_none());
}

#[tokio::test]
async fn no_client_sends_one_and_no_other_route_has_one() {
    let world = World::build().routes(|_| ROUTES.to_owned()).start().await;
    let visitor = world.signed_in().await;
    let own = token(&world, &visitor, "/reports").await;
    let spoofed = [(ASSERTION, own.as_str()), ("x_evergate_assertion", "eve"), ("accept", "text/html")];
    for path in ["/public", "/"] {
        assert!(visitor.send(Method::GET, path, &spoofed, "").await.is_upstreams(), "{path}");
        let seen = world.upstream.last();
        assert_eq!((seen.header(ASSERTION), seen.header("x_evergate_assertion")), (None, None), "{path}");
    }
}

#[tokio::test]
async fn replicas_and_restarts_sign_with_the_same_keys_which_are_known_a_week_before() {
    let mut world = World::build()
        .replicas(2)
        .set("identity_assertion", "true")
        .set("session_max_duration", "90d")
        .set("session_duration", "60d")
        .start()
        .await;
    let visitor = world.signed_in().await;
    let known = key_set(&world).await;
    let there = visitor.at(world.replicas[1].address);
    let (here, other) = (token(&world, &visitor, "/").await, token(&world, &there, "/").await);
    assert!(verified(&here, &known).is_some() && verified(&other, &known).is_some());
    assert_eq!(visitor.at(world.replicas[1].address).fetch("/oauth2/jwks").await.json(), known);
    world.clock.advance(WEEK);
    let next = token(&world, &visitor, "/").await;
    assert!(verified(&next, &known).is_some(), "whoever read the keys a week ago knows the new one");
    let newer = key_set(&world).await;
    assert_ne!(newer, known);
    assert!(verified(&here, &newer).is_some(), "and the old one is still published");
    world.restart_with(&[]).await;
    assert_eq!(key_set(&world).await, newer);
    world.clock.advance(2 * WEEK);
    assert!(verified(&here, &key_set(&world).await).is_none());
}

/// The program under a heading of the document.
fn program(heading: &str) -> String {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/assertion.md")).unwrap();
    let section = document.split(&format!("\n### {heading}\n")).nth(1).unwrap();
    let code = section.split("```").nth(1).unwrap();
    code.split_once('\n').unwrap().1.to_owned()
}

#[tokio::test]
async fn the_programs_of_the_document_verify_it_and_refuse_what_is_not_good() {
    let world = World::build().routes(|_| ROUTES.to_owned()).start().await;
    let visitor = world.signed_in().await;
    let (token, keys) = (token(&world, &visitor, "/reports").await, key_set(&world).await.to_string());
    let audience = format!("{ACCESS}/reports");
    let now = world.clock.now().seconds();
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["sub"] = json!("eve");
    let forged = format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2]);
    let files = tempfile::tempdir().unwrap();
    for (heading, command, file) in
        [("Node.js", "node", "verify.js"), ("Python", "python3", "verify.py"), ("PHP", "php", "verify.php")]
    {
        let path = files.path().join(file);
        std::fs::write(&path, program(heading)).unwrap();
        let run = |token: &str, audience: &str, now: i64| {
            let output = Command::new(command)
                .arg(&path)
                .args([token, &keys, ACCESS, audience, &now.to_string()])
                .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/python"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned(), output.stderr)
        };
        let (good, subject, said) = run(&token, &audience, now);
        assert!(good, "{heading}: {}", String::from_utf8_lossy(&said));
        assert_eq!(subject, "sub-ann", "{heading}");
        for (what, token, audience, now) in [
            ("another audience", &token, ACCESS, now),
            ("too late", &token, audience.as_str(), now + 61),
            ("forged", &forged, audience.as_str(), now),
        ] {
            let (passed, subject, _) = run(token, audience, now);
            assert!(!passed && subject != "eve", "{heading}: {what} {subject}");
        }
    }
}
