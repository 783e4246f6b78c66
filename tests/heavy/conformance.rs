//! Suites that others have written, or that follow theirs case by case, against Evergate.

use std::collections::BTreeSet;

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

/// Cases of RFC 9113 that the `h2` crate decides, and decides otherwise: nearly all end the connection with another code.
const H2_DEVIATIONS: &str = include_str!("../peers/h2_deviations.txt");

#[tokio::test]
async fn http_2_is_spoken_as_rfc_9113_has_it_but_for_what_is_known_of_h2() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let (port, cookie) = (world.address().port().to_string(), visitor.cookie_header());
    let known: BTreeSet<&str> = H2_DEVIATIONS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for session in [None, Some(cookie.as_str())] {
        let mut arguments = vec![port.as_str(), "--authority", "app.test", "--path", "/echo"];
        arguments.extend(session.into_iter().flat_map(|cookie| ["--cookie", cookie]));
        let output = python::run("h2_conformance.py", &arguments).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let failed = text.lines().filter_map(|line| line.strip_prefix("FAIL "));
        let failed: Vec<(&str, &str)> = failed.filter_map(|line| line.split_once(" — ")).collect();
        let new: Vec<_> = failed.iter().filter(|(case, _)| !known.contains(case)).collect();
        assert!(new.is_empty(), "{new:#?}");
        let mended: Vec<_> = known.iter().filter(|case| !failed.iter().any(|(failed, _)| failed == *case)).collect();
        assert!(mended.is_empty(), "these are well now, and to be taken off the list: {mended:#?}");
        let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(passed >= 180, "{passed} {}", String::from_utf8_lossy(&output.stderr));
    }
}
