//! How Evergate proves to the provider that it is the client: each method, and which one is chosen or learnt.

use std::{path::Path, time::Duration};

use evergate::tls::{CertificateFile, CertificateUse};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    World,
    client_key::ClientKey,
    eventually::eventually,
    idp::{
        Endpoint, Idp, Misbehaviour,
        client_check::{Audience, ClientCheck},
    },
    logs::lines_with,
    visitor::Visitor,
};

const EXPIRED: Duration = Duration::from_secs(301);
const EXPIRY: &str = "evergate_client_certificate_expiry_timestamp_seconds";
/// Longer than no other method is tried after each was refused.
const PAUSE: Duration = Duration::from_secs(301);
const PLAIN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";
/// Form encoding changes it.
const ODD_SECRET: &str = "a+secret:of%more&than=thirty-two bytes";

/// A world whose provider registers the client with a method, and lists these; its refresh tokens rotate strictly.
async fn registered(check: ClientCheck, listed: Value, secret: &str, settings: &[(&str, &str)]) -> World {
    let builder = World::build().set("oidc_preset", "authelia");
    let builder = if check == ClientCheck::Public {
        builder.without("oidc_client_secret")
    } else {
        builder.set("oidc_client_secret", secret)
    };
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value));
    let prepare = |idp: &Idp| {
        idp.change_secret(secret);
        idp.check_client(check);
        idp.set_metadata(json!({ "token_endpoint_auth_methods_supported": listed }));
        idp.introspect(true);
    };
    builder.start_with(prepare).await
}

async fn renewals(visitor: &Visitor) -> i64 {
    visitor.fetch("/oauth2/userinfo").await.json()["renewals"].as_i64().unwrap_or_default()
}

async fn login_ends_with(world: &World) -> StatusCode {
    world.visitor().browse(&world.idp, "/").await.status
}

/// Logs in, renews twice, the second time after an introspection, and logs out.
async fn use_every_endpoint(world: &World) {
    let visitor = world.signed_in().await;
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(renewals(&visitor).await, 1);
    // Nothing of the next renewal reaches the provider, so that its token is asked about.
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(502, String::new(), vec![]));
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    let lost = "failed to renew OIDC token: status_502";
    eventually("the answer is lost", async || lines_with(&[world.idp.issuer(), lost]).len() == 1).await;
    world.idp.behave(Endpoint::Refresh);
    world.clock.advance(Duration::from_secs(91));
    eventually("it is introspected", async || visitor.get("/").await.is_upstreams() && renewals(&visitor).await == 2).await;
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
}

/// How often codes were presented, and tokens refreshed, introspected and revoked.
fn calls(world: &World) -> [usize; 4] {
    [Endpoint::Code, Endpoint::Refresh, Endpoint::Introspection, Endpoint::Revocation].map(|endpoint| world.idp.calls(endpoint))
}

#[tokio::test]
async fn each_method_that_the_metadata_name_is_used_at_every_endpoint_with_one_call_each() {
    for (check, listed) in [
        (ClientCheck::Basic, "client_secret_basic"),
        (ClientCheck::Post, "client_secret_post"),
        (ClientCheck::SecretJwt(Audience::TokenEndpoint), "client_secret_jwt"),
        (ClientCheck::Public, "none"),
    ] {
        let world = registered(check, json!([listed]), ODD_SECRET, &[]).await;
        use_every_endpoint(&world).await;
        assert_eq!(calls(&world), [1, 3, 1, 1], "{check:?}");
    }
}

#[tokio::test]
async fn a_method_that_the_provider_refuses_is_replaced_by_another_once_for_all_endpoints() {
    let both = json!(["client_secret_basic", "client_secret_post"]);
    for (check, listed, secret) in [
        (ClientCheck::Post, both, PLAIN_SECRET),
        (ClientCheck::Post, json!(null), PLAIN_SECRET),
        (ClientCheck::BasicUndecoded, json!(["client_secret_basic"]), ODD_SECRET),
        (ClientCheck::SecretJwt(Audience::Issuer), json!(["client_secret_jwt"]), ODD_SECRET),
    ] {
        let world = registered(check, listed, secret, &[]).await;
        use_every_endpoint(&world).await;
        assert_eq!(calls(&world), [2, 3, 1, 1], "{check:?}");
        let learnt = "provider accepts this client with client_secret";
        assert!(!lines_with(&[learnt]).is_empty(), "{check:?}");
    }
}

#[tokio::test]
async fn each_endpoint_has_a_list_of_its_own() {
    let world = registered(ClientCheck::Post, json!(["client_secret_post"]), PLAIN_SECRET, &[]).await;
    world.idp.set_metadata(json!({
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
    }));
    let mut world = world;
    world.restart_with(&[]).await;
    let visitor = world.signed_in().await;
    world.idp.check_client(ClientCheck::Basic);
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    eventually("it is revoked", async || !world.idp.has_live_refresh_token()).await;
    assert_eq!(calls(&world), [1, 0, 0, 1]);
}

#[tokio::test]
async fn logins_that_come_together_learn_from_one_of_them() {
    let both = json!(["client_secret_basic", "client_secret_post", "client_secret_jwt"]);
    let world = registered(ClientCheck::Post, both, PLAIN_SECRET, &[]).await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Held);
    let logins: Vec<_> = (0..8)
        .map(|_| {
            let (visitor, idp) = (world.visitor(), std::sync::Arc::clone(&world.idp));
            tokio::spawn(async move { visitor.browse(&idp, "/").await.status })
        })
        .collect();
    eventually("all present their codes", async || world.idp.at_once() == 8).await;
    world.idp.behave(Endpoint::Code);
    for login in logins {
        assert_eq!(login.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(world.idp.calls(Endpoint::Code), 16);
}

#[tokio::test]
async fn a_method_that_comes_third_is_found_by_the_second_login() {
    let all = json!(["client_secret_basic", "client_secret_post", "client_secret_jwt"]);
    let world = registered(ClientCheck::SecretJwt(Audience::TokenEndpoint), all, PLAIN_SECRET, &[]).await;
    assert_ne!(login_ends_with(&world).await, StatusCode::OK);
    assert_eq!(world.idp.calls(Endpoint::Code), 2, "a refused call tries one other method");
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
    assert_eq!(world.idp.calls(Endpoint::Code), 5);
}

#[tokio::test]
async fn a_refused_secret_does_not_double_the_calls() {
    let both = json!(["client_secret_basic", "client_secret_post"]);
    let world = registered(ClientCheck::Post, both, PLAIN_SECRET, &[]).await;
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
    assert_eq!(world.idp.calls(Endpoint::Code), 2);
    world.idp.change_secret("another one");
    // What was accepted is given the benefit of the doubt for a while.
    for (round, expected) in [5, 6, 6].into_iter().enumerate() {
        let before = world.idp.calls(Endpoint::Code);
        world.clock.advance(PAUSE);
        for _ in 0..5 {
            assert_ne!(login_ends_with(&world).await, StatusCode::OK);
        }
        assert_eq!(world.idp.calls(Endpoint::Code) - before, expected, "round {round}: the other method is tried once");
    }
    // The administrator corrects it there, and has the client use the header from now on.
    world.idp.change_secret(PLAIN_SECRET);
    world.idp.check_client(ClientCheck::Basic);
    world.clock.advance(PAUSE);
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
}

#[tokio::test]
async fn a_one_use_token_is_presented_with_another_method_only_after_a_refusal_of_the_client() {
    let both = json!(["client_secret_basic", "client_secret_post"]);
    for (status, body, expected) in [
        (Some(400), r#"{"error":"invalid_request"}"#, 1),
        (Some(403), "", 1),
        (Some(503), "", 1),
        (Some(429), "", 1),
        (Some(400), r#"{"error":"invalid_grant"}"#, 1),
        // It refuses the client, for which the method is the wrong one.
        (None, "", 2),
    ] {
        let mut world = registered(ClientCheck::Post, both.clone(), PLAIN_SECRET, &[]).await;
        let visitor = world.signed_in().await;
        // A new process has not learnt the method yet.
        world.restart_with(&[]).await;
        if let Some(status) = status {
            world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(status, body.to_owned(), vec![]));
        }
        world.clock.advance(EXPIRED);
        let visitor = visitor.at(world.address());
        visitor.get("/").await;
        assert_eq!(world.idp.calls(Endpoint::Refresh), expected, "{status:?} {body}");
        if status.is_none() {
            assert_eq!((renewals(&visitor).await, world.idp.reuses()), (1, 0));
        }
    }
}

#[tokio::test]
async fn the_administrator_s_method_is_used_and_no_other() {
    let settings = [("oidc_client_auth_method", "client_secret_post")];
    let world = registered(ClientCheck::Post, json!(["client_secret_basic"]), PLAIN_SECRET, &settings).await;
    use_every_endpoint(&world).await;
    assert_eq!(calls(&world), [1, 3, 1, 1]);
    world.idp.check_client(ClientCheck::Basic);
    assert_ne!(login_ends_with(&world).await, StatusCode::OK);
    assert_eq!(world.idp.calls(Endpoint::Code), 2);
}

#[tokio::test]
async fn while_the_secret_is_rotated_the_previous_one_is_presented_by_the_method_that_was_learnt() {
    let both = json!(["client_secret_basic", "client_secret_post"]);
    let world = registered(ClientCheck::Post, both, PLAIN_SECRET, &[("oidc_client_secret_previous", "another-secret")]).await;
    world.idp.change_secret("another-secret");
    let visitor = world.signed_in().await;
    world.idp.change_secret(PLAIN_SECRET);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!(renewals(&visitor).await, 1);
    assert_eq!(world.idp.calls(Endpoint::Refresh), 2, "each secret once");
}

/// A world whose client has this key.
async fn with_key(key: &ClientKey, folder: &Path, audience: Audience, metadata: Value, settings: &[(&str, &str)]) -> World {
    key.write_key(folder);
    let [path, _] = ClientKey::paths(folder);
    let builder = World::build().set("oidc_preset", "authelia").without("oidc_client_secret");
    let builder = builder.set("oidc_client_key_file", path.to_str().unwrap());
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.set(name, value));
    let keys = [key.jwk.clone()];
    let prepare = |idp: &Idp| {
        idp.check_client(ClientCheck::PrivateKeyJwt(audience));
        idp.register_client_keys(&keys);
        idp.set_metadata(metadata);
        idp.introspect(true);
    };
    builder.start_with(prepare).await
}

#[tokio::test]
async fn a_private_key_signs_at_every_endpoint_with_an_algorithm_that_is_listed() {
    for (key, listed, algorithm) in [
        ("RS256", json!(null), "RS256"),
        ("RS256", json!(["PS256", "ES256"]), "PS256"),
        ("ES256", json!(["RS256", "ES256"]), "ES256"),
        ("ES384", json!(null), "ES384"),
    ] {
        let (folder, key) = (tempfile::tempdir().unwrap(), ClientKey::generate(key));
        let metadata = json!({
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": listed,
        });
        let world = with_key(&key, folder.path(), Audience::TokenEndpoint, metadata, &[]).await;
        use_every_endpoint(&world).await;
        assert_eq!(calls(&world), [1, 3, 1, 1], "{algorithm}");
        assert_eq!(world.idp.last_assertion_header(), json!({"alg": algorithm, "typ": "JWT"}));
    }
}

#[tokio::test]
async fn an_assertion_for_the_issuer_is_tried_where_one_for_the_token_endpoint_is_refused() {
    let (folder, key) = (tempfile::tempdir().unwrap(), ClientKey::generate("ES256"));
    let world = with_key(&key, folder.path(), Audience::Issuer, json!({}), &[("oidc_client_key_id", "first")]).await;
    use_every_endpoint(&world).await;
    assert_eq!(calls(&world), [2, 3, 1, 1]);
    assert_eq!(world.idp.last_assertion_header()["kid"], "first");
}

#[tokio::test]
async fn a_key_and_its_certificate_are_rotated_without_a_restart_and_what_does_not_fit_is_not_used() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), ClientKey::generate("RS256"), ClientKey::generate("ES256"));
    old.write_certificate(folder.path());
    let [key_path, certificate] = ClientKey::paths(folder.path());
    let settings = [("oidc_client_cert_file", certificate.to_str().unwrap())];
    let world = with_key(&old, folder.path(), Audience::TokenEndpoint, json!({}), &settings).await;
    let header = |algorithm: &str, key: &ClientKey| {
        let [sha1, sha256] = key.thumbprints();
        json!({"alg": algorithm, "typ": "JWT", "x5t": sha1, "x5t#S256": sha256})
    };
    let visitor = world.signed_in().await;
    let expiry_before = CertificateFile::read(&certificate, CertificateUse::Signing).expires_at.unwrap().seconds();
    assert_eq!(world.metric(0, EXPIRY), expiry_before as f64);
    assert_eq!(world.idp.last_assertion_header(), header("RS256", &old));
    let renew = async |expected: i64| {
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(renewals(&visitor).await, expected);
    };
    // The provider knows both while they are rotated; each change on the way leaves files that do not fit together.
    world.idp.register_client_keys(&[old.jwk.clone(), new.jwk.clone()]);
    std::fs::write(&key_path, "-----BEGIN PRIVATE KEY-----\nAAAA").unwrap();
    renew(1).await;
    new.write_key(folder.path());
    renew(2).await;
    assert_eq!(world.idp.last_assertion_header(), header("RS256", &old));
    let kept = "could not be read again; the previous one is still used";
    assert!(!lines_with(&[kept, "holds no usable private key"]).is_empty());
    assert!(!lines_with(&[kept, "is not that of the private key"]).is_empty());
    new.write_certificate(folder.path());
    renew(3).await;
    let expiry = CertificateFile::read(&certificate, CertificateUse::Signing).expires_at.unwrap().seconds();
    assert_ne!(expiry, expiry_before, "of another certificate");
    eventually("its end is told", async || world.metric(0, EXPIRY) == expiry as f64).await;
    assert_eq!(world.idp.last_assertion_header(), header("ES256", &new));
    world.idp.register_client_keys(std::slice::from_ref(&new.jwk));
    renew(4).await;
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_said_at_the_start() {
    let (folder, key, other) = (tempfile::tempdir().unwrap(), ClientKey::generate("ES256"), ClientKey::generate("ES256"));
    let mut world = with_key(&key, folder.path(), Audience::TokenEndpoint, json!({}), &[]).await;
    other.write_certificate(folder.path());
    let [key_path, certificate] = ClientKey::paths(folder.path()).map(|path| path.display().to_string());
    for (key, certificate, message) in [
        (&key_path, &certificate, "is not that of the private key"),
        (&key_path, &key_path, "holds no usable certificate"),
        (&certificate, &certificate, "holds no usable private key"),
        (&"/nowhere/key.pem".to_owned(), &certificate, "/nowhere/key.pem cannot be read"),
    ] {
        world.change(&[("oidc_client_key_file", key), ("oidc_client_cert_file", certificate)]);
        let (code, printed) = world.command(&["serve"]).await;
        assert!(code != 0 && printed.contains(message), "{code} {printed}");
    }
}
