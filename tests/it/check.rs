//! `evergate check`, against a provider in each of its misbehaviours, real databases and apps that are away.

use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    idp::{Endpoint, Misbehaviour},
};

/// The exit status, and the findings.
async fn found(world: &World) -> (i32, Vec<Value>) {
    let (code, told) = world.command(&["check", "--json"]).await;
    let findings: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("not JSON: {told}"));
    (code, findings.as_array().unwrap().clone())
}

/// The level of a check, and all that is said of it.
fn of_check(findings: &[Value], check: &str) -> Option<(String, String)> {
    let finding = findings.iter().find(|finding| finding["check"] == check)?;
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    Some((text("level"), format!("{} → {} {}", text("seen"), text("advice"), text("document"))))
}

#[tokio::test]
async fn what_is_right_is_said_line_by_line_with_what_to_register() {
    let world = World::start().await;
    world.idp.set_metadata(json!({
        "grant_types_supported": ["authorization_code", "refresh_token"], "code_challenge_methods_supported": ["S256"],
        "backchannel_logout_supported": true,
    }));
    let (code, told) = world.command(&["check"]).await;
    assert_eq!(code, 0, "{told}");
    let told = told.replace(world.idp.issuer(), "ISSUER").replace(&world.upstream.address.to_string(), "APP");
    let told: Vec<_> = told.lines().filter(|line| !line.contains("SQLite")).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    ok       settings               all settings are understood
    ok       access URL             https://app.test is https: cookies are Secure
    ok       provider               ISSUER has metadata and 1 keys; preset generic
    ok       clock                  the provider's clock and this machine's agree
    ok       refresh token          offline_access is asked for, because the provider lists it
    ok       client                 the provider accepts the client's credentials
    ok       redirect URI           the provider redirects to https://app.test/oauth2/callback
    ok       logout                 Evergate logs out at the provider, revokes the refresh token, is told of logouts there, if its back-channel logout URI is registered
                                    → docs/postgres.md
    ok       upstream               http://APP accepts connections
    info     redirect URIs          register at the provider: https://app.test/oauth2/callback
    info     post-logout URI        register at the provider: https://app.test/oauth2/signed_out
    info     back-channel logout    register at the provider: https://app.test/oauth2/backchannel_logout
    info     login initiation       register at the provider: https://app.test/oauth2/start

    0 errors, 0 warnings
    ");
}

#[tokio::test]
async fn each_misbehaviour_of_a_provider_is_found_with_what_to_do() {
    let world = World::start().await;
    let issuer = world.idp.issuer();
    let slash = format!("{issuer}/");
    for (metadata, check, level, said) in [
        (json!({"issuer": slash}), "provider", "error", format!("set CODER_OIDC_ISSUER_URL to {slash}")),
        (json!({"issuer": null}), "provider", "error", "no usable issuer".to_owned()),
        (json!({"token_endpoint": null}), "provider", "error", "no usable token_endpoint".to_owned()),
        (
            json!({"authorization_endpoint": "http://idp.example/authorize"}),
            "provider",
            "error",
            "no usable authorization_endpoint".to_owned(),
        ),
        (json!({"jwks_uri": format!("{issuer}/nothing")}), "provider", "error", "keys could not be fetched".to_owned()),
        (json!({"grant_types_supported": ["authorization_code"]}), "refresh token", "error", "enable refresh tokens".to_owned()),
        (json!({"scopes_supported": ["openid", "profile", "email"]}), "refresh token", "warning", "offline_access".to_owned()),
        (json!({"code_challenge_methods_supported": ["plain"]}), "PKCE", "info", "does not list PKCE".to_owned()),
        (json!({"id_token_signing_alg_values_supported": ["HS256"]}), "signatures", "warning", "client secret".to_owned()),
        (json!({"id_token_signing_alg_values_supported": ["none"]}), "provider's demands", "error", "algorithm".to_owned()),
        (
            json!({"require_signed_request_object": true}),
            "provider's demands",
            "error",
            "signed authorization requests".to_owned(),
        ),
        (json!({"response_types_supported": ["id_token"]}), "provider's demands", "error", "code flow".to_owned()),
        (
            json!({"end_session_endpoint": null, "revocation_endpoint": null}),
            "logout",
            "info",
            "ends the session here alone".to_owned(),
        ),
        (
            json!({"authorization_endpoint": format!("{issuer}/nothing")}),
            "redirect URI",
            "error",
            "authorization endpoint answers with status 404".to_owned(),
        ),
    ] {
        world.idp.set_metadata(metadata.clone());
        let (code, findings) = found(&world).await;
        let (found_level, told) = of_check(&findings, check).unwrap_or_else(|| panic!("{metadata}: {findings:#?}"));
        assert_eq!(found_level, level, "{metadata}: {told}");
        assert!(told.contains(&said), "{metadata}: {told}");
        assert!(code == 2 || level != "error", "{metadata}: {code}");
        assert!(!format!("{findings:?}").contains(crate::harness::idp::CLIENT_SECRET));
    }
}

#[tokio::test]
async fn calls_that_fail_are_told_by_their_cause() {
    let answers = |status, body: &str| Misbehaviour::Answer(status, body.to_owned(), vec![]);
    let world = World::start().await;
    for (endpoint, misbehaviour, check, level, said) in [
        (Endpoint::Discovery, answers(404, ""), "provider", "error", "no metadata"),
        (Endpoint::Discovery, answers(503, ""), "provider", "error", "503"),
        (Endpoint::Discovery, answers(302, ""), "provider", "error", "redirects are not followed"),
        (Endpoint::Discovery, answers(200, "<html>"), "provider", "error", "not a JSON object"),
        (Endpoint::Discovery, answers(200, "[]"), "provider", "error", "not a JSON object"),
        (Endpoint::Jwks, answers(500, ""), "provider", "error", "keys could not be fetched"),
        (Endpoint::Jwks, answers(200, "{}"), "provider", "error", "keys could not be fetched"),
        (Endpoint::Jwks, answers(200, r#"{"keys":[]}"#), "signatures", "error", "no key that can verify"),
        (Endpoint::Refresh, answers(401, ""), "client", "error", "CODER_OIDC_CLIENT_SECRET"),
        (Endpoint::Refresh, answers(400, r#"{"error":"unauthorized_client"}"#), "client", "error", "unauthorized_client"),
        (Endpoint::Refresh, answers(500, ""), "client", "warning", "does not tell"),
        (Endpoint::Refresh, answers(200, "{}"), "client", "warning", "does not tell"),
        (Endpoint::Refresh, answers(400, r#"{"error":"invalid_request"}"#), "client", "ok", "accepts"),
    ] {
        world.idp.misbehave(endpoint, misbehaviour.clone());
        let (_, findings) = found(&world).await;
        let (found_level, told) = of_check(&findings, check).unwrap_or_else(|| panic!("{misbehaviour:?}: {findings:#?}"));
        assert_eq!(found_level, level, "{misbehaviour:?}: {told}");
        assert!(told.contains(said), "{misbehaviour:?}: {told}");
        world.idp.behave(endpoint);
    }
    world.idp.change_secret("another");
    let (code, findings) = found(&world).await;
    assert_eq!((code, of_check(&findings, "client").unwrap().0.as_str()), (2, "error"));
    world.idp_line.cut();
    let (code, findings) = found(&world).await;
    assert!(code == 2 && of_check(&findings, "provider").unwrap().1.contains("firewall"), "{findings:#?}");
}

#[tokio::test]
async fn the_database_tells_its_version_rights_migrations_and_whether_replicas_hear_of_each_other() {
    let world = World::build().on(Kind::Postgres).start().await;
    let (_, findings) = found(&world).await;
    for (check, said) in [
        ("database", "Postgres "),
        ("migrations", "up to date"),
        ("announcements", "notifications arrive"),
        ("encryption keys", "1 keys"),
    ] {
        let (level, told) = of_check(&findings, check).unwrap();
        assert!(level == "ok" && told.contains(said), "{check}: {level} {told}");
    }
    world.sql("DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)").await;
    let (_, findings) = found(&world).await;
    assert!(of_check(&findings, "migrations").unwrap().1.contains("1 migrations have not been applied"), "{findings:#?}");
    world.set_store_read_only(true, true).await;
    let (code, findings) = found(&world).await;
    assert!(code == 2 && of_check(&findings, "database").unwrap().1.contains("takes no writes"), "{findings:#?}");
}

#[tokio::test]
async fn an_app_that_is_away_and_settings_that_are_wrong_are_told() {
    let mut world = World::start().await;
    world.change(&[("upstream_url", "http://127.0.0.1:9"), ("oidc_redirect_url", "https://login.test")]);
    let (code, findings) = found(&world).await;
    assert_eq!(code, 2);
    let (level, told) = of_check(&findings, "redirect URI").unwrap();
    assert!(level == "error" && told.contains("register https://login.test/oauth2/callback at the provider"), "{told}");
    let (level, told) = of_check(&findings, "upstream").unwrap();
    assert!(level == "error" && told.contains("http://127.0.0.1:9 cannot be connected to"), "{told}");
    let registered: Vec<_> = findings.iter().map(|finding| finding["seen"].as_str().unwrap()).collect();
    assert!(registered.contains(&"register at the provider: https://login.test/oauth2/callback"), "{registered:#?}");
    world.change(&[("oidc_issuer_url", "nonsense")]);
    let (code, told) = world.command(&["check"]).await;
    assert_eq!(code, 64, "{told}");
}
