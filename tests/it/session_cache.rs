//! Sessions and grants in memory: how many, and what is counted of it.

use crate::harness::{Kind, World, eventually::eventually, visitor::Visitor};

const LOADS: &str = "evergate_session_cache_loads_total";

/// A world whose gateway hears of changes, so that what is in memory stays valid.
async fn world(entries: &str) -> World {
    let world = World::build().on(Kind::Postgres).set("session_cache_entries", entries).start().await;
    eventually("changes are announced", async || world.metric(0, "evergate_store_listener_connected") > 0.0).await;
    world
}

async fn everybody_is_served(visitors: &[Visitor]) {
    for visitor in visitors {
        assert!(visitor.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn sessions_in_memory_are_not_read_again_and_those_that_do_not_fit_are() {
    for (entries, fits) in [("100", true), ("2", false)] {
        let world = world(entries).await;
        let mut visitors = Vec::new();
        for _ in 0..8 {
            visitors.push(world.signed_in().await);
        }
        everybody_is_served(&visitors).await;
        assert!(world.metric(0, LOADS) >= 16.0, "each session and each grant was read once at least");
        // Each over a new connection, which remembers nobody.
        let loads_of_a_round = async || {
            let before = world.metric(0, LOADS);
            everybody_is_served(&visitors).await;
            world.metric(0, LOADS) - before
        };
        if fits {
            // On a busy machine the listener may lose its connection, and then everything is read once more.
            eventually("everybody is served from memory", async || loads_of_a_round().await == 0.0).await;
        } else {
            for _ in 0..3 {
                assert!(loads_of_a_round().await >= 6.0, "there is room for two of eight");
            }
        }
        let text = world.replicas[0].metrics.render().unwrap();
        assert!(text.contains("evergate_session_cache_entries{record=\"session\"}"), "{text}");
    }
}
