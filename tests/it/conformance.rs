//! Suites that others have written, or that follow theirs case by case, against Evergate.

use serde_json::Value;

use crate::harness::{
    World,
    python::{self, Served},
};

/// Fails with the cases that failed.
fn all_passed(output: &std::process::Output, at_least: u64) {
    let text = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = text.lines().filter(|line| line.starts_with("FAIL")).collect();
    let counted: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("it counts at its end");
    assert!(failed.is_empty() && output.status.success(), "{failed:#?} {}", String::from_utf8_lossy(&output.stderr));
    assert!(counted["passed"].as_u64().unwrap() >= at_least && counted["failed"] == 0, "{counted}");
}

#[tokio::test]
async fn websockets_pass_every_case_of_the_autobahn_suite_as_they_do_without_us() {
    let echo = Served::start("websocket_cases.py", &["--serve"]);
    let world = World::build().set("upstream_url", &format!("http://127.0.0.1:{}", echo.port)).start().await;
    let cookie = world.signed_in().await.cookie_header();
    let direct = format!("ws://127.0.0.1:{}/", echo.port);
    let through = format!("ws://{}/", world.address());
    let arguments = ["--direct", &direct, "--through", &through, "--host", "app.test", "--cookie", &cookie];
    all_passed(&python::run("websocket_cases.py", &arguments).await, 500);
}
