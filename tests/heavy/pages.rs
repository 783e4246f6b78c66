//! Our own pages, and pages that outlive their session, in a real browser.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use axum::{Router, response::Html};
use tokio::net::TcpListener;

use crate::harness::World;

/// An app that everybody may see, but for `/api`.
async fn public() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let pages = Router::new().fallback(async || Html("<!doctype html><title>A page</title>"));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let route = move |more: &str| format!("[[route]]\nupstream = \"http://{app}\"\n{more}\n");
    let routes = move |_: &str| route("path = \"/\"\nrule = \"public\"\nsession_script = true") + &route("path = \"/api\"");
    World::build().set("access_url", "http://public.test").routes(routes).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_what_meets_the_end_of_a_session_waits_and_goes_on() {
    let public = public().await;
    run("session.mjs", &[&public.address().to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_our_own_pages_are_for_every_width_and_everybody_and_a_frame_opens_the_login_beside_it() {
    let routes = |_: &str| {
        let app = |path: &str, more: &str| format!("[[route]]\npath = \"{path}\"\n{more}\n");
        app("/wiki", "portal_name = \"Wiki\"\nportal_text = \"What everybody should know, and where it is written down.\"")
            + &app("/charts", "portal_name = \"Verkehrsüberwachungsdiagramme\"")
    };
    let build = World::build().set("access_url", "http://portal.test").set("portal_enable", "true").routes(routes);
    let portal = build.start().await;
    let visitor = portal.visitor().on_host("portal.test");
    visitor.log_in(&portal.idp, "/wiki").await;
    run("pages.mjs", &[&portal.address().to_string(), &visitor.cookies()["evergate_session"]]).await;
}

async fn run(script: &'static str, arguments: &[&str]) {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .args([script, env!("CARGO_BIN_EXE_evergate")])
            .args(arguments)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
            .stdin(Stdio::null())
            .output()
    });
    let output = tokio::time::timeout(Duration::from_secs(600), run).await.unwrap().unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
}
