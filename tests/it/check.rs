//! `evergate check`, against a provider in each of its misbehaviours, real databases and apps that are away.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Kind, World,
    certificates::Authority,
    idp::{Endpoint, Misbehaviour},
    postgres,
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
async fn a_product_that_never_lists_the_refresh_token_grant_is_not_blamed_for_it() {
    let world = World::build().set("oidc_preset", "glewlwyd").start().await;
    world.idp.set_metadata(json!({"grant_types_supported": ["authorization_code", "implicit"]}));
    let (level, said) = of_check(&found(&world).await.1, "refresh token").unwrap();
    assert_eq!((level.as_str(), said.trim()), ("ok", "this provider's refresh tokens come by themselves →"));
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
    info     front-channel logout   register at the provider: https://app.test/oauth2/frontchannel_logout
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
async fn a_page_instead_of_a_redirect_is_said_to_tell_nothing() {
    let world = World::start().await;
    // Its login page comes also with `prompt=none`, as at Dex.
    let metadata = json!({"authorization_endpoint": format!("{}/.well-known/openid-configuration", world.idp.issuer())});
    world.idp.set_metadata(metadata);
    let (code, findings) = found(&world).await;
    let (level, told) = of_check(&findings, "redirect URI").unwrap();
    assert_eq!((code, level.as_str()), (0, "info"), "{told}");
    assert!(told.contains("https://app.test/oauth2/callback, which does not tell whether it is registered"), "{told}");
    assert!(told.contains("evergate doctor"), "{told}");
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
        (Endpoint::Refresh, answers(401, r#"{"error":"invalid_grant"}"#), "client", "ok", "accepts"),
        (Endpoint::Refresh, answers(400, r#"{"error":"invalid_request"}"#), "client", "warning", "does not tell"),
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
async fn an_invalid_request_shows_that_the_client_is_good_only_where_the_provider_says_so_of_a_token() {
    for (preset, level) in [("dex", "ok"), ("lemonldap", "ok"), ("onelogin", "warning"), ("generic", "warning")] {
        let world = World::build().set("oidc_preset", preset).start().await;
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, r#"{"error":"invalid_request"}"#.to_owned(), vec![]));
        let (_, findings) = found(&world).await;
        assert_eq!(of_check(&findings, "client").unwrap().0, level, "{preset}");
    }
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
    // One that makes no table: that a table is there already is another finding.
    world.sql("DELETE FROM _sqlx_migrations WHERE version = 22").await;
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
    world.change(&[("upstream_url", &format!("https://{}", world.upstream.address))]);
    let (_, findings) = found(&world).await;
    let (level, told) = of_check(&findings, "upstream").unwrap();
    assert!(level == "error" && told.contains("cannot be connected to"), "an app that speaks no TLS: {told}");
    world.change(&[("oidc_issuer_url", "nonsense")]);
    let (code, told) = world.command(&["check"]).await;
    assert_eq!(code, 64, "{told}");
}

#[tokio::test]
async fn a_login_that_fails_for_every_user_is_found_although_the_provider_redirects() {
    let mut world = World::start().await;
    for error in ["invalid_scope", "unauthorized_client", "unsupported_response_type"] {
        let params = format!(r#"{{"fails_with":"{error}"}}"#);
        world.change(&[("oidc_auth_url_params", &params)]);
        let (code, findings) = found(&world).await;
        let (level, told) = of_check(&findings, "redirect URI").unwrap();
        assert!(code == 2 && level == "error" && told.contains(error), "{told}");
    }
}

#[tokio::test]
async fn the_redirect_uri_of_every_site_is_tried_and_told() {
    let mut world = World::start().await;
    world.change(&[("oidc_redirect_allowed_hosts", "second.test"), ("wildcard_access_url", "*.apps.test")]);
    let (code, findings) = found(&world).await;
    assert_eq!(code, 2, "the provider knows the access URL's alone");
    let told: Vec<_> = findings.iter().filter(|finding| finding["check"] == "redirect URI").collect();
    for uri in ["https://second.test/oauth2/callback", "https://any.apps.test/oauth2/callback"] {
        let advice = format!("register {uri} at the provider, to the letter");
        assert!(told.iter().any(|finding| finding["level"] == "error" && finding["advice"] == advice), "{uri}: {told:#?}");
    }
    let (_, registered) = of_check(&findings, "redirect URIs").unwrap();
    assert!(registered.contains("https://*.apps.test/oauth2/callback"), "{registered}");
    world.change(&[("oidc_redirect_url", "https://app.test")]);
    let (_, findings) = found(&world).await;
    assert_eq!(of_check(&findings, "redirect URI").unwrap().0, "ok");
    assert!(
        of_check(&findings, "redirect URIs")
            .unwrap()
            .1
            .starts_with("register at the provider: https://app.test/oauth2/callback →")
    );
}

#[tokio::test]
async fn what_a_provider_says_steers_no_terminal() {
    let world = World::start().await;
    world.idp.set_metadata(json!({"issuer": "https://evil.test/\u{9b}2J\u{202e}x"}));
    for arguments in [&["check"][..], &["check", "--json"]] {
        let (code, told) = world.command(arguments).await;
        assert!(code == 2 && told.contains("https://evil.test/"), "{told}");
        assert!(!told.contains(['\u{9b}', '\u{202e}']), "{told:?}");
    }
}

#[tokio::test]
async fn each_table_that_the_role_may_not_write_is_named() {
    let mut world = World::build().on_own_postgres().start().await;
    let url = world.database_url();
    postgres::make_serving_role(&url).await;
    world.change(&[("pg_connection_url", &url.replace("postgres@", "serving@"))]);
    assert_eq!(of_check(&found(&world).await.1, "rights"), None);
    postgres::run(&url, "REVOKE INSERT ON revocations FROM serving; REVOKE SELECT ON returned_attempts FROM serving").await;
    let (code, findings) = found(&world).await;
    let (level, told) = of_check(&findings, "rights").unwrap();
    assert!(code == 2 && level == "error" && told.contains("of returned_attempts, revocations →"), "{told}");
}

#[tokio::test]
async fn a_certificate_that_is_presented_or_trusted_is_found_before_it_expires() {
    let (authority, now) = (Authority::new(), evergate::clock::Clock::System.now());
    let day = Duration::from_secs(86_400);
    let issue = |name: &str, days| authority.issue_for(name, &["gateway.test"], now.minus(day)..now.plus(days * day));
    let (lasting, soon) = (issue("lasting", 100), issue("soon", 3));
    let mut world = World::start().await;
    for (name, (certificate, key), level, words) in
        [("lasting", &lasting, "ok", "the client certificate"), ("soon", &soon, "warning", "expires in 2 days")]
    {
        world.change(&[("upstream_client_cert_file", certificate.as_str()), ("upstream_client_key_file", key.as_str())]);
        let told = of_check(&found(&world).await.1, "certificate file").unwrap();
        assert!(told.0 == level && told.1.contains(words) && told.1.contains(name), "{told:?}");
    }
    world.change(&[
        ("upstream_client_cert_file", ""),
        ("upstream_client_key_file", ""),
        ("oidc_ca_file", authority.ca_file().as_str()),
    ]);
    let told = of_check(&found(&world).await.1, "certificate file").unwrap();
    assert!(told.1.contains("the CA bundle"), "{told:?}");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_the_wildcard_s_hosts_is_found() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("front", &["app.test"]);
    let mut world = World::start().await;
    let served = [
        ("tls_enable", "true"),
        ("tls_address", "127.0.0.1:0"),
        ("tls_cert_file", certificate.as_str()),
        ("tls_key_file", key.as_str()),
    ];
    world.change(&served);
    assert_eq!(of_check(&found(&world).await.1, "certificate").unwrap().0, "ok");
    world.change(&[("wildcard_access_url", "*.apps.test")]);
    let (level, told) = of_check(&found(&world).await.1, "certificate").unwrap();
    assert!(level == "error" && told.contains("other host names"), "{told}");
}
