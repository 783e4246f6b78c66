//! Many grants that expire together, in front of a provider that bears few calls at once.

use std::time::Duration;

use http::StatusCode;

use crate::harness::{
    World,
    idp::{Endpoint, Misbehaviour},
};

const EXPIRED: Duration = Duration::from_secs(301);
const USERS: usize = 120;
/// What the provider bears; two replicas would make 32 calls each.
const MOST: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_answered_honestly_and_passes_without_a_loop_of_429() {
    let world = World::build().replicas(2).set("oidc_outage_grace", "0").start().await;
    let mut visitors = Vec::new();
    for _ in 0..USERS {
        visitors.push(world.signed_in().await);
    }
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::AtMost(MOST, Duration::from_millis(20)));
    world.clock.advance(EXPIRED);
    let mut rounds = 0;
    loop {
        let asked: Vec<_> = visitors
            .iter()
            .enumerate()
            .map(|(at, visitor)| {
                let visitor = visitor.at(world.replicas[at % 2].address);
                tokio::spawn(async move { visitor.fetch("/").await })
            })
            .collect();
        let mut told_to_wait = 0;
        for reply in asked {
            let reply = reply.await.unwrap();
            if !reply.is_upstreams() {
                assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.text());
                assert!(!reply.header("retry-after").is_empty());
                told_to_wait += 1;
            }
        }
        if told_to_wait == 0 {
            break;
        }
        rounds += 1;
        assert!(rounds < 60, "{told_to_wait} are still told to wait");
        // Everybody comes again as soon as they were told.
        world.clock.advance(Duration::from_secs(1));
    }
    assert!(world.idp.turned_away() < USERS, "{} answers of 429 in {rounds} rounds", world.idp.turned_away());
    assert_eq!(world.idp.prompts(), 1, "nobody was sent to log in");
}
