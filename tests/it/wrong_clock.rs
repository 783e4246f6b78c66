//! A machine whose clock is not that of the database, which all replicas have in common.

use http::StatusCode;

use crate::harness::{Kind, World, eventually::eventually, postgres, visitor::Visitor};

/// Has the database's clock be behind by an SQL interval for all connections that are opened from now on: a name that is not qualified
/// is looked for in `public` first.
async fn set_database_clock_back(world: &World, by: &str) {
    let statements = format!(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
         $$ SELECT pg_catalog.clock_timestamp() - INTERVAL '{by}' $$; \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
    );
    postgres::run(&world.database_url(), &statements).await;
}

/// RF-24: the clock of one machine is ahead.
#[tokio::test]
async fn a_machine_whose_clock_is_ahead_ends_no_session_early_and_tells_of_its_clock() {
    let mut world = World::build().on(Kind::Postgres).start().await;
    // Its clock is a test's, by which it would sweep what follows.
    assert!(world.replicas.remove(0).stop().await);
    let mut right = world.process(None).await;
    let (active, idle) = (Visitor::new(right.address), Visitor::new(right.address));
    for visitor in [&active, &idle] {
        visitor.log_in(&world.idp, "/").await;
    }
    assert!(right.stop().await);
    // Seen from the processes that start now, the database and all that other machines wrote are a day and an hour behind.
    set_database_clock_back(&world, "25 hours").await;
    world.sql("UPDATE sessions SET created_at = created_at - 90000000, last_seen = last_seen - 90000000").await;
    let ahead = world.process(None).await;
    let clock = async || Visitor::new(ahead.address).get("/oauth2/readyz").await.json()["clock"].clone();
    eventually("it tells of its clock", async || clock().await == "skewed").await;
    let active = active.at(ahead.address);
    for _ in 0..2 {
        assert!(active.fetch("/").await.is_upstreams(), "whoever was seen a moment ago is served");
    }
    // When the database has the same time, they were idle for longer than the limit.
    set_database_clock_back(&world, "0").await;
    eventually("the clocks agree again", async || clock().await == "ok").await;
    let refused = idle.at(ahead.address).fetch("/").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.text());
    assert!(active.fetch("/").await.is_upstreams(), "who was served meanwhile was seen");
}
