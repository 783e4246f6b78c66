//! Each session that ends leaves an event of its own user, grant and session, by what really ended it.

use std::time::Duration;

use serde_json::Value;

use super::both;
use crate::harness::{Builder, World, eventually::eventually, idp::user};

/// A world whose sweep does not come.
fn unswept() -> Builder {
    World::build().timed(|timings| timings.housekeeping_interval = Duration::from_secs(3600))
}

/// What `sessions show --json` says of somebody.
async fn shown(world: &World, name: &str) -> Value {
    let (code, text) = world.command(&["sessions", "show", name, "--json"]).await;
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The grant and the session of the first session of somebody.
async fn first(world: &World, name: &str) -> [String; 2] {
    let session = shown(world, name).await["sessions"][0].clone();
    ["grant", "session"].map(|part| session[part].as_str().unwrap().to_owned())
}

/// The ends in somebody's history: the kind, the reason, the grant and the session of each.
async fn ends(world: &World, name: &str) -> Vec<[String; 4]> {
    let (_, text) = world.command(&["sessions", "show", name, "--json"]).await;
    // Whose only session has just ended is nobody until the event is written.
    let shown: Value = serde_json::from_str(&text).unwrap_or_default();
    let events = shown["events"].as_array().cloned().unwrap_or_default();
    let parts =
        |event: &Value| ["kind", "reason", "grant", "session"].map(|part| event[part].as_str().unwrap_or_default().to_owned());
    events.iter().map(parts).filter(|[kind, ..]| kind == "logout" || kind == "limit").collect()
}

fn end(kind: &str, reason: &str, [grant, session]: &[String; 2]) -> [String; 4] {
    [kind.to_owned(), reason.to_owned(), grant.clone(), session.clone()]
}

async fn ends_become(world: &World, name: &str, expected: &[[String; 4]]) {
    eventually("the history is written", async || ends(world, name).await == expected).await;
}

async fn why(world: &World, name: &str) -> String {
    world.command(&["sessions", "why", name]).await.1
}

#[tokio::test]
async fn a_session_that_another_user_s_login_replaces_is_told_as_the_end_of_its_own_user_s() {
    for kind in both() {
        let world = World::build().on(kind).start().await;
        let browser = world.signed_in().await;
        let of_ann = first(&world, "ann").await;
        world.idp.log_in_as(user("bob"));
        browser.log_in(&world.idp, "/oauth2/start").await;
        ends_become(&world, "ann", &[end("logout", "another_login", &of_ann)]).await;
        let told = why(&world, "ann").await;
        assert!(told.contains("its browser logged in again, and has another session"), "{told}");
        assert!(ends(&world, "bob").await.is_empty(), "no session of his has ended");
    }
}

#[tokio::test]
async fn a_session_that_its_own_user_s_next_login_replaces_ends_in_the_history_of_its_own_grant() {
    let world = World::start().await;
    let browser = world.signed_in().await;
    let before = first(&world, "ann").await;
    browser.log_in(&world.idp, "/oauth2/start").await;
    ends_become(&world, &before[0], &[end("logout", "another_login", &before)]).await;
}

#[tokio::test]
async fn without_sliding_expiration_a_session_ends_by_neither_limit_but_by_its_age() {
    for kind in both() {
        let build = World::build().on(kind).set("session_duration", "2h").set("disable_session_expiry_refresh", "true");
        let world = build.start().await;
        world.signed_in().await;
        let session = first(&world, "ann").await;
        let (_, list) = world.command(&["sessions", "show", "ann"]).await;
        assert!(list.contains("(limit of its age)"), "{list}");
        world.clock.advance(Duration::from_secs(3 * 3600));
        ends_become(&world, "ann", &[end("limit", "duration", &session)]).await;
        let told = why(&world, "ann").await;
        assert!(told.contains("CODER_SESSION_DURATION had passed since its login, which use does not prolong"), "{told}");
        assert!(!told.contains("nobody used it") && !told.contains("CODER_SESSION_MAX_DURATION"), "{told}");
    }
}

#[tokio::test]
async fn a_session_that_was_past_a_limit_has_ended_by_that_although_its_user_logged_in_before_the_sweep_came() {
    let world = unswept().set("session_duration", "1h").start().await;
    let browser = world.signed_in().await;
    let session = first(&world, "ann").await;
    world.clock.advance(Duration::from_secs(2 * 3600));
    browser.log_in(&world.idp, "/").await;
    ends_become(&world, "ann", &[end("limit", "idle", &session)]).await;
}
