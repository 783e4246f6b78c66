//! A store that fails: what it costs meanwhile is bounded, and it is over when its cause is.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::harness::{Kind, World, eventually::eventually, idp::Endpoint, visitor::Visitor};

const EXPIRED: Duration = Duration::from_secs(301);

async fn readiness(world: &World) -> serde_json::Value {
    world.visitor().get("/oauth2/readyz").await.json()
}

async fn store_is(world: &World, state: &str) {
    eventually(&format!("the store is {state}"), async || readiness(world).await["store"] == state).await;
}

async fn renewals(visitor: &Visitor) -> i64 {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap_or_default()
}

/// The calls that reached the store, and failed there.
fn failed_calls(world: &World) -> f64 {
    world.metric(0, "evergate_store_failures_total")
}

#[tokio::test]
async fn work_towards_a_store_that_takes_no_writes_is_bounded_and_over_when_it_takes_them_again() {
    let world = World::build().on(Kind::Postgres).start().await;
    let mut visitors = Vec::new();
    for _ in 0..10 {
        visitors.push(world.signed_in().await);
    }
    world.set_store_read_only(true, true).await;
    world.clock.advance(EXPIRED);
    let before = failed_calls(&world);
    for round in 0..20 {
        for visitor in &visitors {
            let reply = visitor.get("/").await;
            // The first requests may meet connections that have just been ended.
            assert!(reply.is_upstreams() || round == 0 || reply.status == StatusCode::SERVICE_UNAVAILABLE, "{}", reply.status);
        }
    }
    store_is(&world, "read_only").await;
    let refused = failed_calls(&world) - before;
    assert!(refused <= 60.0, "200 requests, {refused} calls that failed");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0, "no token is presented whose successor could not be saved");
    assert_eq!(world.visitor().get("/oauth2/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    // With the load taken away nothing that would fail is tried any more, while housekeeping goes on and reads.
    let quiet = failed_calls(&world);
    let calls = || world.metric(0, "evergate_store_seconds_count");
    let before = calls();
    eventually("housekeeping has run several times", async || calls() >= before + 10.0).await;
    assert!(failed_calls(&world) - quiet <= 5.0);

    world.set_store_read_only(false, false).await;
    store_is(&world, "ok").await;
    for visitor in &visitors {
        eventually("everybody is renewed", async || visitor.get("/").await.is_upstreams() && renewals(visitor).await == 1).await;
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), visitors.len(), "each once");
    assert_eq!(world.idp.prompts(), 1, "nobody had to do anything");
}

#[tokio::test]
async fn connections_that_can_only_read_are_closed_and_the_statement_is_asked_again() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    world.set_store_read_only(true, true).await;
    store_is(&world, "read_only").await;
    // Each of these is read over a connection that is opened now, and stays one that can only read.
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let stranger = world.visitor();
            tokio::spawn(
                async move { stranger.send(Method::GET, "/", &[("cookie", "__Host-evergate_session=nobodys")], "").await },
            )
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    world.set_store_read_only(false, false).await;
    store_is(&world, "ok").await;
    world.clock.advance(EXPIRED);
    eventually("the grant is renewed", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1).await;
    let out = visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    assert!(out.status.is_redirection(), "{}", out.status);
    assert!(!visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn connections_that_hang_are_not_kept() {
    let world = World::build().on(Kind::Postgres).start().await;
    let visitor = world.signed_in().await;
    world.store_line.as_ref().unwrap().strand();
    world.clock.advance(EXPIRED);
    eventually("the grant is renewed over other connections", async || {
        visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 1
    })
    .await;
    store_is(&world, "ok").await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn connections_that_hang_under_load_cost_no_place_in_the_pool() {
    let world = World::build().on(Kind::Postgres).set("pg_conn_max_open", "2").start().await;
    let line = world.store_line.as_ref().unwrap();
    let ask = |stranger: Visitor| async move {
        let cookie = format!("__Host-evergate_session={}", evergate::secret::random_text::<32>());
        stranger.send(Method::GET, "/", &[("cookie", &cookie)], "").await.status
    };
    // Everybody needs a connection and asks again after each response: no more are under way than there are, on any machine.
    // They begin one after the other, so that at any time somebody has nearly waited for as long as calls wait.
    let load: Vec<_> = (0..20)
        .map(|nth| {
            let stranger = world.visitor();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100) * nth).await;
                loop {
                    ask(stranger.clone()).await;
                    // Refusals come immediately: without a pause they would leave no processor time for anything else.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
        })
        .collect();
    // Connections take a while to open, as to a busy server, and hang again and again, whatever is being done on them.
    line.connect_in(Duration::from_millis(250));
    for _ in 0..6 {
        line.strand();
        eventually("everybody is served", async || {
            for _ in 0..3 {
                if ask(world.visitor()).await == StatusCode::SERVICE_UNAVAILABLE {
                    return false;
                }
            }
            true
        })
        .await;
        eventually("changes are announced", async || world.metric(0, "evergate_store_listener_connected") > 0.0).await;
    }
    load.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_strangers_cookie_costs_nothing_while_the_store_is_away() {
    let world = World::build().on(Kind::Postgres).start().await;
    world.store_line.as_ref().unwrap().cut();
    store_is(&world, "unavailable").await;
    for _ in 0..20 {
        let cookie = format!("__Host-evergate_session={}", evergate::secret::random_text::<32>());
        let reply = world.visitor().send(Method::POST, "/oauth2/sign_out", &[("cookie", &cookie)], "").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "nothing is noted for a session that nobody knows");
    }
}

#[tokio::test]
async fn whether_the_store_takes_writes_is_a_metric_also_while_no_call_is_sent() {
    let world = World::build().on(Kind::Postgres).start().await;
    let is_writable = async |expected: f64| {
        eventually("it is told", async || world.metric(0, "evergate_store_writable") == expected).await;
    };
    is_writable(1.0).await;
    let line = world.store_line.as_ref().unwrap();
    line.cut();
    is_writable(0.0).await;
    line.mend();
    is_writable(1.0).await;
    world.set_store_read_only(true, true).await;
    is_writable(0.0).await;
    world.set_store_read_only(false, false).await;
    is_writable(1.0).await;
}
