//! Whom a directory has locked out, when Evergate becomes another client at the provider, or another provider is configured.

use super::{
    scim::{SECRET, USERS, ann, ask, logs_in, operations, provisioned},
    *,
};
use crate::harness::Kind;

#[tokio::test]
async fn whom_a_directory_has_locked_out_stays_so_when_evergate_becomes_another_client_and_the_directory_finds_everybody() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let mut world = world().on(kind).set("scim_auth_header", SECRET).set("oidc_client_id", "before").start().await;
        let path = provisioned(&world, ann()).await;
        let deactivate = json!({"op": "replace", "value": {"active": false}});
        assert_eq!(ask(&world, Method::PATCH, &path, operations(deactivate)).await.status, StatusCode::OK);
        let deleted = provisioned(&world, json!({"userName": "eve"})).await;
        assert_eq!(ask(&world, Method::DELETE, &deleted, Value::Null).await.status, StatusCode::NO_CONTENT);
        world.restart_with(&[("oidc_client_id", CLIENT_ID)]).await;
        for name in ["ann", "eve"] {
            assert_eq!(logs_in(&world, name).await.status, StatusCode::FORBIDDEN, "{kind:?}: {name}");
        }
        let token = bearer(&world.idp, "sub-ann");
        assert_eq!(call(&world.visitor(), &token).await, StatusCode::UNAUTHORIZED, "{kind:?}");
        assert!(logs_in(&world, "bob").await.is_upstreams(), "{kind:?}");

        let found = ask(&world, Method::GET, &format!("{USERS}?filter=userName%20eq%20%22ann@example.com%22"), Value::Null).await;
        assert_eq!(found.json()["totalResults"], 1, "{kind:?}: {}", found.text());
        assert_eq!(ask(&world, Method::POST, USERS, ann()).await.status, StatusCode::CONFLICT, "{kind:?}");
        for active in [true, false, true] {
            let change = operations(json!({"op": "replace", "value": {"active": active}}));
            let changed = ask(&world, Method::PATCH, &path, change).await;
            assert_eq!(changed.status, StatusCode::OK, "{kind:?}: {}", changed.text());
            assert_eq!(logs_in(&world, "ann").await.is_upstreams(), active, "{kind:?}");
        }
        world.restart_with(&[]).await;
        assert!(logs_in(&world, "ann").await.is_upstreams(), "{kind:?}");
        assert_eq!(logs_in(&world, "eve").await.status, StatusCode::FORBIDDEN, "{kind:?}");
        provisioned(&world, json!({"userName": "eve"})).await;
        assert!(logs_in(&world, "eve").await.is_upstreams(), "{kind:?}: provisioned anew");
    }
}

#[tokio::test]
async fn the_log_tells_of_users_whom_no_directory_can_let_in_and_of_those_whom_nothing_locks_out_any_more() {
    let mut world = world().set("scim_auth_header", SECRET).set("oidc_client_id", "before").start().await;
    provisioned(&world, json!({"userName": "eve", "active": false})).await;
    world.restart_with(&[("oidc_client_id", CLIENT_ID), ("scim_auth_header", "too-short")]).await;
    assert_eq!(logs_in(&world, "eve").await.status, StatusCode::FORBIDDEN);
    assert_eq!(lines_with(&[r#""level":"WARN""#, "no directory can let them in", r#""users":1"#]).len(), 1);
    world.sql("UPDATE scim_users SET issuer = 'https://elsewhere.test'").await;
    world.restart_with(&[]).await;
    assert_eq!(lines_with(&[r#""level":"ERROR""#, "are let in again", "https://elsewhere.test"]).len(), 1);
    // What lets everybody in.
    world.sql("DELETE FROM ended_users WHERE ended_at = 9223372036854775807").await;
    assert!(logs_in(&world, "eve").await.is_upstreams());
}
