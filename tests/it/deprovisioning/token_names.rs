//! Access tokens that name their user otherwise than ID tokens do, or than whoever has the user ended.

use super::{
    global_token_revocation::{SECRET, by_issuer, revoke_for},
    scim::{self, USERS, ask, operations, provisioned},
    *,
};
use crate::harness::{Kind, postgres};

/// A token of ann's for `/api`, in which these claims name her, and no others.
fn token_with(idp: &Idp, claims: &Value) -> String {
    let mut all = json!({"preferred_username": null, "email": null, "email_verified": null});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    idp.signed_access_token(&format!("{ACCESS}/api"), all, json!({}))
}

/// As Okta's custom authorization servers name her by default.
fn of_okta(idp: &Idp) -> String {
    token_with(idp, &json!({"sub": "ann@example.com", "uid": "sub-ann"}))
}

/// As RFC 9068 has it at least.
fn of_subject(idp: &Idp) -> String {
    token_with(idp, &json!({"sub": "sub-ann"}))
}

/// Of somebody else, whom nothing may concern.
fn of_bob(idp: &Idp) -> String {
    token_with(idp, &json!({"sub": "bob@example.com", "uid": "sub-bob"}))
}

async fn served(world: &World, tokens: &[String]) -> Vec<u16> {
    let mut all = Vec::new();
    for token in tokens {
        all.push(call(&world.visitor(), token).await.as_u16());
    }
    all
}

async fn ann_is_signed_in(world: &World) -> Visitor {
    world.idp.log_in_as(user("ann"));
    world.signed_in().await
}

#[tokio::test]
async fn an_access_token_that_names_its_user_as_okta_s_do_or_by_sub_alone_ends_however_the_order_names_them() {
    for (kind, by_address) in [(Kind::Sqlite, false), (Kind::Sqlite, true), (Kind::Postgres, true)] {
        let world = world().on(kind).set("oidc_revocation_secret", SECRET).start().await;
        let _session = ann_is_signed_in(&world).await;
        let tokens = [of_okta(&world.idp), of_subject(&world.idp), of_bob(&world.idp)];
        assert_eq!(served(&world, &tokens).await, [200, 200, 200]);
        let ann = json!({"format": "email", "email": "ann@example.com"});
        let named = if by_address { ann } else { by_issuer(&world, "sub-ann") };
        assert_eq!(revoke_for(&world, SECRET, named.clone()).await.status, StatusCode::NO_CONTENT);
        assert_eq!(served(&world, &tokens).await, [401, 401, 200], "{named}");
        world.clock.advance(Duration::from_secs(10));
        let later = [of_okta(&world.idp), of_subject(&world.idp)];
        assert_eq!(served(&world, &later).await, [200, 200], "whoever gets one later has authenticated again");
    }
}

#[tokio::test]
async fn whom_a_directory_deactivates_or_deletes_gets_in_by_no_access_token_however_it_names_them_until_active_again() {
    let (off, on) =
        (json!({"op": "replace", "path": "active", "value": false}), json!({"op": "replace", "path": "active", "value": true}));
    for (kind, is_okta) in [(Kind::Sqlite, true), (Kind::Sqlite, false), (Kind::Postgres, false)] {
        let world = world().on(kind).set("scim_auth_header", scim::SECRET).start().await;
        // Entra's directory does not know the provider's identifier.
        let ann = if is_okta { scim::ann() } else { json!({"userName": "ann@example.com"}) };
        let path = provisioned(&world, ann.clone()).await;
        let _session = ann_is_signed_in(&world).await;
        let all = || [of_okta(&world.idp), of_subject(&world.idp), of_bob(&world.idp)];
        let before = all();
        assert_eq!(served(&world, &before).await, [200, 200, 200]);
        assert_eq!(ask(&world, Method::PATCH, &path, operations(off.clone())).await.status, StatusCode::OK);
        assert_eq!(served(&world, &before).await, [401, 401, 200]);
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(served(&world, &all()).await, [401, 401, 200], "nor by one that is issued later");

        assert_eq!(ask(&world, Method::PATCH, &path, operations(on.clone())).await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(10));
        eventually("she is let in", async || served(&world, &all()).await == [200, 200, 200]).await;

        let _session = ann_is_signed_in(&world).await;
        assert_eq!(ask(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(served(&world, &all()).await, [401, 401, 200]);
        provisioned(&world, ann).await;
        world.clock.advance(Duration::from_secs(10));
        eventually("she is let in again", async || served(&world, &all()).await == [200, 200, 200]).await;
        assert!(ann_is_signed_in(&world).await.get("/").await.is_upstreams());
    }
}

#[tokio::test]
async fn a_deleted_user_who_is_provisioned_again_is_let_in_by_every_name_of_before_and_a_namesake_by_address_lets_nobody_in() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", scim::SECRET).start().await;
        let path = provisioned(&world, scim::ann()).await;
        assert_eq!(ask(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
        let heir = json!({"userName": "bob@example.com", "emails": [{"value": "ann@example.com"}]});
        let heir = provisioned(&world, heir).await;
        assert_eq!(scim::logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN, "whoever has her address now is another");
        assert_eq!(ask(&world, Method::DELETE, &heir, Value::Null).await.status, StatusCode::NO_CONTENT);
        provisioned(&world, json!({"userName": "ann@example.com", "active": true})).await;
        let let_in = scim::logs_in(&world, "ann").await;
        assert!(let_in.is_upstreams(), "{}", let_in.text());
        assert_eq!(ask(&world, Method::GET, USERS, Value::Null).await.json()["totalResults"], json!(1));
    }
}

#[tokio::test]
async fn who_is_given_the_user_name_of_a_deleted_user_with_another_identifier_lets_the_deleted_one_in_by_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", scim::SECRET).start().await;
        let path = provisioned(&world, scim::ann()).await;
        assert_eq!(ask(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
        provisioned(&world, json!({"userName": "ann@example.com", "externalId": "sub-another-ann"})).await;
        assert_eq!(scim::logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
        assert_eq!(served(&world, &[of_subject(&world.idp)]).await, [401]);
        provisioned(&world, json!({"userName": "ann2@example.com", "externalId": "sub-ann"})).await;
        assert!(scim::logs_in(&world, "ann").await.is_upstreams(), "she herself is back under another user name");
    }
}

#[tokio::test]
async fn who_comes_back_under_another_user_name_is_let_in_with_the_identifier_that_their_sessions_had() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", scim::SECRET).start().await;
        let path = provisioned(&world, json!({"userName": "ann@example.com"})).await;
        let _session = ann_is_signed_in(&world).await;
        assert_eq!(ask(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(served(&world, &[of_subject(&world.idp)]).await, [401]);

        provisioned(&world, json!({"userName": "ann.married@example.com"})).await;
        let mut renamed = user("ann.married");
        renamed["sub"] = json!("sub-ann");
        world.idp.log_in_as(renamed);
        assert!(world.signed_in().await.get("/").await.is_upstreams());
        world.clock.advance(Duration::from_secs(10));
        eventually("so are her tokens", async || served(&world, &[of_subject(&world.idp)]).await == [200]).await;
    }
}

#[tokio::test]
async fn the_end_of_one_of_two_who_share_an_address_leaves_the_other_s_bearer_tokens() {
    let world = world().set("scim_auth_header", scim::SECRET).set("oidc_revocation_secret", SECRET).start().await;
    let of_team = |name: &str| {
        let mut user = user(name);
        user["email"] = json!("team@example.com");
        user
    };
    let mut paths = Vec::new();
    for name in ["ann", "bob"] {
        let (address, identifier) = (format!("{name}@example.com"), format!("sub-{name}"));
        let named = json!({"userName": address, "externalId": identifier, "emails": [{"value": "team@example.com"}]});
        paths.push(provisioned(&world, named).await);
        world.idp.log_in_as(of_team(name));
        world.signed_in().await;
    }
    let token = |name: &str| world.idp.signed_access_token(&format!("{ACCESS}/api"), of_team(name), json!({}));
    let tokens = [token("ann"), token("bob")];
    assert_eq!(served(&world, &tokens).await, [200, 200]);
    assert_eq!(revoke_for(&world, SECRET, by_issuer(&world, "sub-ann")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(served(&world, &tokens).await, [401, 200]);
    let off = json!({"op": "replace", "path": "active", "value": false});
    assert_eq!(ask(&world, Method::PATCH, &paths[0], operations(off)).await.status, StatusCode::OK);
    assert_eq!(served(&world, &tokens).await, [401, 200]);
}

#[tokio::test]
async fn a_user_name_that_is_another_s_identifier_ends_none_of_their_tokens() {
    let world = world().set("scim_auth_header", scim::SECRET).set("oidc_revocation_secret", SECRET).start().await;
    let mut eve = user("eve");
    eve["preferred_username"] = json!("sub-ann");
    world.idp.log_in_as(eve);
    world.signed_in().await;
    let tokens = [of_subject(&world.idp)];
    assert_eq!(revoke_for(&world, SECRET, by_issuer(&world, "sub-eve")).await.status, StatusCode::NO_CONTENT);
    provisioned(&world, json!({"userName": "sub-ann", "active": false})).await;
    assert_eq!(served(&world, &tokens).await, [200]);
}

#[tokio::test]
async fn the_end_by_an_administrator_reaches_bearer_tokens_that_name_their_user_otherwise() {
    let world = world().on(Kind::Postgres).start().await;
    let _session = ann_is_signed_in(&world).await;
    let tokens = [of_okta(&world.idp), of_subject(&world.idp), of_bob(&world.idp)];
    assert_eq!(served(&world, &tokens).await, [200, 200, 200]);
    let (code, printed) = world.command(&["sessions", "revoke", "ann@example.com"]).await;
    assert_eq!(code, 0, "{printed}");
    eventually("they are refused", async || served(&world, &tokens).await == [401, 401, 200]).await;
}

#[tokio::test]
async fn a_refresh_that_tells_a_name_which_is_locked_out_ends_bearer_tokens_of_the_sub_too() {
    let world = world().set("scim_auth_header", scim::SECRET).start().await;
    provisioned(&world, json!({"userName": "left-ann@example.com", "active": false})).await;
    let visitor = ann_is_signed_in(&world).await;
    world.idp.edit_id_token(|claims| claims["email"] = json!("left-ann@example.com"));
    world.idp.edit_userinfo(|claims| claims["email"] = json!("left-ann@example.com"));
    world.clock.advance(Duration::from_secs(3700));
    let tokens = [of_subject(&world.idp)];
    assert_eq!(served(&world, &tokens).await, [200]);
    let ends = world.metric(0, "evergate_user_ends_total");
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    eventually("the token is refused", async || served(&world, &tokens).await == [401]).await;
    assert_eq!(world.metric(0, "evergate_user_ends_total"), ends + 1.0);
    eventually("her refresh token is revoked", async || world.idp.revoked().len() == 1).await;
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_was_issued_is_refused_on_every_replica_once_its_user_was_ended() {
    let builder = world().on(Kind::Postgres).replicas(2).set("oidc_revocation_secret", SECRET);
    let world = builder.start_with(|idp| idp.introspect(true)).await;
    let tell = |token: &str, more: Value| {
        let mut told = json!({
            "active": true, "sub": "sub-ann", "aud": format!("{ACCESS}/api"), "client_id": "cli", "token_type": "Bearer",
            "exp": world.clock.now().seconds() + 3600, "iss": world.idp.issuer(),
        });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.idp.tell_of(token, told);
    };
    tell("undated", json!({}));
    let there = Visitor::new(world.replicas[1].address);
    assert_eq!(call(&world.visitor(), "undated").await, StatusCode::OK);
    assert_eq!(revoke_for(&world, SECRET, by_issuer(&world, "sub-ann")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(call(&world.visitor(), "undated").await, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(10));
    eventually("a replica that sees it for the first time refuses it too", async || {
        call(&there, "undated").await == StatusCode::UNAUTHORIZED
    })
    .await;
    tell("of-a-later-login", json!({"auth_time": world.clock.now().seconds()}));
    assert_eq!(call(&there, "of-a-later-login").await, StatusCode::OK);
    assert!(postgres::read::<i64>(&world.database_url(), "SELECT COUNT(*) FROM ended_users").await > 0);
}
