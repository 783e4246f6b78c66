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
