//! What clients and administrators read, kept word for word: responses of our own, and the log lines that people search for.
//!
//! After a change that is meant, `INSTA_UPDATE=always cargo test --test it snapshots::` writes the new text, and the difference is
//! read like code.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    logs::lines_with,
    visitor::Reply,
};

/// The text without what differs from run to run: request ids and sealed values.
fn steady(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let mut out = String::new();
    for part in text.split_inclusive(|letter| !is_part(letter)) {
        let word = part.trim_end_matches(|letter| !is_part(letter));
        let is_id = word.len() == 16 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
        let shown = if is_id { part.replace(word, "REQUEST-ID") } else { part.to_owned() };
        out.push_str(&shown);
    }
    out
}

/// A page, without its style sheet.
fn page(reply: &Reply) -> String {
    let text = reply.text();
    let (head, rest) = text.split_once("<style>").unwrap();
    let (_style, body) = rest.split_once("</style>").unwrap();
    steady(&format!("{} {}\n{head}{body}", reply.status.as_u16(), reply.header("evergate-response")))
}

/// The access line of a request, without what differs from run to run.
fn access_line(id: &str) -> String {
    let lines = lines_with(&["evergate::access", id]);
    let mut line: Value = serde_json::from_str(&lines[0]).unwrap();
    for name in ["timestamp", "request.id", "duration.us", "head.us", "upstream.us", "upstream.address", "user.id"] {
        if line.get(name).is_some() {
            line[name] = "…".into();
        }
    }
    serde_json::to_string_pretty(&line).unwrap()
}

#[tokio::test]
async fn pages_and_json_of_ours_read_as_ever() {
    let world = World::build().set("oidc_allowed_groups", "auditors").start().await;
    let stranger = world.visitor();
    let html = [("accept", "text/html")];
    insta::assert_snapshot!("sign-in_needed_for_a_script", steady(&stranger.fetch("/").await.text()));
    for (name, method, path) in [
        ("a_form_whose_session_has_ended", Method::POST, "/"),
        ("a_callback_without_a_state", Method::GET, "/oauth2/callback?code=x"),
        ("a_callback_of_an_unknown_attempt", Method::GET, "/oauth2/callback?code=x&state=y"),
        ("no_such_page", Method::GET, "/oauth2/nowhere"),
        ("signed_out", Method::GET, "/oauth2/signed_out"),
        ("a_question_before_a_sign-out", Method::GET, "/oauth2/sign_out"),
    ] {
        insta::assert_snapshot!(name, page(&stranger.send(method, path, &html, "").await));
    }
    let denied = world.visitor().browse(&world.idp, "/").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!("a_denied_account", page(&denied));
}

#[tokio::test]
async fn the_access_line_reads_as_ever() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    visitor.get("/snapshot?secret=hush").await;
    insta::assert_snapshot!("access_line_served", access_line(world.upstream.last().header("x-request-id").unwrap()));
    let refused = world.visitor().fetch("/snapshot").await.json();
    insta::assert_snapshot!("access_line_refused", access_line(refused["request_id"].as_str().unwrap()));
}

/// The line that a refusal logged, without what differs from run to run.
fn refusal_line(refused: &Reply) -> String {
    let text = refused.text();
    let is_id = |word: &&str| word.len() == 16 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    let id = text.split(|letter: char| !letter.is_ascii_alphanumeric()).find(is_id).unwrap().to_owned();
    let lines: Vec<_> =
        lines_with(&[id.as_str(), "evergate::refusal"]).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [Value::Object(line)] = &lines[..] else { panic!("{text}: {lines:?}") };
    let mut line = line.clone();
    assert_eq!(line.insert("request.id".to_owned(), "…".into()), Some(id.into()));
    line.remove("timestamp");
    // Pauses have jitter, and how a connection to the database fails is the system's to say.
    for name in ["retry.seconds", if line["message"] == "the store is known to be away" { "error" } else { "" }] {
        if let Some(value) = line.get_mut(name) {
            *value = "…".into();
        }
    }
    Value::Object(line).to_string()
}

#[tokio::test]
async fn the_log_line_of_a_refusal_reads_as_ever() {
    let mut world = World::build()
        .on(Kind::Postgres)
        .set("oidc_outage_grace", "0s")
        .routes(|upstream| {
            let nowhere = "unix:/nonexistent/app.sock";
            format!(
                "[[route]]\npath = \"/\"\nupstream = \"{upstream}\"\n\
                 [[route]]\npath = \"/audit\"\nupstream = \"{upstream}\"\ngroups = [\"auditors\"]\n\
                 [[route]]\npath = \"/down\"\nupstream = \"{nowhere}\"\n"
            )
        })
        .start()
        .await;
    let (stranger, visitor) = (world.visitor(), world.signed_in().await);
    let script = ("accept", "application/json");
    let form = [script, ("content-type", "application/x-www-form-urlencoded")];
    let mut lines = Vec::new();
    for refused in [
        stranger.fetch("/x/..%2faudit").await,
        stranger.fetch("/").await,
        stranger.send(Method::GET, "/", &[script, ("host", "other.test")], "").await,
        stranger.get("/oauth2/callback?code=x&state=y").await,
        stranger.send(Method::POST, "/oauth2/backchannel_logout", &form, "logout_token=a.b.c").await,
        visitor.fetch("/audit").await,
        visitor.fetch("/down").await,
    ] {
        lines.push(refusal_line(&refused));
    }
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, "away".to_owned(), vec![]));
    world.clock.advance(Duration::from_secs(301));
    lines.push(refusal_line(&visitor.fetch("/").await));
    world.idp_line.cut();
    world.restart_with(&[]).await;
    lines.push(refusal_line(&world.visitor().get("/oauth2/start").await));
    world.store_line.as_ref().unwrap().cut();
    eventually("the store is known to be away", async || {
        let refused = visitor.at(world.address()).fetch("/").await;
        let is_known = refused.status == StatusCode::SERVICE_UNAVAILABLE && refusal_line(&refused).contains("known to be away");
        if is_known {
            lines.push(refusal_line(&refused));
        }
        is_known
    })
    .await;
    insta::assert_snapshot!("log_lines_of_refusals", lines.join("\n"));
}
