//! Deactivations that come in an odd form, or in an odd place.

use super::{
    scim::{SECRET, USERS, ann, ask, operations, provisioned},
    *,
};

#[tokio::test]
async fn a_deactivation_is_not_refused_for_the_size_of_a_picture_nor_for_how_its_address_is_written() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let (users, id) = path.rsplit_once('/').unwrap();
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = format!("{users}/{encoded}");
    let photo = json!([{"value": format!("data:image/png;base64,{}", "A".repeat(20_000)), "type": "photo"}]);
    let off = json!({"op": "replace", "path": "active", "value": false});
    let mut many = vec![json!({"op": "add", "path": "nickName", "value": "x"}); 101];
    many.push(off.clone());
    for (method, address, body) in [
        (Method::PUT, path.clone(), json!({"userName": "ann@example.com", "active": false, "photos": photo})),
        (Method::PATCH, path.clone(), json!({"Operations": [{"op": "add", "path": "photos", "value": photo}, off]})),
        (Method::PATCH, path.clone(), json!({"Operations": many})),
        (Method::PATCH, format!("{path}/"), operations(off.clone())),
        (Method::PATCH, encoded.clone(), operations(off.clone())),
        (Method::PATCH, format!("{users}//{id}"), operations(off.clone())),
        (Method::PATCH, path.replacen("/Users/", "//Users/", 1), operations(off.clone())),
        (Method::PATCH, path.clone(), operations(json!({"op": "replace", "path": "active", "value": " False "}))),
        (
            Method::PATCH,
            path.clone(),
            operations(json!({"op": "Replace", "path": "active", "value": [{"$ref": null, "value": "False"}]})),
        ),
    ] {
        assert_eq!(ask(&world, Method::PUT, &format!("{path}/"), ann()).await.status, StatusCode::OK);
        world.clock.advance(Duration::from_secs(10));
        world.idp.log_in_as(user("ann"));
        let visitor = world.visitor();
        assert!(visitor.browse(&world.idp, "/").await.is_upstreams());
        let done = ask(&world, method, &address, body).await;
        assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)), "{address}: {}", done.text());
        assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{address}");
    }
    assert_eq!(ask(&world, Method::GET, &format!("{USERS}/"), Value::Null).await.json()["totalResults"], json!(1));
    let schema = "/oauth2/scim/v2/Schemas/urn%3Aietf%3Aparams%3Ascim%3Aschemas%3Acore%3A2.0%3AUser";
    assert_eq!(ask(&world, Method::GET, schema, Value::Null).await.status, StatusCode::OK);
    let secret = format!("Bearer {SECRET}");
    let lines = [("authorization", secret.as_str()), ("content-type", "application/scim+json")];
    let twice = r#"{"userName": "ann@example.com", "active": false, "active": true}"#;
    let unclear = world.visitor().send(Method::PUT, &path, &lines, twice).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST, "of two words neither counts");
    let nobody = ask(&world, Method::GET, &format!("{USERS}?filter=userName%20eq%20%22a%5Cu0000%22"), Value::Null).await;
    assert_eq!((nobody.status, &nobody.json()["totalResults"]), (StatusCode::OK, &json!(0)));
}

#[tokio::test]
async fn what_two_readers_may_take_for_either_is_refused_and_what_they_both_read_alike_is_taken() {
    let world = world().set("scim_auth_header", SECRET).start().await;
    let path = provisioned(&world, ann()).await;
    let secret = format!("Bearer {SECRET}");
    let lines = [("authorization", secret.as_str()), ("content-type", "application/scim+json")];
    for (method, body) in [
        (Method::PATCH, r#"{"Operations": [{"op": "replace", "path": "active", "value": {"value": true, "active": false}}]}"#),
        (Method::PATCH, r#"{"Operations": [{"op": "replace", "path": "active", "value": true, "value": false}]}"#),
        (Method::PUT, r#"{"userName": "ann@example.com", "active": false, "externalId": "a", "externalId": "b"}"#),
        (
            Method::PUT,
            r#"{"userName": "ann@example.com", "active": false, "emails": [{"value": "a@example.com"}], "emails": []}"#,
        ),
    ] {
        let refused = world.visitor().send(method, &path, &lines, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {}", refused.text());
        assert_eq!(ask(&world, Method::GET, &path, Value::Null).await.json()["active"], json!(true), "{body}");
    }
    for (method, body) in [
        (Method::PATCH, r#"{"Operations": [{"op": "replace", "op": "replace", "path": "active", "value": false}]}"#),
        (
            Method::PUT,
            r#"{"userName": "ann@example.com", "active": false, "active": false,
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "1", "value": "2"}}}"#,
        ),
    ] {
        assert_eq!(ask(&world, Method::PUT, &path, ann()).await.status, StatusCode::OK);
        let done = world.visitor().send(method, &path, &lines, body).await;
        assert_eq!((done.status, &done.json()["active"]), (StatusCode::OK, &json!(false)), "{body}: {}", done.text());
    }
}
