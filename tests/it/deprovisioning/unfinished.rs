//! What comes in between: logins and other changes at the same time, clients that go away, a store that fails halfway.

use tokio::task::JoinHandle;

use super::{
    scim::{SECRET, USERS, ann, ask, logs_in, operations, provisioned},
    *,
};
use crate::harness::{
    Kind,
    logs::lines_with,
    postgres,
    visitor::{Reply, path_of},
};

/// A request that is under way.
fn asking(world: &World, method: Method, path: &str, body: &Value) -> JoinHandle<Reply> {
    let (visitor, path) = (world.visitor(), path.to_owned());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    tokio::spawn(async move {
        let authorization = format!("Bearer {SECRET}");
        visitor.send(method, &path, &[("authorization", &authorization), ("content-type", "application/json")], &body).await
    })
}

fn deactivation() -> Value {
    operations(json!({"op": "replace", "path": "active", "value": false}))
}

async fn waits(world: &World, statement: &str) -> bool {
    postgres::waiting(&world.database_url(), statement).await > 0
}

#[tokio::test]
async fn a_deactivation_is_not_undone_by_a_change_that_was_under_way() {
    let world = world().on(Kind::Postgres).set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let url = world.database_url();
    postgres::run(
        &url,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.profile LIKE '%Held%' THEN PERFORM pg_advisory_xact_lock(42); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER hold BEFORE INSERT OR UPDATE ON scim_users FOR EACH ROW EXECUTE FUNCTION hold()",
    )
    .await;
    let lock = postgres::held(&url, "SELECT pg_advisory_lock(42)").await;
    let change = operations(json!({"op": "replace", "path": "displayName", "value": "Held"}));
    let changing = asking(&world, Method::PATCH, &path, &change);
    eventually("it has read the user and is about to save", async || {
        waits(&world, "%INTO scim_users%").await || waits(&world, "UPDATE scim_users%").await
    })
    .await;
    let deactivating = asking(&world, Method::PATCH, &path, &deactivation());
    eventually("it is done, or waits for its turn", async || deactivating.is_finished() || waits(&world, "%advisory%").await)
        .await;
    drop(lock);
    assert_eq!(changing.await.unwrap().status, StatusCode::OK);
    assert_eq!(deactivating.await.unwrap().status, StatusCode::OK);
    let user = ask(&world, Method::GET, &path, Value::Null).await.json();
    assert_eq!((&user["active"], &user["displayName"]), (&json!(false), &json!("Held")), "neither is lost");
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_login_that_is_under_way_while_its_user_is_ended_has_nothing_in_the_end() {
    let scim = |path: &str| format!("/oauth2/{path}");
    let revocation = json!({"sub_id": {"format": "opaque", "id": "sub-ann"}});
    for (method, order) in [(Method::PATCH, deactivation()), (Method::DELETE, Value::Null), (Method::POST, revocation)] {
        let settings = world().on(Kind::Postgres).set("scim_auth_header", SECRET).set("oidc_revocation_secret", SECRET);
        let world = settings.start().await;
        let user = provisioned(&world, ann()).await;
        let path = if method == Method::POST { scim("global_token_revocation") } else { user };
        let visitor = world.visitor();
        let callback = world.idp.authorize(&visitor.get("/page").await.location()).await;
        let lock = postgres::held(&world.database_url(), "BEGIN; LOCK TABLE ended_users IN SHARE MODE").await;
        let ordering = asking(&world, method.clone(), &path, &order);
        eventually("it is about to be recorded", async || waits(&world, "INSERT INTO ended_users%").await).await;
        // As by the clock of another replica, too.
        world.clock.advance(Duration::from_secs(30));
        visitor.get(&path_of(&callback)).await;
        assert!(visitor.session().is_some(), "the login has seen nothing of it");
        drop(lock);
        let done = ordering.await.unwrap();
        assert!(done.status.is_success(), "{method}: {} {}", done.status, done.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn a_directory_that_does_not_wait_for_the_end_of_its_user_does_not_prevent_it() {
    let world = world().on(Kind::Postgres).set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    let lock = postgres::held(&world.database_url(), "BEGIN; LOCK TABLE sessions IN SHARE MODE").await;
    let deleting = asking(&world, Method::DELETE, &path, &Value::Null);
    eventually("it is about to end the session", async || waits(&world, "DELETE FROM sessions WHERE hash = $1%").await).await;
    deleting.abort();
    eventually("the gateway notices", async || {
        !lines_with(&[&path, "\"http.response.status_code\":499", "client_left"]).is_empty()
    })
    .await;
    drop(lock);
    eventually("the session ends", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_provider_that_does_not_wait_for_the_end_of_a_session_does_not_prevent_it() {
    for way in ["backchannel_logout", "frontchannel_logout", "global_token_revocation"] {
        let world = world().on(Kind::Postgres).set("oidc_revocation_secret", SECRET).start().await;
        world.idp.edit_id_token(|claims| claims["sid"] = json!("0123456789abcdef"));
        world.idp.log_in_as(user("ann"));
        let visitor = world.signed_in().await;
        let path = format!("/oauth2/{way}");
        let (method, address, content_type, body) = match way {
            "backchannel_logout" => {
                let token = world.idp.logout_token(json!({}), json!({}));
                (Method::POST, path.clone(), "application/x-www-form-urlencoded", format!("logout_token={token}"))
            }
            "frontchannel_logout" => {
                let address = format!("{path}?iss={}&sid=0123456789abcdef", world.idp.issuer());
                (Method::GET, address, "text/plain", String::new())
            }
            _ => {
                let named = json!({"sub_id": {"format": "opaque", "id": "sub-ann"}});
                (Method::POST, path.clone(), "application/json", named.to_string())
            }
        };
        let lock = postgres::held(&world.database_url(), "BEGIN; LOCK TABLE sessions IN SHARE MODE").await;
        let provider = world.visitor();
        let ordering = tokio::spawn(async move {
            let lines = [("authorization", format!("Bearer {SECRET}")), ("content-type", content_type.to_owned())];
            let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
            provider.send(method, &address, &lines, &body).await
        });
        eventually("it is about to end the session", async || waits(&world, "DELETE FROM sessions WHERE hash = $1%").await).await;
        ordering.abort();
        eventually("the gateway notices", async || {
            !lines_with(&[&path, "\"http.response.status_code\":499", "client_left"]).is_empty()
        })
        .await;
        drop(lock);
        eventually("the session ends", async || visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn what_could_not_be_finished_is_finished_when_the_directory_sends_it_again() {
    let inactive = json!({"userName": "ann@example.com", "active": false});
    for (kind, method, body, status) in [
        (Kind::Sqlite, Method::DELETE, Value::Null, StatusCode::NO_CONTENT),
        (Kind::Postgres, Method::DELETE, Value::Null, StatusCode::NO_CONTENT),
        (Kind::Postgres, Method::PATCH, deactivation(), StatusCode::OK),
        (Kind::Postgres, Method::PUT, json!({"userName": "gone", "active": false}), StatusCode::OK),
        (Kind::Sqlite, Method::POST, inactive, StatusCode::CONFLICT),
    ] {
        let world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        let path = if method == Method::POST { USERS.to_owned() } else { provisioned(&world, ann()).await };
        world.idp.log_in_as(user("ann"));
        let visitor = world.signed_in().await;
        match kind {
            Kind::Postgres => {
                let fails = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
                             CREATE TRIGGER fail BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION fail()";
                postgres::run(&world.database_url(), fails).await;
            }
            Kind::Sqlite => {
                world.sql("CREATE TRIGGER fail BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END").await;
            }
        }
        let told = ask(&world, method.clone(), &path, body.clone()).await;
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE, "{kind:?} {method}: {}", told.text());
        match kind {
            Kind::Postgres => world.sql("DROP TRIGGER fail ON sessions").await,
            Kind::Sqlite => world.sql("DROP TRIGGER fail").await,
        }
        let again = ask(&world, method.clone(), &path, body).await;
        assert_eq!(again.status, status, "{kind:?} {method}: {}", again.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{kind:?} {method}");
        assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN, "{kind:?} {method}");
    }
}
