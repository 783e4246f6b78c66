//! What a real browser lets scripts of other origins do with an API behind Evergate.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, response::Html};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::World;

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

/// Serves one page by whatever name.
async fn pages() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Router::new().fallback(async || Html("<!doctype html><title>A page</title>"));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_scripts_of_an_allowed_origin_use_the_api_and_learn_of_refusals_and_those_of_a_sibling_host_do_not() {
    let world = World::build()
        .set("access_url", "http://app.test")
        .routes(|_| {
            "[[route]]\npath = \"/api\"\n[route.cors]\norigins = [\"http://friend.app.test\"]\nmethods = [\"GET\", \"PUT\"]\n\
             headers = [\"content-type\"]\ncredentials = true\n"
                .to_owned()
        })
        .start()
        .await;
    let ann = world.signed_in().await;
    let cookie = format!("evergate_session={}", ann.cookies()["evergate_session"]);
    let (api, pages) = (world.address().to_string(), pages().await);
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node").args(["cors.mjs", &api, &pages, &cookie]).current_dir(PEERS).stdin(Stdio::null()).output()
    });
    let output = tokio::time::timeout(Duration::from_secs(300), run).await.unwrap().unwrap().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {complaints}"));

    let friend = &told["friend.app.test"];
    assert_eq!((&friend["put"]["status"], &friend["put"]["text"]), (&json!(200), &json!("PUT /api/put 2")), "{told:#}");
    assert_eq!((&friend["anonymous"]["status"], &friend["anonymous"]["mark"]), (&json!(401), &json!("sign_in_required")));
    assert!(friend["anonymous"]["text"].as_str().unwrap().contains("login_url"));
    assert_eq!(friend["unlisted"]["failed"], "TypeError", "its preflight does not allow PATCH");
    assert_eq!(
        (&friend["simple"]["status"], &friend["simple"]["mark"]),
        (&json!(403), &json!("access_denied")),
        "POST is not listed"
    );

    let evil = &told["evil.app.test"];
    for request in ["put", "anonymous", "unlisted", "simple"] {
        assert_eq!(evil[request]["failed"], "TypeError", "{request}: {told:#}");
    }
    assert_eq!(evil["unseen"]["type"], "opaque");
    let seen: Vec<String> = world.upstream.requests().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(seen, ["PUT /api/put"], "the browser sent the user's cookie with the others too");
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"));
}
