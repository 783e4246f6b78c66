//! Signed assertions: an app knows by itself who sends a request.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use base64::prelude::*;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{
    ACCESS, World,
    assertion::{ASSERTION, verified},
    idp::{Signer, user},
    visitor::Visitor,
};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// The token that the app at `path` gets.
async fn token(world: &World, visitor: &Visitor, path: &str) -> String {
    let reply = visitor.fetch(path).await;
    assert!(reply.is_upstreams(), "{path}: {} {}", reply.status, reply.text());
    world.upstream.last().header(ASSERTION).unwrap_or_else(|| panic!("{path} got none")).to_owned()
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
    assert!(verified(&Signer::forged(&reports), &keys).is_none());
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

/// A program of the document.
struct Program {
    heading: &'static str,
    file: &'static str,
    /// What compiles it, if anything does: a program and its arguments.
    compiler: &'static [&'static str],
    /// What runs it in its folder.
    command: &'static [&'static str],
}

const PROGRAMS: [Program; 5] = [
    Program { heading: "Node.js", file: "verify.js", compiler: &[], command: &["node", "verify.js"] },
    Program { heading: "Python", file: "verify.py", compiler: &[], command: &["python3", "verify.py"] },
    Program { heading: "PHP", file: "verify.php", compiler: &[], command: &["php", "verify.php"] },
    Program { heading: "Go", file: "verify.go", compiler: &["go", "build", "-o", "verify", "verify.go"], command: &["./verify"] },
    Program {
        heading: "Java",
        file: "Verify.java",
        compiler: &["javac", "-cp", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/java/*"), "Verify.java"],
        command: &["java", "-cp", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/java/*:."), "Verify"],
    },
];

/// Runs a program and returns whether it succeeded, and what it printed and said.
fn run(folder: &Path, command: &[&str], arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .args(arguments)
        .current_dir(folder)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/python"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

impl Program {
    /// Writes it out of the document into a folder, and compiles it.
    fn prepare(&self, folder: &Path) {
        let document = include_str!("../../docs/assertion.md");
        let section = document.split(&format!("\n### {}\n", self.heading)).nth(1).unwrap();
        let code = section.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
        std::fs::write(folder.join(self.file), code).unwrap();
        if !self.compiler.is_empty() {
            let (compiled, printed, said) = run(folder, self.compiler, &[]);
            assert!(compiled, "{}: {printed} {said}", self.heading);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_document_verify_it_and_refuse_what_is_not_good() {
    let world = World::build().routes(|_| ROUTES.to_owned()).start().await;
    let visitor = world.signed_in().await;
    let (token, keys) = (token(&world, &visitor, "/reports").await, key_set(&world).await.to_string());
    let now = world.clock.now().seconds();
    let parts: Vec<&str> = token.split('.').collect();
    // The token with another member in a part of it, and what is left of it.
    let changed = |part: &str, name: &str, value: &str| {
        let mut members: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        members[name] = json!(value);
        BASE64_URL_SAFE_NO_PAD.encode(members.to_string())
    };
    let forged = format!("{}.{}.{}", parts[0], changed(parts[1], "sub", "eve"), parts[2]);
    let unsigned = format!("{}.{}.", changed(parts[0], "alg", "none"), parts[1]);
    let of_another_key = format!("{}.{}.{}", changed(parts[0], "kid", "another"), parts[1], parts[2]);
    let judge = move |program: &Program| {
        let folder = tempfile::tempdir().unwrap();
        program.prepare(folder.path());
        let audience = format!("{ACCESS}/reports");
        let verify = |token: &str, issuer: &str, audience: &str, now: i64| {
            run(folder.path(), program.command, &[token, &keys, issuer, audience, &now.to_string()])
        };
        let (good, subject, said) = verify(&token, ACCESS, &audience, now);
        assert!(good, "{}: {said}", program.heading);
        assert_eq!(subject, "sub-ann", "{}", program.heading);
        for (what, token, issuer, audience, now) in [
            ("another issuer", &token, "https://other.test", audience.as_str(), now),
            ("another audience", &token, ACCESS, ACCESS, now),
            ("too late", &token, ACCESS, &audience, now + 61),
            ("forged", &forged, ACCESS, &audience, now),
            ("unsigned", &unsigned, ACCESS, &audience, now),
            ("of another key", &of_another_key, ACCESS, &audience, now),
        ] {
            let (passed, subject, _) = verify(token, issuer, audience, now);
            assert!(!passed && subject.is_empty(), "{}: {what} {subject}", program.heading);
        }
    };
    let judging: Vec<_> = PROGRAMS
        .iter()
        .map(|program| {
            let judge = judge.clone();
            tokio::task::spawn_blocking(move || judge(program))
        })
        .collect();
    for judged in judging {
        judged.await.unwrap();
    }
}
