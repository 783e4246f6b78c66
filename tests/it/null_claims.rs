//! Claims that are null or empty, as servers write them that write every field: they count as absent wherever a token is read.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    ACCESS, World,
    idp::{CLIENT_ID, Signer},
};

const ROUTES: &str = "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\"]\n";

/// A world, and a key of its provider's with which tests sign what they like.
async fn world() -> (World, Signer) {
    let key = Signer::generate("ES256", "own");
    let jwk = key.jwk();
    let world = World::build()
        .routes(|_| ROUTES.to_owned())
        .start_with(move |idp| {
            let usual = Signer::generate("ES256", "usual");
            let published = [usual.jwk(), jwk];
            idp.sign_with(usual, &published);
        })
        .await;
    (world, key)
}

/// A token of this type by the world's provider, about ann, with these claims besides.
fn token(world: &World, key: &Signer, typ: &str, claims: &Value) -> String {
    let now = world.clock.now().seconds();
    let mut all = json!({"iss": world.idp.issuer(), "aud": CLIENT_ID, "iat": now, "jti": "one", "sub": "sub-ann"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    key.sign_with_header(&json!({"alg": "ES256", "kid": "own", "typ": typ}), &all)
}

async fn call(world: &World, token: &str) -> StatusCode {
    let authorization = format!("Bearer {token}");
    world.visitor().send(Method::GET, "/api", &[("authorization", &authorization)], "").await.status
}

#[tokio::test]
async fn a_logout_token_with_a_null_nonce_ends_the_session() {
    let (world, key) = world().await;
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (nonce, expected) in [(json!("n"), StatusCode::BAD_REQUEST), (json!(null), StatusCode::OK), (json!(""), StatusCode::OK)] {
        let visitor = world.signed_in().await;
        let claims = json!({"nonce": nonce, "events": events, "sid": null, "jti": format!("of {nonce}")});
        let body = format!("logout_token={}", token(&world, &key, "logout+jwt", &claims));
        let told = world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &body).await;
        assert_eq!(told.status, expected, "{nonce}: {}", told.text());
        assert_eq!(visitor.fetch("/").await.status == StatusCode::UNAUTHORIZED, expected == StatusCode::OK, "{nonce}");
        world.clock.advance(Duration::from_secs(120));
    }
}

#[tokio::test]
async fn a_security_event_with_a_null_end_has_none() {
    let (world, key) = world().await;
    let visitor = world.signed_in().await;
    let event = json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
        "subject": {"format": null, "subject_type": "iss-sub", "iss": world.idp.issuer(), "sub": "sub-ann", "user": null}}});
    let claims = json!({"exp": null, "sub": null, "sub_id": null, "events": event});
    let header = [("content-type", "application/secevent+jwt")];
    let token = token(&world, &key, "secevent+jwt", &claims);
    let told = world.visitor().send(Method::POST, "/oauth2/security_events", &header, &token).await;
    assert_eq!(told.status, StatusCode::ACCEPTED, "{}", told.text());
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_null_claim_makes_an_access_token_neither_another_token_nor_one() {
    let (world, key) = world().await;
    let (now, api) = (world.clock.now().seconds(), format!("{ACCESS}/api"));
    let of = |claims: Value| {
        let mut all = json!({"aud": api, "exp": now + 300, "client_id": "cli"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        token(&world, &key, "JWT", &all)
    };
    for name in ["nonce", "at_hash", "c_hash", "s_hash", "events", "typ", "token_use", "cnf", "nbf", "azp"] {
        assert_eq!(call(&world, &of(json!({name: null}))).await, StatusCode::OK, "{name}");
    }
    assert_eq!(call(&world, &of(json!({"nonce": "n"}))).await, StatusCode::UNAUTHORIZED, "an ID token");
    // A refreshed ID token, which has no nonce.
    for mark in ["scope", "scp", "typ", "token_use", "azpacr"] {
        let claims = json!({"client_id": null, mark: null});
        assert_eq!(call(&world, &of(claims)).await, StatusCode::UNAUTHORIZED, "nothing says that it is one: {mark}");
    }
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_does_not_make_an_id_token_an_access_token() {
    let (world, key) = world().await;
    let (now, issuer) = (world.clock.now().seconds(), world.idp.issuer());
    for odd in [r#""nonce":"\ud83d""#, r#""at_hash":"\ud83d""#, r#""nonce":"n","nonce":null"#] {
        let payload = format!(
            r#"{{"iss":"{issuer}","aud":"{ACCESS}/api","iat":{now},"exp":{},"sub":"sub-ann","client_id":"cli",{odd}}}"#,
            now + 300
        );
        let token = key.sign_text(&json!({"alg": "ES256", "kid": "own", "typ": "JWT"}), &payload);
        assert_eq!(call(&world, &token).await, StatusCode::UNAUTHORIZED, "{odd}");
    }
}

#[tokio::test]
async fn a_client_s_token_whose_subject_is_null_is_the_client_s() {
    let world = World::build().routes(|_| ROUTES.to_owned()).start_with(|idp| idp.introspect(true)).await;
    for (name, claims) in [("null", json!({"sub": null, "iss": null})), ("empty", json!({"sub": "", "iss": ""}))] {
        let mut told = json!({"active": true, "client_id": "cli", "aud": format!("{ACCESS}/api")});
        told.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        world.idp.tell_of(name, told);
        assert_eq!(call(&world, name).await, StatusCode::OK, "{name}");
        assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("client:cli"), "{name}");
    }
    world.idp.tell_of("odd", json!({"active": true, "client_id": "cli", "aud": format!("{ACCESS}/api"), "sub": 7}));
    assert_eq!(call(&world, "odd").await, StatusCode::UNAUTHORIZED, "that one is somebody's");
}

#[tokio::test]
async fn signed_user_info_need_not_say_for_whom_it_is() {
    let world = World::start().await;
    world.idp.sign_userinfo(true);
    world.idp.edit_userinfo(|claims| {
        (claims["iss"], claims["aud"]) = (Value::Null, Value::Null);
    });
    world.signed_in().await;
}
