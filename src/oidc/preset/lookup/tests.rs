use serde_json::json;

use super::*;

mod seen;

#[test]
fn providers_are_recognised_by_their_issuer() {
    let cases = [
        ("https://accounts.google.com", "google"),
        ("https://login.microsoftonline.com/0000/v2.0", "entra"),
        ("https://login.microsoftonline.us/0000/v2.0", "entra"),
        ("https://acme.okta.com/oauth2/default", "okta"),
        ("https://id.example/realms/acme", "keycloak"),
        ("https://id.example/auth/realms/acme", "keycloak"),
        ("https://acme.eu.auth0.com/", "auth0"),
        ("https://gitlab.com", "gitlab"),
        ("https://auth.pingone.eu/0000/as", "pingone"),
        ("https://acme.onelogin.com/oidc/2", "onelogin"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/pool", "cognito"),
        ("https://id.example/dex", "dex"),
        ("https://id.example/application/o/app/", "authentik"),
        ("https://acme.zitadel.cloud", "zitadel"),
        ("https://acme.projects.oryapis.com", "hydra"),
        ("https://oauth.id.jumpcloud.com/", "jumpcloud"),
        ("https://sts.example/adfs", "adfs"),
        ("https://id.example/o", "django-oauth-toolkit"),
        ("https://id.example/o/", "django-oauth-toolkit"),
        ("https://id.example/foo", "generic"),
        ("https://github.com", "github"),
        ("https://id.example", "generic"),
        ("https://accounts.google.com.evil.example", "generic"),
        ("https://notokta.com.example", "generic"),
    ];
    for (issuer, name) in cases {
        assert_eq!(Preset::of_issuer(issuer).name, name, "{issuer}");
    }
}

#[test]
fn every_preset_has_a_name_of_its_own() {
    for preset in PRESETS {
        assert_eq!(PRESETS.iter().filter(|other| other.name == preset.name).count(), 1, "{}", preset.name);
    }
    assert!(Preset::named("auto").is_none());
}

/// Metadata as these products serve them, at hosts that say nothing: what of them could tell one from another.
fn documents() -> Vec<(&'static str, &'static str, Value)> {
    let at = |issuer: &str, paths: &[(&str, &str)], scopes: &[&str]| {
        let mut members = Map::from_iter([("issuer".to_owned(), json!(issuer)), ("scopes_supported".to_owned(), json!(scopes))]);
        let host = issuer.trim_end_matches('/');
        members.extend(paths.iter().map(|(name, path)| {
            let base = if path.starts_with("//") { "https://id.example" } else { host };
            ((*name).to_owned(), json!(format!("{base}{}", path.replacen("//", "/", 1))))
        }));
        Value::Object(members)
    };
    const AUTHORIZE: &str = "authorization_endpoint";
    const TOKEN: &str = "token_endpoint";
    const KEYS: &str = "jwks_uri";
    const USERINFO: &str = "userinfo_endpoint";
    const LOGOUT: &str = "end_session_endpoint";
    const DEVICE: &str = "device_authorization_endpoint";
    let usual = ["openid", "profile", "email", "offline_access"];
    let root = "https://id.example";
    vec![
        (
            "hydra",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/oauth2/auth"),
                    (TOKEN, "/oauth2/token"),
                    (KEYS, "/.well-known/jwks.json"),
                    (USERINFO, "/userinfo"),
                    ("revocation_endpoint", "/oauth2/revoke"),
                    (LOGOUT, "/oauth2/sessions/logout"),
                    (DEVICE, "/oauth2/device/auth"),
                    ("credentials_endpoint_draft_00", "/credentials"),
                ],
                &["offline_access", "offline", "openid"],
            ),
        ),
        (
            "dex",
            "https://id.example/login",
            at(
                "https://id.example/login",
                &[(AUTHORIZE, "/auth"), (TOKEN, "/token"), (KEYS, "/keys"), (USERINFO, "/userinfo"), (DEVICE, "/device/code")],
                &["openid", "email", "groups", "profile", "offline_access"],
            ),
        ),
        (
            "keycloak",
            "https://sso.example",
            at(
                "https://sso.example",
                &[
                    (AUTHORIZE, "/protocol/openid-connect/auth"),
                    (TOKEN, "/protocol/openid-connect/token"),
                    (KEYS, "/protocol/openid-connect/certs"),
                    (LOGOUT, "/protocol/openid-connect/logout"),
                    (DEVICE, "/protocol/openid-connect/auth/device"),
                ],
                &usual,
            ),
        ),
        (
            "authentik",
            "https://id.example/",
            at(
                "https://id.example/",
                &[
                    (AUTHORIZE, "/application/o/authorize/"),
                    (TOKEN, "/application/o/token/"),
                    (KEYS, "/application/o/app/jwks/"),
                    (LOGOUT, "/application/o/app/end-session/"),
                    (DEVICE, "/application/o/device/"),
                ],
                &usual,
            ),
        ),
        (
            "authelia",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/api/oidc/authorization"),
                    (TOKEN, "/api/oidc/token"),
                    (KEYS, "/jwks.json"),
                    (USERINFO, "/api/oidc/userinfo"),
                    (DEVICE, "/api/oidc/device-authorization"),
                ],
                &["offline_access", "openid", "profile", "groups", "email", "address", "phone"],
            ),
        ),
        (
            "zitadel",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/oauth/v2/authorize"),
                    (TOKEN, "/oauth/v2/token"),
                    (KEYS, "/oauth/v2/keys"),
                    (USERINFO, "/oidc/v1/userinfo"),
                    (LOGOUT, "/oidc/v1/end_session"),
                    (DEVICE, "/oauth/v2/device_authorization"),
                ],
                &usual,
            ),
        ),
        (
            "gitlab",
            "https://git.example",
            at(
                "https://git.example",
                &[
                    (AUTHORIZE, "/oauth/authorize"),
                    (TOKEN, "/oauth/token"),
                    (KEYS, "/oauth/discovery/keys"),
                    (USERINFO, "/oauth/userinfo"),
                ],
                &["api", "read_api", "read_user", "openid", "profile", "email"],
            ),
        ),
        (
            "spring",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/oauth2/authorize"),
                    (TOKEN, "/oauth2/token"),
                    (KEYS, "/oauth2/jwks"),
                    (USERINFO, "/userinfo"),
                    (LOGOUT, "/connect/logout"),
                    (DEVICE, "/oauth2/device_authorization"),
                ],
                &["openid"],
            ),
        ),
        (
            "lemonldap",
            "https://auth.example/",
            at(
                "https://auth.example/",
                &[
                    (AUTHORIZE, "/oauth2/authorize"),
                    (TOKEN, "/oauth2/token"),
                    (KEYS, "/oauth2/jwks"),
                    (USERINFO, "/oauth2/userinfo"),
                    (LOGOUT, "/oauth2/logout"),
                ],
                &["openid", "profile", "email", "address", "phone"],
            ),
        ),
        (
            "canaille",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/oauth/authorize"),
                    (TOKEN, "/oauth/token"),
                    (KEYS, "/oauth/jwks.json"),
                    (USERINFO, "/oauth/userinfo"),
                    (LOGOUT, "/oauth/end_session"),
                ],
                &["openid", "profile", "email", "address", "phone", "groups"],
            ),
        ),
        (
            "glewlwyd",
            "https://id.example/api/oidc",
            at(
                "https://id.example/api/oidc",
                &[
                    (AUTHORIZE, "/auth"),
                    (TOKEN, "/token"),
                    (KEYS, "/jwks"),
                    (USERINFO, "/userinfo"),
                    (DEVICE, "/device_authorization"),
                ],
                &["openid"],
            ),
        ),
        (
            "django-oauth-toolkit",
            "https://id.example/sso",
            at(
                "https://id.example/sso",
                &[(AUTHORIZE, "/authorize/"), (TOKEN, "/token/"), (KEYS, "/.well-known/jwks.json"), (USERINFO, "/userinfo/")],
                &["read", "write", "openid"],
            ),
        ),
        (
            "pingfederate",
            "https://id.example:9031",
            at(
                "https://id.example:9031",
                &[
                    (AUTHORIZE, "/as/authorization.oauth2"),
                    (TOKEN, "/as/token.oauth2"),
                    (KEYS, "/pf/JWKS"),
                    (USERINFO, "/idp/userinfo.openid"),
                    ("ping_end_session_endpoint", "/idp/startSLO.ping"),
                    ("ping_revoked_sris_endpoint", "/pf-ws/rest/sessionMgmt/revokedSris"),
                ],
                &["openid", "profile", "email", "address", "phone"],
            ),
        ),
        (
            "pingone",
            "https://id.example/as",
            at(
                "https://id.example/as",
                &[(AUTHORIZE, "/authorize"), (TOKEN, "/token"), (KEYS, "/jwks"), (USERINFO, "/userinfo"), (LOGOUT, "/signoff")],
                &["openid", "profile", "email", "address", "phone"],
            ),
        ),
        (
            "okta",
            "https://login.example/oauth2/default",
            at(
                "https://login.example/oauth2/default",
                &[(AUTHORIZE, "/v1/authorize"), (TOKEN, "/v1/token"), (KEYS, "/v1/keys"), (LOGOUT, "/v1/logout")],
                &usual,
            ),
        ),
        (
            "auth0",
            "https://login.example/",
            at(
                "https://login.example/",
                &[
                    (AUTHORIZE, "/authorize"),
                    (TOKEN, "/oauth/token"),
                    (KEYS, "/.well-known/jwks.json"),
                    (DEVICE, "/oauth/device/code"),
                    ("mfa_challenge_endpoint", "/mfa/challenge"),
                ],
                &usual,
            ),
        ),
        // Products without a preset of their own.
        (
            "generic",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/auth"),
                    (TOKEN, "/token"),
                    (KEYS, "/jwks"),
                    (USERINFO, "/me"),
                    (LOGOUT, "/session/end"),
                    (DEVICE, "/device/auth"),
                ],
                &["openid", "offline_access"],
            ),
        ),
        (
            "generic",
            root,
            at(
                root,
                &[
                    (AUTHORIZE, "/connect/authorize"),
                    (TOKEN, "/connect/token"),
                    (KEYS, "/.well-known/openid-configuration/jwks"),
                    (LOGOUT, "/connect/endsession"),
                    (DEVICE, "/connect/deviceauthorization"),
                ],
                &usual,
            ),
        ),
        (
            "generic",
            "https://id.example/oauth2/token",
            at(
                "https://id.example/oauth2/token",
                &[(AUTHORIZE, "//oauth2/authorize"), (KEYS, "//oauth2/jwks"), (LOGOUT, "//oidc/logout")],
                &usual,
            ),
        ),
    ]
}

#[test]
fn a_product_is_recognised_by_its_metadata_wherever_it_is_hosted() {
    for (name, issuer, document) in documents() {
        let (members, scopes) = (document.as_object().unwrap(), list(&document));
        let by = if name == "generic" { DetectedBy::Nothing } else { DetectedBy::Metadata };
        let (found, found_by) = Preset::detect(issuer, &scopes, members);
        assert_eq!((found.name, found_by), (name, by), "{document}");
    }
}

/// The order of presets decides nothing.
#[test]
fn no_product_s_metadata_look_like_another_s() {
    for (name, issuer, document) in documents() {
        for preset in PRESETS.iter().filter(|preset| preset.name != name && !preset.metadata_signs.is_empty()) {
            let found = shows_all(preset, &list(&document), document.as_object().unwrap());
            assert!(!found, "{name} at {issuer} looks like {}", preset.name);
        }
    }
}

#[test]
fn an_issuer_says_more_than_metadata() {
    let hydra = json!({
        "authorization_endpoint": "https://x/oauth2/auth", "token_endpoint": "https://x/oauth2/token", "scopes_supported": ["offline"],
    });
    let (found, by) = Preset::detect("https://oauth.id.jumpcloud.com/", &list(&hydra), hydra.as_object().unwrap());
    assert_eq!((found.name, by), ("jumpcloud", DetectedBy::Issuer));
}

fn list(document: &Value) -> Vec<String> {
    serde_json::from_value(document["scopes_supported"].clone()).unwrap()
}
