//! SCIM 2.0 (RFC 7643, RFC 7644), as Okta and Microsoft Entra ID speak it.

use super::*;
use crate::harness::{Kind, visitor::Reply};

pub(super) const SECRET: &str = "a-secret-of-a-directory-0123456789abcdef";
pub(super) const USERS: &str = "/oauth2/scim/v2/Users";

async fn ask_with(world: &World, authorization: &str, method: Method, path: &str, body: Value) -> Reply {
    let lines = [("authorization", authorization), ("content-type", "application/scim+json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.visitor().send(method, path, &lines, &body).await
}

pub(super) async fn ask(world: &World, method: Method, path: &str, body: Value) -> Reply {
    ask_with(world, &format!("Bearer {SECRET}"), method, path, body).await
}

/// Ann as Okta provisions her.
pub(super) fn ann() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@example.com", "externalId": "sub-ann",
        "name": {"givenName": "Ann", "familyName": "Ash"}, "emails": [{"primary": true, "value": "ann@example.com", "type": "work"}],
        "displayName": "Ann Ash", "locale": "en-US", "groups": [], "active": true,
    })
}

/// The path of the user who is provisioned so.
pub(super) async fn provisioned(world: &World, user: Value) -> String {
    let made = ask(world, Method::POST, USERS, user).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    format!("{USERS}/{}", made.json()["id"].as_str().unwrap())
}

pub(super) fn operations(operation: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": Value::Array(vec![operation])})
}

/// What a browser gets whose user logs in.
pub(super) async fn logs_in(world: &World, name: &str) -> Reply {
    world.idp.log_in_as(user(name));
    world.visitor().try_browse(&world.idp, "/").await.unwrap()
}

#[tokio::test]
async fn whom_a_directory_deactivates_has_nothing_left_on_any_replica_and_does_not_come_back_until_active_again() {
    let world = world().replicas(2).set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let everything = Everything::of_ann(&world).await;
    let token = everything.bearer.clone();
    let done = ask(&world, Method::PATCH, &path, operations(json!({"op": "replace", "value": {"active": false}}))).await;
    assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)), "{}", done.text());
    everything.expect_gone(&world, "scim").await;
    world.clock.advance(Duration::from_secs(10));
    let refused = logs_in(&world, "ann").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert!(refused.text().contains("has deactivated your account"), "{}", refused.text());
    let later = bearer(&world.idp, "sub-ann");
    assert_eq!(call(&world.visitor(), &later).await, StatusCode::UNAUTHORIZED, "nor by a token that is issued later");
    assert!(logs_in(&world, "bob").await.is_upstreams(), "who is not provisioned is let in as before");
    eventually("the history says why", async || {
        world.command(&["sessions", "why", "sub-ann"]).await.1.contains("has locked the user out")
    })
    .await;

    let done = ask(&world, Method::PATCH, &path, operations(json!({"op": "Replace", "path": "active", "value": "True"}))).await;
    assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(true)));
    assert!(logs_in(&world, "ann").await.is_upstreams());
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(call(&world.visitor(), &token).await, StatusCode::UNAUTHORIZED, "what was ended stays so");
    let client = Visitor::new(world.replicas[1].address);
    let newest = bearer(&world.idp, "sub-ann");
    eventually("a new token is good on each replica", async || call(&client, &newest).await == StatusCode::OK).await;
}

#[tokio::test]
async fn a_user_is_gone_by_each_name_that_the_directory_knows_and_in_each_way_in_which_it_says_so() {
    let deactivated = json!({"userName": "x", "active": "False"});
    for (kind, provision, method, body) in [
        (Kind::Sqlite, json!({"userName": "ANN@Example.com"}), Method::DELETE, Value::Null),
        (
            Kind::Postgres,
            json!({"userName": "Ann"}),
            Method::PATCH,
            operations(json!({"op": "Add", "path": "active", "value": "False"})),
        ),
        (
            Kind::Sqlite,
            json!({"userName": "x", "externalId": "sub-ann"}),
            Method::PUT,
            json!({"userName": "x", "externalId": "sub-ann", "active": false}),
        ),
        (
            Kind::Postgres,
            json!({"userName": "x", "emails": [{"value": "ann@example.com"}]}),
            Method::PUT,
            json!({"userName": "x", "emails": [{"value": "ann@example.com"}], "active": false}),
        ),
    ] {
        let world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        let path = provisioned(&world, provision.clone()).await;
        world.idp.log_in_as(user("ann"));
        let visitor = world.signed_in().await;
        let done = ask(&world, method, &path, body).await;
        assert!(done.status.is_success(), "{provision}: {}", done.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{provision}");
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN, "{provision}");
        assert!(logs_in(&world, "bob").await.is_upstreams(), "{provision}");
    }
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let done = ask(&world, Method::PUT, &path, deactivated).await;
    assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)));
    let done = ask(
        &world,
        Method::PUT,
        &path,
        ann()
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "active")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    )
    .await;
    assert_eq!(done.json()["active"], json!(false), "it takes a word to activate somebody");
    assert_eq!(ask(&world, Method::DELETE, &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&world, Method::GET, &path, Value::Null).await.status, StatusCode::NOT_FOUND);
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN, "deleted is gone");
    provisioned(&world, ann()).await;
    assert!(logs_in(&world, "ann").await.is_upstreams(), "and provisioned anew is let in");
}

#[tokio::test]
async fn an_account_that_is_deactivated_takes_no_active_one_along_that_has_its_address() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    provisioned(&world, ann()).await;
    let admin =
        provisioned(&world, json!({"userName": "ann-admin", "emails": [{"value": "ann@example.com", "type": "work"}]})).await;
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    assert_eq!(ask(&world, Method::DELETE, &admin, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(logs_in(&world, "ann").await.is_upstreams());
}

#[tokio::test]
async fn an_address_that_an_active_account_gives_up_is_no_way_in_for_the_deactivated_one_that_shared_it() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let address = json!([{"value": "ann@example.com"}]);
    let path = provisioned(&world, json!({"userName": "x", "emails": address})).await;
    let other = provisioned(&world, json!({"userName": "y", "emails": address})).await;
    let deactivation = operations(json!({"op": "replace", "path": "active", "value": false}));
    assert_eq!(ask(&world, Method::PATCH, &path, deactivation).await.status, StatusCode::OK);
    world.idp.log_in_as(user("ann"));
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams(), "it is the active one's");
    let removal = operations(json!({"op": "remove", "path": "emails[value eq \"Ann@example.com\"]"}));
    assert_eq!(ask(&world, Method::PATCH, &other, removal).await.json()["emails"], Value::Null);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_is_active_again_is_let_in_by_each_name_that_they_had_meanwhile() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        let path = provisioned(&world, ann()).await;
        for name in ["gone@example.com", "away@example.com"] {
            let renamed = ask(&world, Method::PUT, &path, json!({"userName": name, "active": false})).await;
            assert_eq!((renamed.status, &renamed.json()["userName"]), (StatusCode::OK, &json!(name)));
            assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN, "who is gone is not let in by another name");
        }
        let done = ask(&world, Method::PATCH, &path, operations(json!({"op": "replace", "path": "active", "value": true}))).await;
        assert_eq!(done.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(10));
        assert!(logs_in(&world, "ann").await.is_upstreams());
    }
}

#[tokio::test]
async fn whom_a_directory_deactivates_is_gone_whatever_it_writes_besides() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let off = json!({"op": "replace", "path": "active", "value": false});
    let patch = |besides: Value| json!({"Operations": [besides, off]});
    for (method, body) in [
        (Method::PUT, json!({"userName": "ann@example.com", "active": false, "name": null})),
        (Method::PUT, json!({"userName": "ann@example.com", "active": "False", "emails": [{"value": "", "type": "work"}]})),
        (Method::PUT, json!({"userName": "ann@example.com", "active": false, "displayName": "漢\t".repeat(400)})),
        (Method::PUT, json!({"userName": null, "active": false})),
        (
            Method::PATCH,
            json!({"Operations": [{"op": "replace", "value": {"active": false, "name": null, "externalId": "a\tb"}}]}),
        ),
        (Method::PATCH, patch(json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "b@x.example"}}))),
        (Method::PATCH, patch(json!({"op": "replace", "path": "emails[type sw \"w\"].value", "value": "b@x.example"}))),
    ] {
        assert_eq!(ask(&world, Method::PUT, &path, ann()).await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(10));
        let visitor = world.visitor();
        world.idp.log_in_as(user("ann"));
        assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
        let done = ask(&world, method, &path, body.clone()).await;
        assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)), "{body}: {}", done.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{body}");
    }
}

#[tokio::test]
async fn a_directory_finds_what_it_has_provisioned_and_is_told_what_there_is() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", SECRET).start().await;
        let path = provisioned(&world, ann()).await;
        provisioned(&world, json!({"userName": "bob", "active": false})).await;
        let get = async |path: &str| ask(&world, Method::GET, path, Value::Null).await;
        let one = get(&path).await;
        assert_eq!((one.status, one.header("content-type")), (StatusCode::OK, "application/scim+json"));
        let one = one.json();
        assert_eq!((&one["userName"], &one["emails"][0]["type"]), (&json!("ann@example.com"), &json!("work")));
        assert_eq!(one["meta"]["location"], json!(format!("{ACCESS}{path}")));
        let listed = async |query: &str| {
            let found = get(&format!("{USERS}?{query}")).await;
            assert_eq!(found.status, StatusCode::OK, "{query}: {}", found.text());
            let found = found.json();
            (found["totalResults"].as_i64().unwrap(), found["Resources"].as_array().unwrap().len())
        };
        for (query, expected) in [
            ("", (2, 2)),
            ("startIndex=2&count=1", (2, 1)),
            ("startIndex=3", (2, 0)),
            ("count=0", (2, 0)),
            ("filter=userName%20eq%20%22ANN@example.com%22", (1, 1)),
            ("filter=externalId+eq+%22sub-ann%22&startIndex=1&count=100", (1, 1)),
            ("filter=userName%20eq%20%22*%22", (0, 0)),
            ("filter=userName%20eq%20%22%25%22", (0, 0)),
        ] {
            assert_eq!(listed(query).await, expected, "{query}");
        }
        let config = get("/oauth2/scim/v2/ServiceProviderConfig").await.json();
        assert_eq!((&config["patch"]["supported"], &config["bulk"]["supported"]), (&json!(true), &json!(false)));
        assert_eq!(get("/oauth2/scim/v2/ResourceTypes").await.json()["Resources"][0]["endpoint"], json!("/Users"));
        let schemas = get("/oauth2/scim/v2/Schemas").await.json();
        assert_eq!(schemas["Resources"][0]["attributes"][0]["name"], json!("userName"));
        assert_eq!(get("/oauth2/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_a_directory_may_not_do_is_refused_in_scim_s_words() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let visitor = logs_in(&world, "ann").await;
    assert!(visitor.is_upstreams());
    for (method, path, body, status, kind) in [
        (Method::POST, USERS, ann(), StatusCode::CONFLICT, json!("uniqueness")),
        (Method::POST, USERS, json!({"userName": "ANN@EXAMPLE.COM"}), StatusCode::CONFLICT, json!("uniqueness")),
        (Method::POST, USERS, json!({"active": false}), StatusCode::BAD_REQUEST, json!("invalidValue")),
        (Method::POST, USERS, json!(["x"]), StatusCode::BAD_REQUEST, json!("invalidSyntax")),
        (
            Method::PATCH,
            &path,
            operations(json!({"op": "replace", "path": "active", "value": "perhaps"})),
            StatusCode::BAD_REQUEST,
            json!("invalidValue"),
        ),
        (Method::PATCH, &path, operations(json!({"op": "remove"})), StatusCode::BAD_REQUEST, json!("noTarget")),
        (
            Method::GET,
            "/oauth2/scim/v2/Users?filter=userName%20sw%20%22a%22",
            Value::Null,
            StatusCode::BAD_REQUEST,
            json!("invalidFilter"),
        ),
        (Method::DELETE, USERS, Value::Null, StatusCode::METHOD_NOT_ALLOWED, Value::Null),
        (Method::DELETE, "/oauth2/scim/v2/Users/*", Value::Null, StatusCode::NOT_FOUND, Value::Null),
        (Method::DELETE, "/oauth2/scim/v2/Users/%25", Value::Null, StatusCode::NOT_FOUND, Value::Null),
        (
            Method::PATCH,
            "/oauth2/scim/v2/Users/other",
            operations(json!({"op": "replace", "path": "active", "value": false})),
            StatusCode::NOT_FOUND,
            Value::Null,
        ),
        (Method::GET, "/oauth2/scim/v2/Groups", Value::Null, StatusCode::NOT_IMPLEMENTED, Value::Null),
        (Method::POST, "/oauth2/scim/v2/Bulk", json!({}), StatusCode::NOT_IMPLEMENTED, Value::Null),
        (Method::GET, "/oauth2/scim/v2/Me", Value::Null, StatusCode::NOT_IMPLEMENTED, Value::Null),
        (Method::POST, "/oauth2/scim/v2/.search", json!({}), StatusCode::NOT_IMPLEMENTED, Value::Null),
        (Method::GET, "/oauth2/scim/v2/Things", Value::Null, StatusCode::NOT_FOUND, Value::Null),
    ] {
        let refused = ask(&world, method.clone(), path, body.clone()).await;
        assert_eq!((refused.status, &refused.json()["scimType"]), (status, &kind), "{method} {path} {body}: {}", refused.text());
        assert_eq!(refused.json()["status"], json!(status.as_str()));
        let is_of_groups = refused.json()["detail"].as_str().unwrap().contains("groups");
        assert_eq!(is_of_groups, path.ends_with("/Groups"), "{path}: {}", refused.text());
    }
    for (method, path, allowed) in [
        (Method::DELETE, USERS, "GET, POST"),
        (Method::POST, path.as_str(), "GET, PUT, PATCH, DELETE"),
        (Method::OPTIONS, path.as_str(), "GET, PUT, PATCH, DELETE"),
        (Method::PUT, "/oauth2/scim/v2/Schemas", "GET"),
    ] {
        let refused = ask(&world, method.clone(), path, json!({})).await;
        assert_eq!((refused.status, refused.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allowed), "{method} {path}");
    }
    let large = ask(&world, Method::POST, USERS, json!({"userName": "x", "displayName": "a".repeat(1_100_000)})).await;
    assert_eq!((large.status, large.header("content-type")), (StatusCode::PAYLOAD_TOO_LARGE, "application/scim+json"));
    assert_eq!(large.json()["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(ask(&world, Method::GET, USERS, Value::Null).await.json()["totalResults"], json!(1));
    assert!(logs_in(&world, "ann").await.is_upstreams(), "nobody was ended by it");
}

#[tokio::test]
async fn without_its_secret_nobody_learns_who_is_there() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        SECRET.trim_start_matches("a-"),
        &format!("Basic {SECRET}"),
        &format!("Bearer {SECRET}x"),
    ] {
        for (method, path) in [
            (Method::GET, USERS),
            (Method::GET, path.as_str()),
            (Method::GET, "/oauth2/scim/v2/Users/none"),
            (Method::GET, "/oauth2/scim/v2/ServiceProviderConfig"),
            (Method::POST, USERS),
            (Method::DELETE, path.as_str()),
        ] {
            let refused = ask_with(&world, authorization, method.clone(), path, Value::Null).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{authorization:?} {method} {path}");
            assert!(!refused.text().contains("ann"));
        }
    }
    // As Coder takes it.
    assert_eq!(ask_with(&world, SECRET, Method::GET, USERS, Value::Null).await.status, StatusCode::OK);
    assert_eq!(ask_with(&world, &format!("bearer {SECRET}"), Method::GET, USERS, Value::Null).await.status, StatusCode::OK);
    let none = super::world().start().await;
    let refused = ask(&none, Method::GET, USERS, Value::Null).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "there is no SCIM without a secret");
    let short = super::world().set("scim_auth_header", "your-api-key").start().await;
    let refused = ask_with(&short, "your-api-key", Method::GET, USERS, Value::Null).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "nor with one that can be guessed");
}

#[tokio::test]
async fn while_the_store_is_away_the_directory_is_told_to_come_again() {
    let world = world().on(Kind::Postgres).set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    world.store_line.as_ref().unwrap().cut();
    let told = ask(&world, Method::PATCH, &path, operations(json!({"op": "replace", "path": "active", "value": false}))).await;
    assert_eq!((told.status, told.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    world.store_line.as_ref().unwrap().mend();
    eventually("it is taken when it comes again", async || {
        ask(&world, Method::PATCH, &path, operations(json!({"op": "replace", "path": "active", "value": false}))).await.status
            == StatusCode::OK
    })
    .await;
    assert_eq!(logs_in(&world, "ann").await.status, StatusCode::FORBIDDEN);
}
