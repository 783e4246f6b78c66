//! What clients and administrators read, kept word for word: responses of our own, and the log lines that people search for.
//!
//! After a change that is meant, `INSTA_UPDATE=always cargo test --test it snapshots::` writes the new text, and the difference is
//! read like code.

use http::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{World, logs::lines_with, visitor::Reply};

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
