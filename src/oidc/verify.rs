//! What we believe of an ID token whose signature is good (OIDC Core section 3.1.3.7, and 12.2 for one that a renewal brings).
//! Each claim that decides is read on its own; no other is looked at.

use base64::prelude::*;
use serde_json::Value;

use super::LEEWAY;
use crate::{
    clock::Timestamp,
    jose::{Algorithm, JoseError, Object},
};

/// What an ID token's `nonce` must be.
#[derive(Clone, Copy, Debug)]
pub enum Nonce<'a> {
    /// At login: this one.
    Is(&'a str),
    /// At a renewal it may be left out (OIDC Core section 12.2).
    NotAsked,
}

/// Why a token of the provider's is not believed. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Whose it is cannot be told.
    #[error(transparent)]
    Signature(#[from] JoseError),
    /// It is genuine, and by our clock expired or not yet good.
    #[error("by this machine's clock, {0}")]
    Untimely(&'static str),
    /// It is genuine and not acceptable.
    #[error("{0}")]
    Refused(&'static str),
    /// It is genuine and speaks for somebody else, or to somebody else: no way of spelling could be behind it.
    #[error("{0}")]
    SomebodyElse(&'static str),
}

/// What a token is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// At a renewal: who it was.
    pub(super) subject: Option<&'a str>,
    pub(super) nonce: Nonce<'a>,
    /// The access token that came with it, and its algorithm (for `at_hash`).
    pub(super) access_token: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) now: Timestamp,
}

/// Claims that decide. Of one that stands there twice, two readers may take different ones.
const JUDGED: [&str; 9] = ["iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "at_hash"];

/// Judges the claims of a token whose signature is good.
pub(super) fn judge(token: &Object, expected: Expected<'_>) -> Result<(), VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    if token.repeated.iter().any(|name| JUDGED.contains(&name.as_str())) {
        return refused("one of its claims stands there twice");
    }
    let text = |name: &str| token.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (issuer, audiences, subject) = (text("iss"), audiences(token), text("sub"));
    // First what proves that it is somebody else's, so that nothing smaller hides it.
    if issuer.is_some_and(|issuer| !is_spelling_of(issuer, expected.issuer)) {
        return Err(VerifyError::SomebodyElse("its iss is another issuer"));
    }
    if !audiences.is_empty() && !audiences.iter().any(|audience| is_spelling_of(audience, expected.client_id)) {
        return Err(VerifyError::SomebodyElse("its aud is another client"));
    }
    let Some(subject) = subject else { return refused("it has no sub, an empty one, or one that is no text") };
    if expected.subject.is_some_and(|before| before != subject) {
        return Err(VerifyError::SomebodyElse("its sub is another one than at login"));
    }
    if issuer != Some(expected.issuer) {
        return refused("it has no iss, or one that is spelled otherwise than CODER_OIDC_ISSUER_URL");
    }
    if !audiences.contains(&expected.client_id) {
        return refused("it has no aud, or one that is spelled otherwise than the client id");
    }
    match text("azp") {
        Some(party) if party != expected.client_id => return refused("its azp is another client"),
        None if audiences.len() > 1 => return refused("it has several audiences and no azp"),
        Some(_) | None => {}
    }
    match (expected.nonce, text("nonce")) {
        (Nonce::NotAsked, _) => {}
        (Nonce::Is(nonce), Some(found)) if same(nonce, found) => {}
        (Nonce::Is(_), Some(_)) => return refused("its nonce is another one"),
        (Nonce::Is(_), None) => return refused("it has no nonce"),
    }
    if !is_hash_of(text("at_hash"), expected.access_token, expected.algorithm) {
        return refused("its at_hash is another access token's");
    }
    timely(token, expected.now)
}

/// `exp`, `iat` and `nbf`, with [`LEEWAY`].
fn timely(token: &Object, now: Timestamp) -> Result<(), VerifyError> {
    let Some(expires_at) = time(token, "exp") else { return Err(VerifyError::Refused("it has no exp that is a time")) };
    let Some(issued_at) = time(token, "iat") else { return Err(VerifyError::Refused("it has no iat that is a time")) };
    if now >= expires_at.plus(LEEWAY) {
        return Err(VerifyError::Untimely("it has expired"));
    }
    if issued_at > now.plus(LEEWAY) {
        return Err(VerifyError::Untimely("it was issued in the future"));
    }
    if time(token, "nbf").is_some_and(|from| from > now.plus(LEEWAY)) {
        return Err(VerifyError::Untimely("it is not good yet (nbf)"));
    }
    Ok(())
}

/// A claim that is a NumericDate (RFC 7519 section 2), which may have a fraction.
pub(super) fn time(token: &Object, name: &str) -> Option<Timestamp> {
    match token.members.get(name)? {
        Value::Number(number) => match number.as_i64() {
            Some(seconds) => seconds.checked_mul(1000).map(Timestamp),
            None => number.as_f64().and_then(millis).map(Timestamp),
        },
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds in milliseconds, where that is a time that anybody could mean.
fn millis(seconds: f64) -> Option<i64> {
    const LONGEST: f64 = 253_402_300_800.0;
    #[expect(clippy::cast_possible_truncation, reason = "its size was looked at")]
    let millis = (seconds * 1000.0) as i64;
    (seconds.abs() < LONGEST).then_some(millis)
}

/// Whom it is for: one text, or a list.
pub(super) fn audiences(token: &Object) -> Vec<&str> {
    match token.members.get("aud") {
        Some(Value::String(audience)) if !audience.is_empty() => vec![audience],
        Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).filter(|one| !one.is_empty()).collect(),
        Some(Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
    }
}

/// Whether two names may be meant for one: they differ in case, scheme, the scheme's port or a slash at the end. What is no
/// more than that is refused all the same, but proves nobody to be somebody else.
fn is_spelling_of(found: &str, expected: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let name = name.split_once("://").map_or(name.as_str(), |(_, rest)| rest).trim_end_matches('/');
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host);
        format!("{host}/{path}")
    };
    plain(found) == plain(expected)
}

/// `at_hash` (OIDC Core section 3.1.3.8): the left half of the access token's hash, where it is there.
fn is_hash_of(found: Option<&str>, access_token: &str, algorithm: Algorithm) -> bool {
    let (Some(found), Some(hash)) = (found, algorithm.hash()) else { return true };
    let digest = aws_lc_rs::digest::digest(hash, access_token.as_bytes());
    let half = digest.as_ref().split_at(digest.as_ref().len() / 2).0;
    same(found.trim_end_matches('='), &BASE64_URL_SAFE_NO_PAD.encode(half))
}

/// Constant-time, so that a wrong value tells nothing of how wrong it is (CV-48).
pub(crate) fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests;
