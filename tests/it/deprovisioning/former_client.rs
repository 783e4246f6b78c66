//! Whom a directory has locked out, when Evergate becomes another client at the provider, or another provider is configured.

use std::net::SocketAddr;

use super::{
    scim::{SECRET, USERS, ann, ask, logs_in, operations, provisioned},
    *,
};
use crate::harness::{Kind, visitor::Reply};

/// A secret of another directory.
const OTHER_SECRET: &str = "a-secret-of-another-directory-0123456789";

/// A directory says whether a user is active.
async fn set_active(world: &World, path: &str, active: bool) {
    let done = ask(world, Method::PATCH, path, activity(active)).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
}

fn activity(active: bool) -> Value {
    operations(json!({"op": "replace", "value": {"active": active}}))
}

/// The same by the directory of this secret, at this replica.
async fn ask_at(replica: SocketAddr, secret: &str, method: Method, path: &str, body: Value) -> Reply {
    let authorization = format!("Bearer {secret}");
    let lines = [("authorization", &*authorization), ("content-type", "application/scim+json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Visitor::new(replica).send(method, path, &lines, &body).await
}

/// A browser of Ann's, and a personal access token that she has made there.
async fn of_ann(world: &World) -> (Visitor, String) {
    world.idp.log_in_as(user("ann"));
    let browser = world.signed_in().await;
    let token = personal_token(&browser).await;
    (browser, token)
}

/// What a script gets with her session, and with her token.
async fn served(replica: SocketAddr, (browser, token): &(Visitor, String)) -> [StatusCode; 2] {
    let client = Visitor::new(replica);
    [browser.at(replica).fetch("/").await.status, call(&client, token).await]
}

const GONE: [StatusCode; 2] = [StatusCode::UNAUTHORIZED; 2];
const SERVED: [StatusCode; 2] = [StatusCode::OK; 2];

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

#[tokio::test]
async fn whom_a_directory_deactivates_after_a_change_of_the_client_has_nothing_left_at_the_client_before() {
    for (kind, is_active_again) in [(Kind::Sqlite, false), (Kind::Postgres, false), (Kind::Sqlite, true)] {
        let mut world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        let path = provisioned(&world, ann()).await;
        let hers = of_ann(&world).await;
        assert_eq!(served(world.address(), &hers).await, SERVED, "{kind:?}");
        world.restart_with(&[("oidc_client_id", "after")]).await;
        set_active(&world, &path, false).await;
        if is_active_again {
            set_active(&world, &path, true).await;
        }
        world.restart_with(&[("oidc_client_id", CLIENT_ID)]).await;
        assert_eq!(served(world.address(), &hers).await, GONE, "{kind:?} {is_active_again}");
        assert_eq!(logs_in(&world, "ann").await.is_upstreams(), is_active_again, "{kind:?}");
        assert!(logs_in(&world, "bob").await.is_upstreams(), "{kind:?}");
    }
}

#[tokio::test]
async fn whom_a_directory_deactivates_during_a_rolling_deploy_has_nothing_left_at_either_client() {
    for (older, newer) in [(CLIENT_ID, "after"), ("before", CLIENT_ID)] {
        let mut world = world().on(Kind::Postgres).set("scim_auth_header", SECRET).set("oidc_client_id", older).start().await;
        let path = provisioned(&world, ann()).await;
        world.change(&[("oidc_client_id", newer)]);
        world.add_replica().await;
        let mut replicas = [world.replicas[0].address, world.replicas[1].address];
        if newer == CLIENT_ID {
            replicas.reverse();
        }
        let [of_users, of_the_directory] = replicas;
        let browser = world.visitor().at(of_users);
        browser.log_in(&world.idp, "/").await;
        let hers = (browser.clone(), personal_token(&browser).await);
        let bearer = bearer(&world.idp, "sub-ann");
        assert_eq!(served(of_users, &hers).await, SERVED, "{newer}");
        assert_eq!(call(&Visitor::new(of_users), &bearer).await, StatusCode::OK, "{newer}");
        let done = ask_at(of_the_directory, SECRET, Method::PATCH, &path, activity(false)).await;
        assert_eq!(done.status, StatusCode::OK, "{newer}: {}", done.text());
        eventually("nothing is left", async || {
            served(of_users, &hers).await == GONE && call(&Visitor::new(of_users), &bearer).await == StatusCode::UNAUTHORIZED
        })
        .await;
        let again = Visitor::new(of_users).try_browse(&world.idp, "/").await.unwrap();
        assert_eq!(again.status, StatusCode::FORBIDDEN, "{newer}: {}", again.text());
    }
}

#[tokio::test]
async fn a_logout_at_the_provider_reaches_the_sessions_of_the_client_before_whichever_it_is_told_to() {
    for audience in [CLIENT_ID, "after"] {
        let mut world = world().start().await;
        let hers = of_ann(&world).await;
        world.restart_with(&[("oidc_client_id", "after")]).await;
        let token = world.idp.logout_token(json!({"aud": audience}), json!({}));
        let form = format!("logout_token={token}");
        let lines = [("content-type", "application/x-www-form-urlencoded")];
        let told = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &lines, &form).await;
        assert_eq!(told.status, StatusCode::OK, "{audience}: {}", told.text());
        world.restart_with(&[("oidc_client_id", CLIENT_ID)]).await;
        assert_eq!(served(world.address(), &hers).await, GONE, "{audience}");
    }
}

#[tokio::test]
async fn who_signs_out_everywhere_at_a_replica_of_the_client_before_is_signed_out_at_the_next_one_too() {
    let mut world = world().on(Kind::Postgres).set("oidc_client_id", "before").start().await;
    world.change(&[("oidc_client_id", CLIENT_ID)]);
    world.add_replica().await;
    let [older, newer] = [0, 1].map(|replica| world.replicas[replica].address);
    let [one, other] = [world.visitor().at(newer), world.visitor().at(newer)];
    one.log_in(&world.idp, "/").await;
    // As if it had logged in at the client before.
    world.sql("UPDATE grants SET client_id = 'before'").await;
    other.log_in(&world.idp, "/").await;
    assert!(one.at(older).fetch("/").await.is_upstreams() && other.fetch("/").await.is_upstreams());
    one.at(older).send(Method::POST, "/oauth2/sign_out?everywhere=true", &[("sec-fetch-site", "same-origin")], "").await;
    eventually("both are gone", async || {
        let [here, there] = [one.at(older).fetch("/").await.status, other.fetch("/").await.status];
        [here, there] == [StatusCode::UNAUTHORIZED; 2]
    })
    .await;
}

/// A second provider of the world's issuer, which is another client there and has a directory of its own.
fn beside(issuer: &str, client_id: &str) -> String {
    format!(
        "[[provider]]\nname = \"beside\"\noidc_issuer_url = \"{issuer}\"\noidc_client_id = \"{client_id}\"\n\
         oidc_client_secret = \"{CLIENT_SECRET}\"\noidc_group_field = \"groups\"\nscim_auth_header = \"{OTHER_SECRET}\"\n\n"
    )
}

async fn logs_in_at(world: &World, provider: &str) -> Reply {
    world.idp.log_in_as(user("ann"));
    world.visitor().try_browse(&world.idp, &format!("/oauth2/start?provider={provider}&rd=/")).await.unwrap()
}

#[tokio::test]
async fn a_provider_that_is_removed_is_no_former_client_of_the_one_that_stays_nor_does_that_one_let_its_users_in() {
    // Which of two providers of one issuer users can log in at: the one that stays, or the one that is removed and put back.
    for can_log_in in ["default", "beside"] {
        let (own, other) = if can_log_in == "default" { (CLIENT_ID, "other") } else { ("other", CLIENT_ID) };
        let mut world = world().set("scim_auth_header", SECRET).set("oidc_client_id", own).start().await;
        let table = beside(world.idp.issuer(), other);
        std::fs::write(world.settings_file(), table.clone() + ROUTES).unwrap();
        world.restart_with(&[]).await;
        let path = provisioned(&world, ann()).await;
        let made = ask_at(world.address(), OTHER_SECRET, Method::POST, USERS, ann()).await;
        let there = format!("{USERS}/{}", made.json()["id"].as_str().unwrap());
        let gone = ask_at(world.address(), OTHER_SECRET, Method::PATCH, &there, activity(false)).await;
        assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());
        std::fs::write(world.settings_file(), ROUTES).unwrap();
        world.restart_with(&[]).await;
        let listed = ask(&world, Method::GET, USERS, Value::Null).await.json();
        assert_eq!(listed["totalResults"], 1, "{listed}");
        if can_log_in == "default" {
            let reply = logs_in(&world, "ann").await;
            assert!(reply.is_upstreams(), "she is active in its directory: {} {}", reply.status, reply.text());
        }
        set_active(&world, &path, true).await;
        std::fs::write(world.settings_file(), table + ROUTES).unwrap();
        world.restart_with(&[]).await;
        if can_log_in == "beside" {
            let reply = logs_in_at(&world, "beside").await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "its directory has not activated her: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_client_that_came_after_another_keeps_whom_that_one_locked_out_when_a_second_provider_is_added() {
    let mut world = world().set("scim_auth_header", SECRET).set("oidc_client_id", "before").start().await;
    provisioned(&world, json!({"userName": "ann@example.com", "active": false})).await;
    world.restart_with(&[("oidc_client_id", CLIENT_ID)]).await;
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
    std::fs::write(world.settings_file(), beside(world.idp.issuer(), "other") + ROUTES).unwrap();
    world.restart_with(&[]).await;
    assert_eq!(logs_in_at(&world, "default").await.status, StatusCode::FORBIDDEN);
    assert!(lines_with(&[r#""level":"ERROR""#, "are let in again"]).is_empty());
}
