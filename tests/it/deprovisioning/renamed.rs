//! Users whose names change: a session may have another name than the directory when it says who is gone.

use super::{
    scim::{SECRET, USERS, ask, logs_in, operations, provisioned},
    *,
};
use crate::harness::{Kind, postgres};

/// Past the life of an access token.
const EXPIRED: Duration = Duration::from_secs(3700);

/// Ann with another address, which the provider tells in ID tokens and as user info.
fn ann_as(address: &str) -> Value {
    let mut ann = user("ann");
    ann["email"] = json!(address);
    ann
}

/// The provider tells this address of ann from now on, also in token refreshes.
fn rename_at_provider(world: &World, address: &'static str) {
    world.idp.log_in_as(ann_as(address));
    world.idp.edit_id_token(move |claims| claims["email"] = json!(address));
    world.idp.edit_userinfo(move |claims| claims["email"] = json!(address));
}

fn deactivation() -> Value {
    operations(json!({"op": "replace", "path": "active", "value": false}))
}

fn has_seen(world: &World, address: &str) -> bool {
    world.upstream.requests().iter().any(|request| request.header("x-forwarded-email") == Some(address))
}

#[tokio::test]
async fn who_is_renamed_and_then_deactivated_has_nothing_left() {
    let address = |address: &str| json!([{"value": address, "type": "work"}]);
    for (kind, provision, renaming, method, body) in [
        (
            Kind::Sqlite,
            json!({"userName": "ann@example.com", "externalId": "of-the-directory"}),
            operations(json!({"op": "replace", "path": "userName", "value": "left-ann@example.com"})),
            Method::PATCH,
            deactivation(),
        ),
        (
            Kind::Postgres,
            json!({"userName": "x", "emails": address("ann@example.com")}),
            operations(json!({"op": "replace", "path": "emails", "value": address("left-ann@example.com")})),
            Method::DELETE,
            Value::Null,
        ),
    ] {
        let world = world().on(kind).replicas(2).set("scim_auth_header", SECRET).start().await;
        let path = provisioned(&world, provision).await;
        let everything = Everything::of_ann(&world).await;
        let renamed = ask(&world, Method::PATCH, &path, renaming).await;
        assert_eq!(renamed.status, StatusCode::OK, "{}", renamed.text());
        assert!(everything.here.get("/").await.is_upstreams(), "who is renamed goes on");
        world.clock.advance(Duration::from_secs(120));
        let done = ask(&world, method, &path, body).await;
        assert!(done.status.is_success(), "{}", done.text());
        assert_eq!(everything.here.fetch("/").await.status, StatusCode::UNAUTHORIZED, "before the response");
        everything.expect_gone(&world, "scim").await;
        let newcomer = logs_in(&world, "ann").await;
        assert!(newcomer.is_upstreams(), "a name that was given up is no lockout: {}", newcomer.text());
        world.idp.log_in_as(ann_as("left-ann@example.com"));
        let refused = world.visitor().try_browse(&world.idp, "/").await.unwrap();
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    }
}

#[tokio::test]
async fn whoever_has_a_name_that_was_given_up_is_spared_when_the_one_who_gave_it_up_is_deactivated() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let shared = json!([{"value": "ann@example.com"}]);
    let path = provisioned(&world, json!({"userName": "x", "emails": shared})).await;
    world.idp.log_in_as(user("ann"));
    let before = world.signed_in().await;
    let removal = operations(json!({"op": "remove", "path": "emails"}));
    assert_eq!(ask(&world, Method::PATCH, &path, removal).await.status, StatusCode::OK);
    let other = provisioned(&world, json!({"userName": "y", "emails": shared})).await;
    assert_eq!(ask(&world, Method::PATCH, &path, deactivation()).await.status, StatusCode::OK);
    assert!(before.get("/").await.is_upstreams(), "another active user has the name");
    // With nobody provisioned who has it, whatever began after it was given up goes on.
    assert_eq!(
        ask(&world, Method::PATCH, &other, operations(json!({"op": "remove", "path": "emails"}))).await.status,
        StatusCode::OK
    );
    world.clock.advance(Duration::from_secs(120));
    let after = world.signed_in().await;
    assert_eq!(ask(&world, Method::DELETE, &other, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert!(after.get("/").await.is_upstreams(), "it began when nobody had the name");
    assert_eq!(before.fetch("/").await.status, StatusCode::UNAUTHORIZED, "it may have been the one's who is gone");
    assert_eq!(ask(&world, Method::GET, USERS, Value::Null).await.json()["totalResults"], json!(1));
    let shown = ask(&world, Method::GET, &path, Value::Null).await.text();
    assert!(!shown.contains("ann@example.com"), "former names are not shown: {shown}");
}

#[tokio::test]
async fn a_token_refresh_that_tells_a_name_that_is_locked_out_ends_what_its_user_has() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        provisioned(&world, json!({"userName": "left-ann@example.com", "active": false})).await;
        world.idp.log_in_as(user("ann"));
        let (visitor, other) = (world.signed_in().await, world.signed_in().await);
        let personal = personal_token(&visitor).await;
        rename_at_provider(&world, "left-ann@example.com");
        world.clock.advance(EXPIRED);
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(other.fetch("/").await.status, StatusCode::UNAUTHORIZED, "in another browser too");
        assert_eq!(call(&world.visitor(), &personal).await, StatusCode::UNAUTHORIZED);
        assert!(!has_seen(&world, "left-ann@example.com"), "no app was told the name");
        eventually("the history says who had it ended", async || is_told(&world, "sub-ann", "scim").await).await;
        assert_eq!(visitor.try_browse(&world.idp, "/").await.unwrap().status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_name_that_is_locked_out_while_a_token_refresh_saves_it_ends_the_session() {
    let world = world().on(Kind::Postgres).set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, json!({"userName": "left-ann@example.com"})).await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    rename_at_provider(&world, "left-ann@example.com");
    let url = world.database_url();
    postgres::run(
        &url,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END $$; \
         CREATE TRIGGER hold BEFORE UPDATE OF identity ON grants FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    .await;
    let lock = postgres::held(&url, "SELECT pg_advisory_lock(42)").await;
    world.clock.advance(EXPIRED);
    let asking = tokio::spawn({
        let visitor = visitor.clone();
        async move { visitor.fetch("/").await.status }
    });
    eventually("the name is about to be saved", async || postgres::waiting(&url, "UPDATE grants SET identity%").await > 0).await;
    assert_eq!(ask(&world, Method::PATCH, &path, deactivation()).await.status, StatusCode::OK);
    drop(lock);
    assert_eq!(asking.await.unwrap(), StatusCode::UNAUTHORIZED);
    assert!(!has_seen(&world, "left-ann@example.com"));
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refused_login_by_a_name_that_is_locked_out_ends_what_its_user_has_by_others() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    provisioned(&world, json!({"userName": "left-ann@example.com", "active": false})).await;
    world.idp.log_in_as(user("bob"));
    let bob = world.signed_in().await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    world.idp.log_in_as(ann_as("left-ann@example.com"));
    assert_eq!(world.visitor().try_browse(&world.idp, "/").await.unwrap().status, StatusCode::FORBIDDEN);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert!(bob.get("/").await.is_upstreams());
}
