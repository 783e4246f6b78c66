//! Personal access tokens in a real browser: a person makes one, and a script of the app, which is of the same origin, does not.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{World, process::free_port, visitor::Visitor};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");

#[tokio::test]
async fn a_person_s_click_makes_a_token_and_a_script_of_the_app_neither_makes_one_nor_reads_one() {
    let address = format!("127.0.0.1:{}", free_port());
    let origin = format!("http://{address}");
    let world = World::build()
        .set("access_url", &origin)
        .set("http_address", &address)
        .routes(|_| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n".to_owned())
        .start()
        .await;
    let ann = Visitor::new(world.address()).on_host(&address);
    ann.log_in(&world.idp, "/").await;
    let session = ann.cookies().into_iter().find(|(name, _)| name.ends_with("evergate_session")).unwrap();
    let cookie = format!("{}={}", session.0, session.1);
    let run = move || {
        Command::new("node").args(["tokens.mjs", &origin, &cookie]).current_dir(PEERS).stdin(Stdio::null()).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert!(told["made"].as_str().unwrap().starts_with("evg_"), "{told}");
    assert_eq!((&told["fetch"], &told["script"]), (&json!(403), &json!("This page is too old")), "{told}");
    assert_eq!((&told["opener"], &told["seal"]), (&json!("SecurityError"), &json!(403)), "{told}");
    let mut names: Vec<_> = told["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["by hand", "in a window"]);
}
