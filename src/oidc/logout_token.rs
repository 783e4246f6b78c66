//! What we believe of a logout token (OIDC Back-Channel Logout 1.0 section 2.6).

use std::sync::Arc;

use base64::prelude::*;
use openidconnect::{
    IssuerUrl, JsonWebKey, SignatureVerificationError,
    core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use serde_json::{Map, Value};

use super::{
    LEEWAY,
    verify::{ALGORITHMS, VerifyError},
};
use crate::clock::Timestamp;

/// Whom the provider has logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// This person.
    pub subject: Option<String>,
    /// In this session at the provider; in all if there is none.
    pub provider_session: Option<String>,
    /// At this time.
    pub issued_at: Timestamp,
    /// The token's own name (`jti`), by which it is known if it comes again.
    pub id: String,
    /// It is not believed any more after this.
    pub expires_at: Timestamp,
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The token's claims, if its every check passed.
pub(super) fn verify(
    token: &str,
    issuer: &IssuerUrl,
    client_id: &str,
    keys: &Arc<CoreJsonWebKeySet>,
    now: Timestamp,
) -> Result<LogoutToken, VerifyError> {
    let refused = |what: &str| VerifyError::Refused(what.to_owned());
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| refused("it is not a signed JWT"))?;
    let (header, payload) = signed.split_once('.').ok_or_else(|| refused("it is not a signed JWT"))?;
    let object =
        |part: &str| -> Option<Map<String, Value>> { serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let header = object(header).ok_or_else(|| refused("its header is not a JSON object"))?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| refused("its signature is not base64url"))?;
    check_signature(&header, signed.as_bytes(), &signature, keys)?;

    let claims = object(payload).ok_or_else(|| refused("its payload is not a JSON object"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp);
    if text("iss") != Some(issuer.as_str()) {
        return Err(refused("its iss is another issuer"));
    }
    let for_us = match claims.get("aud") {
        Some(Value::String(audience)) => audience == client_id,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience.as_str() == Some(client_id)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    };
    if !for_us {
        return Err(refused("its aud is another client"));
    }
    let issued_at = time("iat").ok_or_else(|| refused("it has no iat"))?;
    let expires_at = time("exp").ok_or_else(|| refused("it has no exp"))?;
    if now >= expires_at.plus(LEEWAY) || issued_at > now.plus(LEEWAY) {
        return Err(VerifyError::Untimely("its iat or exp".to_owned()));
    }
    // What sets it apart from an ID token, which is signed with the same keys.
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(refused("it has no logout event"));
    }
    if claims.contains_key("nonce") {
        return Err(refused("it has a nonce"));
    }
    let id = text("jti").ok_or_else(|| refused("it has no jti"))?.to_owned();
    let (subject, provider_session) = (text("sub").map(str::to_owned), text("sid").map(str::to_owned));
    if subject.is_none() && provider_session.is_none() {
        return Err(refused("it has neither sub nor sid"));
    }
    Ok(LogoutToken { subject, provider_session, issued_at, id, expires_at: expires_at.plus(LEEWAY) })
}

/// By a key of the provider's and an algorithm that is no shared secret's.
fn check_signature(
    header: &Map<String, Value>,
    signed: &[u8],
    signature: &[u8],
    keys: &Arc<CoreJsonWebKeySet>,
) -> Result<(), VerifyError> {
    let refused = |what: &str| Err(VerifyError::Refused(what.to_owned()));
    if header.contains_key("crit") {
        return refused("it demands an extension");
    }
    let kind = header.get("typ").and_then(Value::as_str);
    if kind.is_some_and(|kind| !["jwt", "logout+jwt"].iter().any(|good| kind.eq_ignore_ascii_case(good))) {
        return refused("its typ is another token's");
    }
    let algorithm = header.get("alg").and_then(|alg| serde_json::from_value::<CoreJwsSigningAlgorithm>(alg.clone()).ok());
    let Some(algorithm) = algorithm.filter(|algorithm| ALGORITHMS.contains(algorithm)) else {
        return refused("its alg is not accepted");
    };
    let named = header.get("kid").and_then(Value::as_str);
    let fits = |key: &&openidconnect::core::CoreJsonWebKey| {
        named.is_none_or(|named| key.key_id().is_some_and(|id| id.as_str() == named))
    };
    let good = |key: &openidconnect::core::CoreJsonWebKey| -> Result<(), SignatureVerificationError> {
        key.verify_signature(&algorithm, signed, signature)
    };
    // The provider may have newer keys.
    if keys.keys().iter().filter(fits).any(|key| good(key).is_ok()) { Ok(()) } else { Err(VerifyError::Unverifiable) }
}
