//! Replicas that are killed while their token call is at the provider, which finishes what it has received.

use std::time::Duration;

use evergate::clock::Stopwatch;
use http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour},
    process::Process,
    visitor::Visitor,
};

/// How long a token call may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A world in which a replica was killed during the first token call, and another lives.
struct Killed {
    world: World,
    /// The browser, at the replica that lives.
    there: Visitor,
    /// Runs since a moment before the token was presented.
    presented: Stopwatch,
    _living: Process,
}

async fn killed_in_its_call(prepare: impl FnOnce(&Idp) + Send + 'static) -> Killed {
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .set("oidc_preset", "authelia")
        .set("oidc_renew_before", "1s")
        .set("oidc_token_timeout", &format!("{}s", TOKEN_TIMEOUT.as_secs()))
        .start_with(move |idp: &Idp| {
            idp.access_tokens_live(Some(json!(3)));
            prepare(idp);
        })
        .await;
    let (mut first, living) = (world.process(None).await, world.process(None).await);
    let visitor = Visitor::new(first.address);
    visitor.log_in(&world.idp, "/").await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    let presented = Stopwatch::start();
    eventually("the first replica presents the token", async || {
        let dying = visitor.clone();
        tokio::spawn(async move { dying.try_send(Method::GET, "/", &[], "").await });
        world.idp.calls(Endpoint::Refresh) == 1
    })
    .await;
    // What follows lives on, however long a slow machine takes for it.
    world.idp.access_tokens_live(Some(json!(3600)));
    first.kill();
    eventually("its call has ended with it", async || world.idp.at_once() == 0).await;
    world.idp.behave(Endpoint::Refresh);
    let there = visitor.at(living.address);
    Killed { world, there, presented, _living: living }
}

#[tokio::test]
async fn a_dead_replicas_renewal_is_not_waited_for_longer_than_it_takes_to_know() {
    let Killed { world, there, _living, .. } = killed_in_its_call(|_| {}).await;
    // One request may wait; those after it are served stale, or sent on, at once.
    there.get("/").await;
    eventually("the browser goes on with another grant", async || there.browse(&world.idp, "/").await.is_upstreams()).await;
    // On a machine so slow that the silent way fails half-way, the next one is a login, which asks nothing either.
    assert_eq!(world.idp.prompts(), 1, "without a question");
}

#[tokio::test]
async fn a_killed_replicas_token_is_asked_about_no_earlier_than_its_call_can_have_ended() {
    let Killed { world, there, presented, _living } = killed_in_its_call(|idp| idp.introspect(true)).await;
    eventually("it is asked about", async || {
        assert_ne!(there.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        world.idp.calls(Endpoint::Introspection) == 1
    })
    .await;
    let (waited, settled) = (presented.elapsed(), Duration::from_secs(3 + 5) + TOKEN_TIMEOUT);
    assert!(waited >= settled, "the provider may still be processing the first call: {waited:?}");
    eventually("it is renewed", async || there.fetch("/oauth2/userinfo").await.json()["renewals"] == 1).await;
    assert_eq!((world.idp.passes(), world.idp.calls(Endpoint::Refresh)), (1, 2), "the login alone");
}

#[tokio::test]
async fn a_database_whose_clock_is_set_back_does_not_keep_a_killed_replica_alive() {
    let Killed { world, there, _living, .. } = killed_in_its_call(|_| {}).await;
    // All that it has dated lies an hour ahead now, but for what a living replica dates anew each second.
    world.sql("UPDATE grants SET lease_until = lease_until + 3600000, presented_at = presented_at + 3600000").await;
    world.sql("UPDATE replicas SET seen_at = seen_at + 3600000").await;
    eventually("the browser goes on with another grant", async || there.browse(&world.idp, "/").await.is_upstreams()).await;
    eventually("and not with the old one, stale", async || {
        there.browse(&world.idp, "/").await;
        world.idp.passes() == 2
    })
    .await;
    assert_eq!(world.idp.prompts(), 1, "without a question");
}
