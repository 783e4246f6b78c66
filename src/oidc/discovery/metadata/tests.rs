use serde_json::json;

use super::*;
use crate::secret::Secret;

const PUSH: &str = "https://id.example/par";

fn settings() -> Settings {
    Settings { client_secret: Some(Secret::new("short")), ..Settings::of_test("https://id.example") }
}

fn read_with(settings: &Settings, edits: &Value) -> Result<ProviderMetadata, ProviderError> {
    let mut document = json!({
        "issuer": "https://id.example", "authorization_endpoint": "https://id.example/a", "token_endpoint": "https://id.example/t",
        "jwks_uri": "https://id.example/k",
    });
    document.as_object_mut().unwrap().extend(edits.as_object().unwrap().clone());
    ProviderMetadata::read(settings, &MetadataDocument::parse(document.to_string().as_bytes()).unwrap())
}

fn read(edits: &Value) -> Result<ProviderMetadata, ProviderError> {
    read_with(&settings(), edits)
}

#[test]
fn members_that_nobody_needs_are_not_read_and_empty_ones_are_absent() {
    let odd = json!({
        "op_policy_uri": "", "registration_endpoint": "", "response_types_supported": "code", "claims_supported": 7,
        "subject_types_supported": null, "userinfo_endpoint": "", "end_session_endpoint": null, "revocation_endpoint": ["x"],
        "introspection_endpoint": " ", "scopes_supported": "openid email", "id_token_signing_alg_values_supported": [],
        "token_endpoint_auth_methods_supported": {}, "prompt_values_supported": [], "code_challenge_methods_supported": true,
        "authorization_response_iss_parameter_supported": "no", "grant_types_supported": [],
    });
    let metadata = read(&odd).unwrap();
    assert_eq!(
        (
            metadata.userinfo_endpoint,
            metadata.revocation_endpoint,
            metadata.introspection_endpoint,
            metadata.end_session_endpoint
        ),
        (None, None, None, None)
    );
    assert_eq!((metadata.sends_iss, metadata.supports_prompt_none, metadata.supports_prompt_consent), (false, true, false));
    assert_eq!(metadata.algorithms, Algorithm::ASYMMETRIC);
    assert_eq!(metadata.authorization_params.scopes, ["openid", "email"]);
    assert_eq!(metadata.unsupported_requirements, []);
}

#[test]
fn a_member_that_is_needed_is_named_when_it_is_wrong() {
    for (name, value) in [
        ("authorization_endpoint", json!(null)),
        ("token_endpoint", json!("")),
        ("token_endpoint", json!("http://id.example/t")),
        ("jwks_uri", json!("ftp://id.example/k")),
        ("jwks_uri", json!("http://127.0.0.1/k")),
        ("userinfo_endpoint", json!("/userinfo")),
        ("revocation_endpoint", json!("http://192.0.2.1/")),
        ("introspection_endpoint", json!("http://192.0.2.1/")),
    ] {
        let error = read(&json!({name: value})).unwrap_err();
        assert!(matches!(error, ProviderError::Metadata(named) if named == name), "{name}: {error}");
    }
    let other = read(&json!({"issuer": "https://id.example/"})).unwrap_err();
    assert!(matches!(other, ProviderError::IssuerMismatch { found, .. } if found == "https://id.example/"));
    let ignoring = Settings { ignore_userinfo: true, ..settings() };
    assert!(read_with(&ignoring, &json!({"userinfo_endpoint": "/userinfo"})).is_ok(), "what is not asked for need not be right");
}

#[test]
fn a_shared_secret_serves_where_the_metadata_list_it_and_it_is_long_enough() {
    let long = Settings { previous_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")), ..settings() };
    let listed = json!({"id_token_signing_alg_values_supported": ["RS256", "HS256", "HS512", "ES256K", "none"]});
    assert_eq!(read_with(&long, &listed).unwrap().algorithms, [Algorithm::Rs256, Algorithm::Hs256]);
    assert_eq!(read(&listed).unwrap().algorithms, [Algorithm::Rs256]);
    assert_eq!(read_with(&long, &json!({})).unwrap().algorithms, Algorithm::ASYMMETRIC);
}

#[test]
fn demands_that_cannot_be_met_are_known_from_the_start() {
    let cases = [
        (json!({}), vec![]),
        (json!({"require_pushed_authorization_requests": true}), vec![UnsupportedRequirement::NoPushedAuthorizationEndpoint]),
        (json!({"require_pushed_authorization_requests": true, "pushed_authorization_request_endpoint": PUSH}), vec![]),
        (json!({"require_signed_request_object": true}), vec![UnsupportedRequirement::SignedRequests]),
        (json!({"id_token_signing_alg_values_supported": ["ES256K"]}), vec![UnsupportedRequirement::SigningAlgorithm]),
        (json!({"id_token_signing_alg_values_supported": ["HS256"]}), vec![UnsupportedRequirement::SigningAlgorithm]),
        (
            json!({"id_token_signing_alg_values_supported": ["none"], "id_token_encryption_alg_values_supported": ["RSA-OAEP"]}),
            vec![UnsupportedRequirement::EncryptedIdTokens],
        ),
        (
            json!({"id_token_encryption_alg_values_supported": ["RSA-OAEP"], "userinfo_signing_alg_values_supported": ["RS256"]}),
            vec![],
        ),
        (
            json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}),
            vec![UnsupportedRequirement::ClientAuthentication],
        ),
        (json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}), vec![]),
        (json!({"response_types_supported": ["id_token"]}), vec![UnsupportedRequirement::CodeFlow]),
        (json!({"response_modes_supported": ["form_post"]}), vec![UnsupportedRequirement::CodeFlow]),
        (json!({"response_modes_supported": ["form_post", "query"], "grant_types_supported": ["authorization_code"]}), vec![]),
    ];
    for (edits, expected) in cases {
        assert_eq!(read(&edits).unwrap().unsupported_requirements, expected, "{edits}");
    }
}

#[test]
fn authorization_requests_are_pushed_where_the_metadata_or_a_setting_demand_it() {
    use UnsupportedRequirement::{NoPushedAuthorizationEndpoint, PushedAuthorizationRequests};
    let endpoint = Some(PUSH);
    for (setting, required, endpoint, expected, unmet) in [
        (None, false, endpoint, None, vec![]),
        (None, true, endpoint, endpoint, vec![]),
        (Some(true), false, endpoint, endpoint, vec![]),
        (Some(true), false, None, None, vec![NoPushedAuthorizationEndpoint]),
        (Some(false), false, endpoint, None, vec![]),
        (Some(false), true, endpoint, None, vec![PushedAuthorizationRequests]),
    ] {
        let settings = Settings { pushed_authorization: setting, ..settings() };
        let edits = json!({"require_pushed_authorization_requests": required, "pushed_authorization_request_endpoint": endpoint});
        let metadata = read_with(&settings, &edits).unwrap();
        assert_eq!(metadata.pushed_authorization_request_endpoint.as_deref(), expected, "{setting:?} {edits}");
        assert_eq!(metadata.unsupported_requirements, unmet, "{setting:?} {edits}");
    }
}

#[test]
fn graph_is_that_of_the_cloud_which_the_metadata_of_entra_id_name_unless_a_setting_names_another() {
    let graph = |preset: &str, setting: Option<&str>, host: Value| {
        let graph_url = setting.map(|url| url.parse().unwrap());
        let settings = Settings { preset: Preset::named(preset), graph_url, ..settings() };
        read_with(&settings, &json!({"msgraph_host": host})).unwrap().graph_url.map(String::from)
    };
    let at = |url: &str| Some(url.to_owned());
    assert_eq!(graph("entra", None, json!("graph.microsoft.us")), at("https://graph.microsoft.us/"));
    assert_eq!(graph("entra", Some("https://graph.example"), json!("graph.microsoft.us")), at("https://graph.example/"));
    assert_eq!(graph("generic", Some("https://graph.example"), json!(null)), at("https://graph.example/"));
    for host in [json!(null), json!(""), json!("evil.example/path"), json!("user@evil.example")] {
        assert_eq!(graph("entra", None, host.clone()), None, "{host}");
    }
    assert_eq!(graph("generic", None, json!("graph.microsoft.com")), None, "no other provider is asked there");
}

#[test]
fn a_provider_with_a_logout_of_its_own_is_asked_in_its_form() {
    let read_as = |preset: &str, edits: &Value| {
        let metadata = read_with(&Settings { preset: Preset::named(preset), ..settings() }, edits).unwrap();
        (metadata.end_session_endpoint.map(String::from), metadata.own_logout.map(|own| own.return_to))
    };
    let listed = json!({"authorization_endpoint": "https://id.example/x/a", "end_session_endpoint": "https://id.example/o"});
    let unlisted = json!({"authorization_endpoint": "https://id.example/x/a"});
    let at = |url: &str| Some(url.to_owned());
    for (preset, edits, expected) in [
        ("generic", &listed, (at("https://id.example/o"), None)),
        ("generic", &unlisted, (None, None)),
        ("cognito", &listed, (at("https://id.example/o"), Some("logout_uri"))),
        ("cognito", &unlisted, (at("https://id.example/logout"), Some("logout_uri"))),
        ("auth0", &listed, (at("https://id.example/o"), None)),
        ("auth0", &unlisted, (at("https://id.example/v2/logout"), Some("returnTo"))),
    ] {
        assert_eq!(read_as(preset, edits), expected, "{preset} {edits}");
    }
}
