//! A full disk under the SQLite file: nothing that a renewal brought is lost, and it is over when there is room again.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    process::Process,
    visitor::Visitor,
};

/// A world whose gateway is a process of its own, and somebody whose token has expired there.
async fn start() -> (World, Process, Visitor) {
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .on(Kind::Sqlite)
        .set("oidc_preset", "authelia")
        .set("oidc_renew_before", "1s")
        .start_with(|idp| idp.access_tokens_live(Some(json!(2))))
        .await;
    let process = world.process(None).await;
    let visitor = Visitor::new(process.address);
    visitor.log_in(&world.idp, "/").await;
    let expires = world.clock.now().plus(Duration::from_secs(2));
    eventually("the token expires", async || expires < world.clock.now()).await;
    // So that it is renewed once.
    world.idp.access_tokens_live(Some(json!(3600)));
    (world, process, visitor)
}

async fn store_is(process: &Process, state: &str, status: StatusCode) {
    let probe = Visitor::new(process.address);
    eventually(&format!("the store is {state}"), async || {
        let reply = probe.get("/oauth2/readyz").await;
        reply.json()["store"] == state && reply.status == status
    })
    .await;
}

async fn renewals(visitor: &Visitor) -> Option<i64> {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64()
}

#[tokio::test]
async fn what_a_renewal_brought_while_the_disk_was_full_is_saved_when_there_is_room_again() {
    let (world, mut process, visitor) = start().await;
    let leaving = Visitor::new(process.address);
    leaving.log_in(&world.idp, "/").await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::HeldAnswer);
    let asking = visitor.clone();
    let asked = tokio::spawn(async move { asking.get("/").await });
    eventually("the refresh token is spent", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    process.set_disk_full(true);
    store_is(&process, "read_only", StatusCode::SERVICE_UNAVAILABLE).await;
    world.idp.behave(Endpoint::Refresh);
    eventually("the provider has answered", async || world.idp.at_once() == 0).await;
    // Whatever else would write fails as well, each on a connection that others use after it.
    for _ in 0..5 {
        let stranger = Visitor::new(process.address);
        assert_eq!(stranger.browse(&world.idp, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
        leaving.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    }
    process.set_disk_full(false);
    store_is(&process, "ok", StatusCode::OK).await;
    eventually("what it brought is saved", async || renewals(&visitor).await == Some(1)).await;
    asked.await.unwrap();
    Visitor::new(process.address).log_in(&world.idp, "/").await;
    // What is on disk alone is there after this.
    process.kill();
    let process = world.process(None).await;
    assert_eq!(renewals(&visitor.at(process.address)).await, Some(1));
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn no_refresh_token_is_presented_whose_intent_is_not_on_disk() {
    let (world, process, visitor) = start().await;
    process.set_disk_full(true);
    // Before the heartbeat tells: the first request finds out by itself.
    visitor.get("/").await;
    store_is(&process, "read_only", StatusCode::SERVICE_UNAVAILABLE).await;
    visitor.get("/").await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0);
    process.set_disk_full(false);
    eventually("it is renewed", async || renewals(&visitor).await == Some(1)).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// What cannot be written is lost; nobody who asks waits for it.
#[tokio::test]
async fn log_lines_that_could_not_be_written_are_counted_and_told_of_once_there_is_room_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let world = World::build().in_real_time().replicas(0).set("logging_json", log.to_str().unwrap()).start().await;
    let process = world.process(None).await;
    let visitor = Visitor::new(process.address);
    let lines = || std::fs::read_to_string(&log).unwrap();
    process.set_disk_full(true);
    // Lines are written one after the other, by a thread of their own: the first of so many was tried by the time that the last is asked for.
    for _ in 0..200 {
        assert_eq!(visitor.fetch("/lost").await.status, StatusCode::UNAUTHORIZED);
    }
    process.set_disk_full(false);
    eventually("that lines were lost is told", async || lines().contains("log lines were lost")).await;
    visitor.fetch("/after").await;
    eventually("lines are written again", async || lines().contains("/after")).await;
    for line in lines().lines().filter(|line| !line.is_empty()) {
        assert!(line.starts_with('{') && line.ends_with('}'), "no line is cut, or begins behind one that was: {line}");
    }
}
