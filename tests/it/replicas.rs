//! Several gateways on one Postgres, which share nothing else.

use std::time::Duration;

use evergate::timings::Timings;
use http::{Method, StatusCode};

use crate::harness::{
    World,
    eventually::{eventually, settled},
    idp::{Endpoint, Misbehaviour},
};

const EXPIRED: Duration = Duration::from_secs(301);

/// What asks the store is then a request, or its own heartbeat.
fn without_background_work(timings: &mut Timings) {
    let never = Duration::from_secs(3600);
    timings.housekeeping_interval = never;
    timings.last_seen_interval = never;
    timings.idle_refresh_interval = never;
    timings.revocation_interval = never;
}

/// RF-01: a hundred requests find the access token expired, on two replicas of a provider that detects reuse.
#[tokio::test]
async fn a_hundred_requests_over_two_replicas_and_a_slow_strict_provider_make_one_call() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    world.clock.advance(EXPIRED);
    let requests: Vec<_> = (0..100)
        .map(|at| {
            let visitor = visitor.at(world.replicas[at % 2].address);
            tokio::spawn(async move { visitor.fetch("/").await })
        })
        .collect();
    eventually("the provider was asked", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    settled().await;
    world.idp.behave(Endpoint::Refresh);
    for request in requests {
        let reply = request.await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "every request succeeds: {}", reply.text());
    }
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// RF-03: a request reads its session before a refresh is committed, and wants one itself after that.
#[tokio::test]
async fn a_request_that_read_its_session_before_the_renewal_uses_what_came_of_it() {
    let world = World::build().replicas(3).start().await;
    let visitor = world.signed_in().await;
    for replica in &world.replicas {
        assert!(visitor.at(replica.address).get("/").await.is_upstreams(), "each has the old grant in memory");
    }
    for renewals in 1..=3 {
        world.clock.advance(EXPIRED);
        for replica in &world.replicas {
            assert!(visitor.at(replica.address).get("/").await.is_upstreams(), "uses the renewed token");
        }
        assert_eq!(world.idp.calls(Endpoint::Refresh), renewals);
    }
}

#[tokio::test]
async fn a_renewal_that_a_replica_hears_of_when_its_token_has_expired_too_is_followed_by_its_own() {
    let world = World::build().replicas(2).timed(without_background_work).start().await;
    let visitor = world.signed_in().await;
    let other = visitor.copy().at(world.replicas[1].address);
    assert!(visitor.get("/").await.is_upstreams());
    world.sql("ALTER TABLE grants DISABLE TRIGGER USER").await;
    for (renewals, browser) in [(1, &other), (2, &visitor), (3, &other), (4, &other), (5, &visitor)] {
        world.clock.advance(EXPIRED);
        assert!(browser.get("/").await.is_upstreams());
        assert_eq!(world.idp.calls(Endpoint::Refresh), renewals, "no expired token is passed on as fresh");
    }
}

#[tokio::test]
async fn a_session_that_was_ended_is_refused_by_every_replica_that_hears_of_it() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let other = visitor.copy().at(world.replicas[1].address);
    assert!(other.get("/").await.is_upstreams());
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    // The clock stands: no entry of its memory is too old to be used.
    eventually("the other replica refuses it", async || other.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_replica_that_is_deaf_to_changes_asks_the_store_once_it_knows() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    let other = visitor.copy().at(world.replicas[1].address);
    assert!(other.get("/").await.is_upstreams());
    // No change is announced any more, and the clock stands.
    world.sql("ALTER TABLE sessions DISABLE TRIGGER USER").await;
    world.sql("ALTER TABLE grants DISABLE TRIGGER USER").await;
    assert!(visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await.status.is_redirection());
    assert_eq!(visitor.copy().fetch("/").await.status, StatusCode::UNAUTHORIZED);
    let deaf = other.fetch("/").await;
    assert!(deaf.is_upstreams(), "it has not heard of it: {} {}", deaf.status, deaf.text());
    world
        .sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%'",
        )
        .await;
    eventually("its memory is not believed any more", async || other.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_row_that_is_removed_by_hand_is_missed_at_once() {
    let world = World::build().replicas(2).start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    world.sql("DELETE FROM sessions").await;
    eventually("the session is refused", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_replica_that_dies_in_the_middle_of_a_renewal_leaves_no_one_waiting_for_ever() {
    let mut world = World::build().replicas(2).set("oidc_token_timeout", "1s").start().await;
    let visitor = world.signed_in().await;
    // The first renewal shows that tokens rotate; the second is lost with its replica.
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    // As a killed process leaves it: an intent whose lease has run out, and a token that may be spent.
    world.clock.advance(EXPIRED);
    world
        .sql("UPDATE grants SET attempt = decode('00112233445566778899aabbccddeeff', 'hex'), lease_until = 0, presented = 1")
        .await;
    world.replicas.remove(0).abort();
    let survivor = visitor.at(world.address());
    eventually("the survivor ends it", async || survivor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "a spent token is not presented again");
    survivor.log_in(&world.idp, "/").await;
    assert!(survivor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn an_intent_that_another_replica_holds_is_waited_for_and_not_followed() {
    let patient = |timings: &mut Timings| {
        without_background_work(timings);
        timings.blocking_refresh_wait = Duration::from_secs(60);
    };
    let world = World::build().replicas(2).timed(patient).start().await;
    let visitor = world.signed_in().await;
    world.clock.advance(EXPIRED);
    // Somebody else's attempt, alive by the database's clock.
    world.sql("UPDATE grants SET attempt = decode('00112233445566778899aabbccddeeff', 'hex'), lease_until = (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT + 60000, presented = 1").await;
    let calls = || world.metric(0, "evergate_store_seconds_count");
    let before = calls();
    let waiting = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.get("/").await }
    });
    eventually("it has looked several times whether it is over", async || calls() >= before + 6.0).await;
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0);
    assert!(!waiting.is_finished());
    world.sql("UPDATE grants SET attempt = NULL, lease_until = NULL, presented = 0").await;
    assert!(waiting.await.unwrap().is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

/// RF-25: the encryption key is rotated while sessions live.
#[tokio::test]
async fn a_key_ring_is_rotated_while_sessions_live() {
    use evergate::seal::KeyRing;
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let mut world = World::build().replicas(1).set("external_token_encryption_keys", &old).start().await;
    let visitor = world.signed_in().await;
    world.restart_with(&[("external_token_encryption_keys", &format!("{new},{old}"))]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams(), "opened under the old key, sealed under the new one");
    world.restart_with(&[("external_token_encryption_keys", &old)]).await;
    let without = visitor.at(world.address());
    assert!(without.fetch("/").await.is_upstreams(), "a key that is missing is a fault of ours, not a logout");
    world.restart_with(&[("external_token_encryption_keys", &new)]).await;
    assert!(visitor.at(world.address()).get("/").await.is_upstreams(), "the renewal sealed anew what a request needs");
}
