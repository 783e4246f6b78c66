use bytes::Bytes;
use http::HeaderMap;

use super::*;
use ClientAuthVariant::{Basic, BasicUnencoded, None as Public, Post, PrivateKeyJwt, SecretJwt};

const LONG: &str = "0123456789abcdef0123456789abcdef";

fn settings(secret: Option<&str>) -> Settings {
    Settings { client_secret: secret.map(Secret::new), ..Settings::of_test("https://id.example") }
}

/// The forms at the token endpoint of a provider with these lists.
fn at_token(settings: &Settings, methods: Option<&[&str]>, algorithms: Option<&[&str]>) -> Vec<ClientAuthVariant> {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let supported = SupportedAuth { methods: methods.map(list), algorithms: algorithms.map(list) };
    variants(settings, Preset::of_issuer(&settings.issuer), ClientEndpoint::Token, &supported)
}

type List<'a> = Option<&'a [&'a str]>;
/// A secret, the methods and the algorithms that are listed, and what follows from them.
type Case<'a> = (Option<&'a str>, List<'a>, List<'a>, &'a [ClientAuthVariant]);

#[test]
fn the_metadata_choose_the_method_and_those_that_are_tried_after_a_refusal() {
    let jwt = [SecretJwt(Audience::TokenEndpoint), SecretJwt(Audience::Issuer)];
    let all = ["private_key_jwt", "client_secret_jwt", "client_secret_post", "client_secret_basic", "none"];
    let cases: [Case<'_>; 15] = [
        (Some("plain"), None, None, &[Basic, Post]),
        (Some("o:d+d"), None, None, &[Basic, BasicUnencoded, Post]),
        (Some("plain"), Some(&["client_secret_basic"]), None, &[Basic]),
        (Some("o:d+d"), Some(&["client_secret_basic"]), None, &[Basic, BasicUnencoded]),
        (Some("o:d+d"), Some(&["client_secret_post"]), None, &[Post]),
        (Some("plain"), Some(&["client_secret_post", "client_secret_basic"]), None, &[Basic, Post]),
        (Some("plain"), Some(&all), None, &[Basic, Post]),
        (Some(LONG), Some(&all), None, &[Basic, Post, jwt[0], jwt[1]]),
        (Some(LONG), Some(&["client_secret_jwt"]), None, &jwt),
        (Some(LONG), Some(&["client_secret_jwt"]), Some(&["RS256", "HS256"]), &jwt),
        // Nothing fits, which the log says; the usual method is tried all the same.
        (Some(LONG), Some(&["client_secret_jwt"]), Some(&["RS256"]), &[Basic]),
        (Some("plain"), Some(&["client_secret_jwt"]), None, &[Basic]),
        (Some("plain"), Some(&["private_key_jwt"]), None, &[Basic]),
        (None, Some(&["client_secret_basic"]), None, &[Public]),
        (None, None, None, &[Public]),
    ];
    for (secret, methods, algorithms, expected) in cases {
        assert_eq!(at_token(&settings(secret), methods, algorithms), expected, "{secret:?} {methods:?} {algorithms:?}");
    }
}

#[test]
fn the_administrator_s_method_is_used_whatever_the_metadata_list() {
    for (method, expected) in [
        (ClientAuthMethod::SecretBasic, &[Basic, BasicUnencoded][..]),
        (ClientAuthMethod::SecretPost, &[Post]),
        (ClientAuthMethod::SecretJwt, &[SecretJwt(Audience::TokenEndpoint), SecretJwt(Audience::Issuer)]),
        (ClientAuthMethod::PrivateKeyJwt, &[PrivateKeyJwt(Audience::TokenEndpoint), PrivateKeyJwt(Audience::Issuer)]),
        (ClientAuthMethod::None, &[Public]),
    ] {
        let settings = Settings { client_auth_method: Some(method), ..settings(Some("o:d+d")) };
        assert_eq!(at_token(&settings, Some(&["tls_client_auth"]), Some(&["RS256"])), expected, "{method:?}");
        assert_eq!(ClientAuthMethod::named(method.name()), Some(method));
    }
}

#[test]
fn a_private_key_is_used_where_there_is_one() {
    let files = crate::oidc::ClientKeyFiles { key: "key.pem".into(), certificate: None, id: None };
    let settings = Settings { client_key: Some(files), ..settings(None) };
    let expected = [PrivateKeyJwt(Audience::TokenEndpoint), PrivateKeyJwt(Audience::Issuer)];
    for methods in [None, Some(&["client_secret_basic", "private_key_jwt"][..]), Some(&["client_secret_basic"])] {
        assert_eq!(at_token(&settings, methods, None), expected, "{methods:?}");
    }
    let unlisted = SupportedAuth { methods: Some(vec!["client_secret_basic".to_owned()]), algorithms: None };
    assert_eq!(usable_methods(&settings, &unlisted), [], "which the log says");
}

#[test]
fn an_identifier_with_a_colon_is_never_sent_unencoded() {
    let settings = Settings { client_id: "urn:app".into(), ..settings(Some("plain")) };
    assert_eq!(at_token(&settings, None, None), [Basic, Post]);
    let odd_identifier = Settings { client_id: "app@example".into(), ..settings };
    assert_eq!(at_token(&odd_identifier, None, None), [Basic, BasicUnencoded, Post]);
}

#[test]
fn the_preset_says_which_audience_is_tried_first() {
    use Audience::{CalledEndpoint, Issuer, TokenEndpoint};
    use ClientEndpoint::{Revocation, Token};
    for (issuer, endpoint, expected) in [
        ("https://id.example", Token, &[TokenEndpoint, Issuer][..]),
        ("https://id.example", Revocation, &[TokenEndpoint, Issuer]),
        ("https://acme.eu.auth0.com/", Token, &[Issuer, TokenEndpoint]),
        ("https://acme.zitadel.cloud", Revocation, &[Issuer, TokenEndpoint]),
        ("https://acme.okta.com", Token, &[TokenEndpoint, Issuer]),
        ("https://acme.okta.com", Revocation, &[CalledEndpoint, TokenEndpoint, Issuer]),
    ] {
        assert_eq!(audiences(Preset::of_issuer(issuer), endpoint).collect::<Vec<_>>(), expected, "{issuer} {endpoint:?}");
    }
}

fn response(status: u16, body: &'static str) -> HttpResponse {
    HttpResponse { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: Bytes::from(body) }
}

#[test]
fn any_401_and_the_error_codes_are_about_client_authentication() {
    let judged = |status, body| is_client_auth_error(&response(status, body));
    assert!(judged(401, r#"{"error":"unauthorized_client"}"#) && judged(401, "") && judged(401, "<html>"));
    assert!(judged(400, r#"{"error":"invalid_client"}"#) && judged(400, r#"{"error":"unauthorized_client"}"#));
    assert!(judged(200, r#"{"error":"incorrect_client_credentials"}"#));
    for (status, body) in [
        (400, r#"{"error":"invalid_grant"}"#),
        (200, r#"{"access_token":"a"}"#),
        (500, ""),
        (403, ""),
        (200, r#"{"active":false}"#),
    ] {
        assert!(!judged(status, body), "{status} {body}");
    }
}

#[test]
fn only_a_success_or_a_judgement_of_the_grant_proves_that_the_client_was_authenticated() {
    for (status, body, expected) in [
        (200, r#"{"access_token":"a"}"#, true),
        (200, "", true),
        (400, r#"{"error":"invalid_grant"}"#, true),
        (401, r#"{"error":"invalid_grant"}"#, false),
        (400, r#"{"error":"invalid_request"}"#, false),
        (200, r#"{"error":"bad_refresh_token"}"#, false),
        (400, "", false),
        (503, "", false),
    ] {
        assert_eq!(proves_client_auth(&response(status, body)), expected, "{status} {body}");
    }
}
