//! The provider's keys: which are tried, when they are fetched again, and at whose cost.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, Signer},
    logs::lines_with,
};

const EXPIRED: Duration = Duration::from_secs(301);
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

fn with(jwk: &Value, members: &Value) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk.as_object_mut().unwrap().retain(|_, member| !member.is_null());
    jwk
}

/// The status of a stranger's login: the page that a login ends at.
async fn login_ends_with(world: &World) -> StatusCode {
    world.visitor().browse(&world.idp, "/").await.status
}

/// What is published, of the key that signs and another one.
type Publish = fn(&Value, &Value) -> Vec<Value>;

#[tokio::test]
async fn each_key_that_fits_is_tried() {
    let (key, other) = (Signer::generate("RS256", "a").jwk(), Signer::generate("ES256", "a").jwk());
    let world = World::start().await;
    let cases: [(&str, Publish); 4] = [
        ("a key without a name", |own, _| vec![with(own, &json!({"kid": null, "alg": null, "use": null}))]),
        ("two keys of one name", |own, other| vec![other.clone(), own.clone()]),
        ("the token's name on another key", |own, other| vec![other.clone(), with(own, &json!({"kid": "new"}))]),
        ("beside broken ones and other kinds", |own, _| {
            vec![
                json!("x"),
                json!({}),
                json!({"kty": "RSA", "kid": "a"}),
                json!({"kty": "oct", "k": "AAAA", "kid": "a"}),
                own.clone(),
            ]
        }),
    ];
    for (what, publish) in cases {
        for names_key in [true, false] {
            let own = Signer::generate("ES256", "a");
            let published = [publish(&own.jwk(), &other), vec![key.clone()]].concat();
            world.idp.sign_with(own, &published);
            world.idp.edit_header(move |header| {
                if !names_key {
                    header.as_object_mut().unwrap().remove("kid");
                }
            });
            world.clock.advance(Duration::from_secs(5));
            assert_eq!(login_ends_with(&world).await, StatusCode::OK, "{what}, named: {names_key}");
        }
    }
}

/// Ory Hydra after a rotation.
#[tokio::test]
async fn a_renewed_token_with_the_old_key_s_name_and_the_new_key_s_signature_is_verified() {
    let world = World::build().set("pass_access_token", "true").start().await;
    let visitor = world.signed_in().await;
    for (rotation, old) in [("second", world.idp.published()), ("third", vec![])] {
        let key = Signer::generate("ES256", rotation);
        let published = [vec![key.jwk()], old].concat();
        world.idp.sign_with(key, &published);
        world.idp.edit_header(|header| header["kid"] = json!("first"));
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        let seen = world.upstream.last();
        assert_eq!(seen.header("x-evergate-renewed-at"), None, "{rotation}");
        assert!(seen.header("x-forwarded-access-token").is_some(), "{rotation}");
        world.idp.edit_header(|_| {});
        assert_eq!(login_ends_with(&world).await, StatusCode::OK, "{rotation}");
    }
}

#[tokio::test]
async fn a_renewal_s_failure_does_not_spend_the_login_s_fetch() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    // A key that is not published: the renewal fetches in vain.
    world.idp.rotate_keys(false);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    world.idp.rotate_keys(true);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
}

#[tokio::test]
async fn a_stranger_s_logout_token_does_not_spend_the_login_s_fetch() {
    let world = World::start().await;
    world.signed_in().await;
    let before = world.idp.calls(Endpoint::Jwks);
    let post = async |token: String| {
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
    };
    for claims in
        [json!({"iss": "https://evil.example"}), json!({"aud": "other"}), json!({"events": {}}), json!({"iat": 1, "exp": 2})]
    {
        let token = world.idp.logout_token(claims.clone(), json!({"kid": "unknown"}));
        assert_eq!(post(Signer::forged(&token)).await, StatusCode::BAD_REQUEST, "{claims}");
    }
    assert_eq!(world.idp.calls(Endpoint::Jwks), before, "no keys are fetched for what is not for us");
    let token = world.idp.logout_token(json!({}), json!({"kid": "unknown"}));
    // The first one is judged by the newest keys; what comes so soon after may be of newer ones still, and is to come again.
    for expected in [StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE] {
        assert_eq!(post(Signer::forged(&token)).await, expected);
    }
    assert_eq!(world.idp.calls(Endpoint::Jwks), before + 1, "and not at every stranger's wish");
    world.idp.rotate_keys(true);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK, "a login after a rotation fetches for itself");
}

#[tokio::test]
async fn logins_fetch_keys_again_after_a_few_seconds() {
    let world = World::start().await;
    world.idp.rotate_keys(false);
    assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN);
    world.idp.rotate_keys(true);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
}

#[tokio::test]
async fn a_short_rsa_key_is_refused_and_the_log_says_why() {
    let world = World::start().await;
    let own = Signer::generate("RS256", "long");
    // 1024 bits, in a set by itself.
    let short = with(&own.jwk(), &json!({"n": format!("{}8", "_".repeat(170))}));
    world.idp.sign_with(own, &[short]);
    assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN);
    assert!(!lines_with(&["an RSA key of 1024 bits; fewer than 2048 are not accepted"]).is_empty());
}

#[tokio::test]
async fn keys_are_not_fetched_from_an_address_that_is_not_safe() {
    // On this machine and yet no loopback address, so that a fetch would succeed and be counted.
    let world = World::build()
        .without_provider()
        .start_with(|idp| {
            let path = url::Url::parse(idp.issuer()).unwrap().path().to_owned();
            idp.set_metadata(json!({"jwks_uri": format!("http://0.0.0.0:{}{path}/jwks", idp.address.port())}));
        })
        .await;
    eventually("discovery was tried twice", async || world.idp.calls(Endpoint::Discovery) > 1).await;
    assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["provider"], "not_reached");
    assert_eq!(world.idp.calls(Endpoint::Jwks), 0, "checked before it is fetched");
    assert!(!lines_with(&[world.idp.issuer(), "no usable jwks_uri"]).is_empty());
}

#[tokio::test]
async fn a_provider_whose_keys_are_away_renews_grants_and_has_its_keys_fetched_by_the_next_login() {
    let mut world = World::build().start().await;
    let visitor = world.signed_in().await;
    world.idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(500, String::new(), vec![]));
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.idp.behave(Endpoint::Jwks);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
}

#[tokio::test]
async fn a_fetch_of_keys_that_fails_once_refuses_no_login() {
    let world = World::start().await;
    let rotate_in_trouble = async || {
        world.idp.rotate_keys(true);
        world.idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]));
        assert_ne!(login_ends_with(&world).await, StatusCode::FORBIDDEN, "nothing is known against it");
        world.idp.behave(Endpoint::Jwks);
    };
    rotate_in_trouble().await;
    let before = world.idp.calls(Endpoint::Jwks);
    // So soon that no fetch is due yet: they wait for it together.
    let (one, two, three) = tokio::join!(login_ends_with(&world), login_ends_with(&world), login_ends_with(&world));
    assert_eq!([one, two, three], [StatusCode::OK; 3]);
    let fetches = world.idp.calls(Endpoint::Jwks) - before;
    assert!((1..=2).contains(&fetches), "a login that comes during the fetch makes another at most: {fetches}");
    world.idp.rotate_keys(true);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK, "nor does a rotation a moment after another");
}

/// A stranger's token and the provider's, of which none names its key.
#[tokio::test]
async fn a_logout_token_that_comes_while_keys_may_not_be_fetched_is_to_come_again() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let post = async |token: &str| {
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
    };
    let token = || world.idp.logout_token(json!({}), json!({"kid": null}));
    assert_eq!(post(&Signer::forged(&token())).await, StatusCode::BAD_REQUEST);
    world.idp.rotate_keys(true);
    assert_eq!(post(&token()).await, StatusCode::SERVICE_UNAVAILABLE, "it is not known to be forged");
    world.clock.advance(Duration::from_secs(11));
    assert_eq!(post(&token()).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(Duration::from_secs(11));
    let old = Signer::forged(&token());
    assert_eq!(post(&old).await, StatusCode::BAD_REQUEST);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(post(&old).await, StatusCode::SERVICE_UNAVAILABLE, "by keys that may be older than it is, none is refused");
}

/// As a provider answers that has just started.
#[tokio::test]
async fn a_key_set_without_keys_is_a_failed_fetch_and_takes_no_key_away() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let post = async |token: &str| {
        world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
    };
    for keys in [json!({"keys": []}), json!({"keys": [with(&world.idp.published()[0], &json!({"use": "enc"}))]})] {
        world.idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(200, keys.to_string(), vec![]));
        let before = world.idp.calls(Endpoint::Jwks);
        let stranger = Signer::forged(&world.idp.logout_token(json!({}), json!({"kid": "unknown"})));
        assert_eq!(post(&stranger).await, StatusCode::SERVICE_UNAVAILABLE, "{keys}");
        assert_eq!(world.idp.calls(Endpoint::Jwks), before + 1, "{keys}");
        assert_eq!(login_ends_with(&world).await, StatusCode::OK, "by the keys that are known: {keys}");
        world.clock.advance(Duration::from_secs(11));
    }
    assert_eq!(post(&world.idp.logout_token(json!({}), json!({}))).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn keys_that_are_away_at_the_start_are_asked_for_again_at_once() {
    let world =
        World::build().start_with(|idp| idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(503, String::new(), vec![]))).await;
    eventually("they are asked for again and again", async || world.idp.calls(Endpoint::Jwks) > 2).await;
    assert!(!lines_with(&[world.idp.issuer(), "provider discovered without its keys: logins wait for them"]).is_empty());
    world.idp.behave(Endpoint::Jwks);
    eventually("logins succeed", async || login_ends_with(&world).await == StatusCode::OK).await;
}
