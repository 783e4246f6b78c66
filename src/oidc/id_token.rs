//! Validation of an ID token's claims once its signature is verified (OIDC Core section 3.1.3.7, and 12.2 for a refresh).
//! Each claim that matters is read on its own; the others are ignored.

use std::time::Duration;

use base64::prelude::*;
use serde_json::Value;

use super::{
    LEEWAY,
    issuer::{ExpectedIssuer, IssuerMatch},
};
use crate::{
    clock::Timestamp,
    jose::{Algorithm, JoseError, JsonObject, SignedToken},
};

/// What is required of an ID token's `nonce`.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExpectedNonce<'a> {
    /// It must be this one, as at a login.
    Exactly(&'a str),
    /// It may be missing, as at a refresh (OIDC Core section 12.2).
    Unchecked,
}

/// Why an ID token or a logout token is not accepted. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Its signature cannot be verified, so its origin is unknown.
    #[error(transparent)]
    Signature(#[from] JoseError),
    /// Its signature is good, and by this machine's clock it is expired or not yet valid.
    #[error("by this machine's clock, {0}")]
    OutsideValidity(&'static str),
    /// Its signature is good, and a claim is missing or wrong.
    #[error("{0}")]
    Refused(&'static str),
    /// Its signature is good, and it is about another subject or tenant than expected.
    #[error("{0}")]
    IdentityMismatch(&'static str),
}

/// What an ID token is checked against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a ExpectedIssuer,
    pub(super) client_id: &'a str,
    /// The subject of the grant, at a refresh.
    pub(super) subject: Option<&'a str>,
    /// The tenant of the grant, at a refresh from an issuer for many of them.
    pub(super) tenant: Option<&'a str>,
    pub(super) nonce: ExpectedNonce<'a>,
    /// The access token of the same response, for `at_hash`.
    pub(super) access_token: &'a str,
    /// The algorithm of the ID token's signature, for `at_hash`.
    pub(super) algorithm: Algorithm,
    pub(super) now: Timestamp,
}

/// Validates the claims of an ID token whose signature is good.
pub(super) fn validate_claims(token: &JsonObject, expected: Expected<'_>) -> Result<(), VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    check_clear(token, &["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash", "tid"])?;
    let text = |name: &str| token.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (issuer, audiences, subject) = (expected.issuer.compare(token), audiences(token), text("sub"));
    // Proof of another user comes first, so that no smaller problem hides it.
    let Some(subject) = subject else { return refused("it has no sub, an empty one, or one that is no text") };
    if expected.subject.is_some_and(|before| before != subject) {
        return Err(VerifyError::IdentityMismatch("its sub is another one than at login"));
    }
    // It stands for the issuer, which must be that of the login (OIDC Core section 12.2).
    if let (Some(before), Some(tenant)) = (expected.tenant, expected.issuer.tenant(&token.members))
        && before != tenant
    {
        return Err(VerifyError::IdentityMismatch("its tid is another tenant than at login"));
    }
    // Another issuer or client is none: the key is the provider's, who may have got another name.
    match issuer {
        IssuerMatch::Same => {}
        IssuerMatch::Other => return refused("its iss is another issuer"),
        IssuerMatch::Unclear => return refused("it has no iss, or one that is spelled otherwise than CODER_OIDC_ISSUER_URL"),
    }
    if !audiences.contains(&expected.client_id) {
        return refused("it has no aud, or another than the client id");
    }
    match optional_text(token, "azp") {
        Err(NoText) => return refused("its azp is no text"),
        Ok(Some(party)) if party != expected.client_id => return refused("its azp is another client"),
        Ok(None) if audiences.iter().any(|audience| *audience != expected.client_id) => {
            return refused("it has several audiences and no azp");
        }
        Ok(Some(_) | None) => {}
    }
    match (expected.nonce, text("nonce")) {
        (ExpectedNonce::Unchecked, _) => {}
        (ExpectedNonce::Exactly(nonce), Some(found)) if constant_time_eq(nonce, found) => {}
        (ExpectedNonce::Exactly(_), Some(_)) => return refused("its nonce is another one"),
        (ExpectedNonce::Exactly(_), None) => return refused("it has no nonce"),
    }
    match optional_text(token, "at_hash") {
        Err(NoText) => return refused("its at_hash is no text"),
        Ok(found) if !matches_at_hash(found, expected.access_token, expected.algorithm) => {
            return refused("its at_hash is another access token's");
        }
        Ok(_) => {}
    }
    check_validity(token, LEEWAY, expected.now).map(|_until| ())
}

/// Refuses a token that repeats one of the claims that are validated, because two readers may take different values, or of which one cannot
/// be read.
pub(super) fn check_clear(token: &JsonObject, validated: &[&str]) -> Result<(), VerifyError> {
    match token.is_unclear(validated) {
        true => Err(VerifyError::Refused("one of its claims stands there twice, or cannot be read")),
        false => Ok(()),
    }
}

/// Checks that the user authenticated at the provider no longer ago than the request's `max_age` (OpenID Connect Core section
/// 3.1.2.1), with [`LEEWAY`]. `auth_time` is required then.
pub(super) fn check_max_age(token: &JsonObject, max_age: Duration, now: Timestamp) -> Result<(), VerifyError> {
    let Some(authenticated_at) = time(token, "auth_time").filter(|_| !token.is_unclear(&["auth_time"])) else {
        return Err(VerifyError::Refused("max_age was asked for, and it has no auth_time that is a time"));
    };
    if authenticated_at > now.plus(LEEWAY) {
        return Err(VerifyError::Refused("max_age was asked for, and its auth_time is in the future"));
    }
    if now >= authenticated_at.plus(max_age).plus(LEEWAY) {
        return Err(VerifyError::Refused("its user authenticated longer ago than max_age"));
    }
    Ok(())
}

/// Checks `exp` with [`LEEWAY`], and that `iat` and `nbf` are no further ahead than this, and returns when the token stops being acceptable.
pub(super) fn check_validity(token: &JsonObject, ahead: Duration, now: Timestamp) -> Result<Timestamp, VerifyError> {
    let Some(expires_at) = time(token, "exp") else { return Err(VerifyError::Refused("it has no exp that is a time")) };
    let Some(issued_at) = time(token, "iat") else { return Err(VerifyError::Refused("it has no iat that is a time")) };
    if now >= expires_at.plus(LEEWAY) {
        return Err(VerifyError::OutsideValidity("it has expired"));
    }
    if issued_at > now.plus(ahead) {
        return Err(VerifyError::OutsideValidity("it was issued in the future"));
    }
    if optional_time(token, "nbf", "its nbf is no time")?.is_some_and(|from| from > now.plus(ahead)) {
        return Err(VerifyError::OutsideValidity("it is not good yet (nbf)"));
    }
    Ok(expires_at.plus(LEEWAY))
}

/// Whether a token was issued, by what it says itself (`iat`), before keys were fetched, so that the key that signed it is one of them. The
/// clocks may differ.
pub(super) fn was_issued_before(token: &str, fetched_at: Option<Timestamp>) -> bool {
    let issued_at = SignedToken::parse(token).ok().and_then(|token| time(token.unverified(), "iat"));
    issued_at.zip(fetched_at).is_some_and(|(issued, fetched)| fetched >= issued.plus(LEEWAY))
}

/// A claim restricts a token, and it is no text.
struct NoText;

/// A claim that is a text, if it is there; null and an empty text count as absent. One that restricts what a token is good for must not
/// be passed over because it is of another type.
fn optional_text<'a>(token: &'a JsonObject, name: &str) -> Result<Option<&'a str>, NoText> {
    match token.members.get(name) {
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(Value::Null) | None => Ok(None),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Err(NoText),
    }
}

/// A claim that is a time, if it is there; null counts as absent. `unreadable` is what is wrong with any other.
pub(super) fn optional_time(token: &JsonObject, name: &str, unreadable: &'static str) -> Result<Option<Timestamp>, VerifyError> {
    match token.members.get(name) {
        Some(Value::Null) | None => Ok(None),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            time(token, name).map(Some).ok_or(VerifyError::Refused(unreadable))
        }
    }
}

/// A claim that is a NumericDate (RFC 7519 section 2), which may have a fraction of a second. Some servers write whole seconds as text.
pub(super) fn time(token: &JsonObject, name: &str) -> Option<Timestamp> {
    match token.members.get(name)? {
        Value::Number(number) => match number.as_i64() {
            Some(seconds) => seconds.checked_mul(1000).map(Timestamp),
            None => number.as_f64().and_then(millis).map(Timestamp),
        },
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse::<i64>().ok()?.checked_mul(1000).map(Timestamp)
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds as milliseconds; `None` for an absurd number.
fn millis(seconds: f64) -> Option<i64> {
    const LONGEST: f64 = 253_402_300_800.0;
    #[expect(clippy::cast_possible_truncation, reason = "a number of absurd size is dropped below")]
    let millis = (seconds * 1000.0) as i64;
    (seconds.abs() < LONGEST).then_some(millis)
}

/// The audiences: `aud` is one text or a list (RFC 7519 section 4.1.3).
pub(super) fn audiences(token: &JsonObject) -> Vec<&str> {
    match token.members.get("aud") {
        Some(Value::String(audience)) if !audience.is_empty() => vec![audience],
        Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).filter(|one| !one.is_empty()).collect(),
        Some(Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

/// Whether `at_hash`, if there is one, is the left half of the access token's hash (OIDC Core section 3.1.3.8).
fn matches_at_hash(found: Option<&str>, access_token: &str, algorithm: Algorithm) -> bool {
    let (Some(found), Some(hash)) = (found, algorithm.hash()) else { return true };
    let digest = aws_lc_rs::digest::digest(hash, access_token.as_bytes());
    let half = digest.as_ref().split_at(digest.as_ref().len() / 2).0;
    constant_time_eq(found.trim_end_matches('='), &BASE64_URL_SAFE_NO_PAD.encode(half))
}

/// Compares in constant time, so that the time tells nothing about how much of a guess is right.
fn constant_time_eq(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests;
