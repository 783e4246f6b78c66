//! Users who are ended while a replica does not hear of it.

use super::{
    global_token_revocation::{SECRET, revoke_for},
    *,
};
use crate::harness::{Kind, postgres};

/// The identifier of the provider's user with this number.
fn subject(number: u64) -> Value {
    json!({"format": "opaque", "id": format!("sub-{number}")})
}

#[tokio::test]
async fn a_user_who_is_ended_while_a_replica_s_listener_reconnects_loses_their_bearer_tokens_and_streams_there_too() {
    let world = world().on(Kind::Postgres).replicas(2).set("oidc_revocation_secret", SECRET).start().await;
    let (url, there) = (world.database_url(), Visitor::new(world.replicas[1].address));
    for number in 0..12 {
        let token = bearer(&world.idp, &format!("sub-{number}"));
        let mut socket = websocket_of_client(&world, &format!("sub-{number}")).await;
        assert_eq!(call(&there, &token).await, StatusCode::OK);
        let count = |what: &str| {
            format!("SELECT COUNT({what}) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
        };
        eventually("both listen", async || postgres::read::<i64>(&url, &count("pid")).await == 2).await;
        assert_eq!(postgres::read::<i64>(&url, &count("pg_terminate_backend(pid)")).await, 2);
        // Where within the gap it comes makes the difference.
        tokio::time::sleep(Duration::from_millis(number * 25)).await;
        assert_eq!(revoke_for(&world, SECRET, subject(number)).await.status, StatusCode::NO_CONTENT);
        eventually("the token is refused there", async || call(&there, &token).await == StatusCode::UNAUTHORIZED).await;
        assert!(is_closed(&mut socket).await, "{number}");
    }
}

#[tokio::test]
async fn a_replica_that_has_not_read_who_was_ended_lets_no_bearer_token_in() {
    let mut world = world().on(Kind::Postgres).set("oidc_revocation_secret", SECRET).start().await;
    let (gone, other) = (bearer(&world.idp, "sub-1"), bearer(&world.idp, "sub-2"));
    assert_eq!(revoke_for(&world, SECRET, subject(1)).await.status, StatusCode::NO_CONTENT);
    let visitor = world.signed_in().await;
    let lock = postgres::held(&world.database_url(), "BEGIN; LOCK TABLE ended_users").await;
    world.add_replica().await;
    let there = Visitor::new(world.replicas[1].address);
    let told = async || there.get("/oauth2/readyz").await.json()["ended_users"].clone();
    assert_eq!(told().await, "unknown");
    for token in [&gone, &other] {
        assert_eq!(call(&there, token).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(visitor.at(world.replicas[1].address).get("/").await.is_upstreams(), "sessions are served");
    drop(lock);
    eventually("it is known", async || told().await == "ok").await;
    assert_eq!([call(&there, &gone).await, call(&there, &other).await], [StatusCode::UNAUTHORIZED, StatusCode::OK]);
}

#[tokio::test]
async fn a_replica_that_cannot_read_who_was_ended_for_longer_than_the_grace_lets_no_bearer_token_in() {
    let world = world().on(Kind::Postgres).set("store_outage_grace", "1m").start().await;
    let (client, token) = (world.visitor(), bearer(&world.idp, "sub-ann"));
    assert_eq!(call(&client, &token).await, StatusCode::OK);
    world.store_line.as_ref().unwrap().cut();
    eventually("it hears of nothing", async || client.get("/oauth2/readyz").await.json()["announcements"] == "none").await;
    assert_eq!(call(&client, &token).await, StatusCode::OK, "within the grace");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(call(&client, &token).await, StatusCode::SERVICE_UNAVAILABLE);
    world.store_line.as_ref().unwrap().mend();
    eventually("it is good again", async || call(&client, &token).await == StatusCode::OK).await;
}
