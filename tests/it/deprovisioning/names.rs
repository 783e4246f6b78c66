//! Users whose names are written in more than one way: in either case, composed or decomposed, also beyond ASCII.

use super::*;
use crate::harness::Kind;

const SECRET: &str = "a-secret-of-a-security-tool-0123456789";

/// Has ann log in, whom the provider calls by these names.
async fn logs_in(world: &World, address: &str, name: &str) -> (Visitor, StatusCode) {
    let mut ann = user("ann");
    (ann["email"], ann["preferred_username"]) = (json!(address), json!(name));
    world.idp.log_in_as(ann);
    let visitor = world.visitor();
    let status = visitor.try_browse(&world.idp, "/").await.unwrap().status;
    (visitor, status)
}

#[tokio::test]
async fn a_user_is_gone_by_an_address_in_any_case_and_in_either_form_of_unicode() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("oidc_revocation_secret", SECRET).start().await;
        world.idp.log_in_as(user("bob"));
        let bob = world.signed_in().await;
        for (address, told) in [
            ("jörg@example.com", "JÖRG@EXAMPLE.COM"),
            ("JÖRG@example.com", "jo\u{308}rg@example.com"),
            ("Jo\u{308}rg@example.com", "jörg@example.com"),
            ("Иван@example.com", "ИВАН@example.com"),
        ] {
            let (visitor, _) = logs_in(&world, address, "ann").await;
            let token =
                world.idp.signed_access_token(&format!("{ACCESS}/api"), json!({"sub": "sub-ann", "email": address}), json!({}));
            assert_eq!(call(&world.visitor(), &token).await, StatusCode::OK);
            let lines = [("authorization", format!("Bearer {SECRET}"))];
            let lines = lines.each_ref().map(|(name, value)| (*name, value.as_str()));
            let body = json!({"sub_id": {"format": "email", "email": told}}).to_string();
            let done = world.visitor().send(Method::POST, "/oauth2/global_token_revocation", &lines, &body).await;
            assert_eq!(done.status, StatusCode::NO_CONTENT, "{told}: {}", done.text());
            assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{address} is {told}");
            assert_eq!(call(&world.visitor(), &token).await, StatusCode::UNAUTHORIZED, "{address} is {told}");
            assert!(bob.get("/").await.is_upstreams(), "another user");
            // What is ended holds for a login of the same moment, too.
            world.clock.advance(Duration::from_secs(10));
        }
    }
}

#[tokio::test]
async fn a_directory_finds_and_deactivates_a_user_by_a_name_in_any_case_and_in_either_form_of_unicode() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).set("scim_auth_header", scim::SECRET).start().await;
        let path = scim::provisioned(&world, json!({"userName": "JO\u{308}RG"})).await;
        let (visitor, status) = logs_in(&world, "ann@example.com", "jörg").await;
        assert_eq!(status, StatusCode::OK);
        let again = scim::ask(&world, Method::POST, scim::USERS, json!({"userName": "Jörg"})).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "there is one user of the name");
        let filter = format!("{}?filter=userName%20eq%20%22j%C3%B6rg%22", scim::USERS);
        assert_eq!(scim::ask(&world, Method::GET, &filter, Value::Null).await.json()["totalResults"], json!(1));
        let off = scim::operations(json!({"op": "replace", "path": "", "value": {"active": false}}));
        let done = scim::ask(&world, Method::PATCH, &path, off).await;
        assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)), "{}", done.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(logs_in(&world, "ann@example.com", "jörg").await.1, StatusCode::FORBIDDEN);
        let on = scim::operations(json!({"op": "replace", "path": "active", "value": true}));
        assert_eq!(scim::ask(&world, Method::PATCH, &path, on).await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(10));
        let (_, status) = logs_in(&world, "ann@example.com", "jörg").await;
        assert_eq!(status, StatusCode::OK, "whoever is active again is let in by the same name");
    }
}
