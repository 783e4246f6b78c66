//! Settings that a process takes over while it runs, when its file changes or it gets SIGHUP.

use std::{path::PathBuf, process::Command};

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{World, eventually::eventually, process::Process, visitor::Visitor};

/// A world whose routes are `routes`, and a process of it that logs to a file.
async fn running(routes: &'static str) -> (World, Process, PathBuf, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .routes(move |app| format!("upstream_url = \"{app}\"\n{routes}"))
        .set("logging_json", log.to_str().unwrap())
        .without("upstream_url")
        .start()
        .await;
    let process = world.process(None).await;
    (world, process, log, directory)
}

fn hang_up(process: &Process) {
    assert!(Command::new("kill").args(["-HUP", &process.id().to_string()]).status().unwrap().success());
}

/// Waits for a line of the log.
async fn is_logged(log: &PathBuf, text: &str) {
    eventually(text, async || std::fs::read_to_string(log).unwrap_or_default().contains(text)).await;
}

#[tokio::test]
async fn at_sighup_the_log_goes_on_in_a_new_file_where_the_old_one_was_moved_away() {
    let (world, process, log, directory) = running("").await;
    let visitor = Visitor::new(process.address);
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    let moved = directory.path().join("log.1");
    std::fs::rename(&log, &moved).unwrap();
    visitor.fetch("/page-before").await;
    is_logged(&moved, "/page-before").await;
    hang_up(&process);
    is_logged(&log, "SIGHUP received").await;
    visitor.fetch("/page-after").await;
    is_logged(&log, "/page-after").await;
    assert!(!std::fs::read_to_string(&moved).unwrap().contains("/page-after"));
    // Where none can be made, lines go on to the one that is open.
    std::fs::rename(&log, directory.path().join("log.2")).unwrap();
    std::fs::create_dir(&log).unwrap();
    hang_up(&process);
    is_logged(&directory.path().join("log.2"), "could not be opened again").await;
}

#[tokio::test]
async fn a_file_that_changes_changes_routes_and_rules_for_new_requests_and_ends_nothing_that_is_open() {
    let (world, process, log, _directory) = running("[[route]]\npath = \"/page\"\nrule = \"public\"\n").await;
    let (visitor, anybody) = (Visitor::new(process.address), Visitor::new(process.address));
    assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
    let status = async |visitor: &Visitor, path: &str| visitor.fetch(path).await.status;
    assert_eq!(status(&anybody, "/page").await, StatusCode::OK);
    assert_eq!(status(&anybody, "/cookies").await, StatusCode::UNAUTHORIZED);
    let (mut socket, mut stream) = (visitor.websocket().await, visitor.open("/stream").await);
    assert_eq!(stream.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "first ");

    let routes = "[[route]]\npath = \"/cookies\"\nrule = \"public\"\n[[route]]\npath = \"/page\"\ngroups = [\"nobody\"]\n";
    std::fs::write(world.settings_file(), format!("upstream_url = \"http://{}\"\n{routes}", world.upstream.address)).unwrap();
    is_logged(&log, "the settings were reloaded").await;
    assert_eq!(status(&anybody, "/cookies").await, StatusCode::OK);
    assert_eq!(status(&anybody, "/page").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&visitor, "/page").await, StatusCode::FORBIDDEN);
    assert!(visitor.get("/").await.is_upstreams(), "the session is what it was");

    socket.send(Message::text("still there?")).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    world.upstream.open_gate();
    assert_eq!(stream.into_body().collect().await.unwrap().to_bytes(), "second");
}

#[tokio::test]
async fn a_change_that_a_signal_brought_into_force_and_that_is_taken_back_is_a_change() {
    let (world, process, log, _directory) = running("[[route]]\npath = \"/page\"\nrule = \"public\"\n").await;
    let (anybody, before) = (Visitor::new(process.address), std::fs::read(world.settings_file()).unwrap());
    assert_eq!(anybody.fetch("/page").await.status, StatusCode::OK);
    std::fs::write(world.settings_file(), format!("upstream_url = \"http://{}\"\n", world.upstream.address)).unwrap();
    hang_up(&process);
    is_logged(&log, "the settings were reloaded").await;
    std::fs::write(world.settings_file(), before).unwrap();
    eventually("the page is public again", async || anybody.fetch("/page").await.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_what_takes_a_restart_says_so() {
    let (world, process, log, _directory) = running("[[route]]\npath = \"/page\"\nrule = \"public\"\n").await;
    let anybody = Visitor::new(process.address);
    let write = |text: &str| {
        std::fs::write(world.settings_file(), format!("upstream_url = \"http://{}\"\n{text}", world.upstream.address)).unwrap();
        hang_up(&process);
    };
    write("[[route]]\npath = \"/cookies\"\nrule = \"pubic\"\n");
    is_logged(&log, "must be signed_in").await;
    is_logged(&log, "the settings were not reloaded").await;
    write("[[route]]\npath = \"/cookies\"\nidentity_headers = { X-Plan = \"{claim:plan}\" }\n");
    is_logged(&log, "which is not kept of users since the start").await;
    assert_eq!(anybody.fetch("/page").await.status, StatusCode::OK, "as before");

    write("session_duration = \"1h\"\n[[route]]\npath = \"/cookies\"\nrule = \"public\"\n");
    is_logged(&log, "a setting differs from that of the start").await;
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("\"setting\":\"session_duration\""), "{text}");
    assert_eq!(anybody.fetch("/cookies").await.status, StatusCode::OK);
    assert_eq!(anybody.fetch("/page").await.status, StatusCode::UNAUTHORIZED);
}
