//! Fuzz targets: the tokens that the provider signs, after their signature.

use base64::prelude::*;

use super::{
    LEEWAY,
    id_token::{self, Expected, ExpectedNonce},
    issuer::ExpectedIssuer,
    logout_token,
};
use crate::{
    client_registration::{ClientRegistration, Registrations},
    clock::Timestamp,
    fuzz::run,
    jose::{Algorithm, JsonObject, SignedToken},
};

const ISSUER: &str = "https://id.example";
const CLIENT: &str = "client";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// What a strict reader takes out of claims: a text that is there once and not empty.
fn text<'a>(claims: &'a JsonObject, name: &str) -> Option<&'a str> {
    claims.members.get(name)?.as_str().filter(|text| !text.is_empty() && !claims.repeated.iter().any(|repeated| repeated == name))
}

fn is_ours(claims: &JsonObject) -> bool {
    let aud = claims.members.get("aud");
    let is_client =
        aud.is_some_and(|aud| *aud == CLIENT || aud.as_array().is_some_and(|all| all.iter().any(|one| *one == CLIENT)));
    text(claims, "iss") == Some(ISSUER) && is_client && !claims.repeated.iter().any(|repeated| repeated == "aud")
}

/// Claims of an ID token that are accepted are accepted by a strict reader.
#[test]
fn id_token_claims() {
    let words = [
        r#""iss":"https://id.example""#,
        r#""aud":"#,
        r#""sub":"ann""#,
        r#""exp":"#,
        r#""nonce":"n""#,
        "1700000060",
        r#""azp":"#,
    ];
    run("id_token_claims", &words, |data| {
        let Some(claims) = JsonObject::parse(data) else { return };
        let issuer = ExpectedIssuer::Exactly(ISSUER.to_owned());
        let expected = Expected {
            issuer: &issuer,
            client_id: CLIENT,
            subject: None,
            tenant: None,
            nonce: ExpectedNonce::Exactly("n"),
            access_token: "at",
            algorithm: Algorithm::Rs256,
            now: NOW,
        };
        if id_token::validate_claims(&claims, expected).is_ok() {
            assert!(is_ours(&claims) && text(&claims, "sub").is_some());
            assert_eq!(text(&claims, "nonce"), Some("n"));
            let expires_at = claims.members["exp"].as_f64().unwrap();
            assert!(expires_at * 1000.0 > 1_700_000_000_000.0 - LEEWAY.as_secs_f64() * 1000.0);
        }
    });
}

/// A logout token that is accepted is accepted by a strict reader.
#[test]
fn logout_token_claims() {
    let own = Registrations::only(ClientRegistration { issuer: ISSUER, client_id: CLIENT });
    let event = r#""events":{"http://schemas.openid.net/event/backchannel-logout":{}}"#;
    run(
        "logout_token",
        &[event, r#""nonce":"n""#, r#""sid":"s""#, r#""sub":"ann""#, r#""jti":"j""#, r#""iat":1700000000"#],
        |data| {
            let token =
                format!("{}.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), BASE64_URL_SAFE_NO_PAD.encode(data));
            let Ok(token) = SignedToken::parse(&token) else { return };
            if logout_token::validate(&token, &ExpectedIssuer::Exactly(ISSUER.to_owned()), &own, NOW).is_ok() {
                let claims = token.unverified();
                assert!(is_ours(claims) && !claims.has("nonce") && text(claims, "jti").is_some());
                assert!(text(claims, "sub").is_some() || text(claims, "sid").is_some());
                assert!(claims.members["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
            }
        },
    );
}
