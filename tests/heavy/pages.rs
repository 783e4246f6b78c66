//! Pages that outlive their session, in a real browser.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_what_meets_the_end_of_a_session_waits_and_goes_on() {
    let run = tokio::task::spawn_blocking(|| {
        Command::new("node")
            .args(["session.mjs", env!("CARGO_BIN_EXE_evergate")])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
            .stdin(Stdio::null())
            .output()
    });
    let output = tokio::time::timeout(Duration::from_secs(600), run).await.unwrap().unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
}
