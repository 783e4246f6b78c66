//! What we believe of an ID token (OIDC Core section 3.1.3.7, and 12.2 for one that a renewal brings).

use std::{fmt, sync::Arc};

use base64::prelude::*;
use openidconnect::{
    Audience, ClaimsVerificationError, ClientId, IssuerUrl, SignatureVerificationError,
    core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};

use super::{Claims, LEEWAY};
use crate::{
    clock::{Timestamp, millis},
    telemetry::logs::causes,
};

/// What an ID token's `nonce` must be.
#[derive(Clone, Copy, Debug)]
pub enum Nonce<'a> {
    /// At login: this one.
    Is(&'a str),
    /// At a renewal it may be left out (OIDC Core section 12.2).
    NotAsked,
}

/// Why an ID token is not believed. The texts are for the log.
#[derive(Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// It is signed with a key that we do not have, or not by the one that it names; the provider may have new ones.
    Unverifiable,
    /// It is genuine, and by our clock expired or not yet issued.
    Untimely(String),
    /// It is not acceptable.
    Refused(String),
}

/// What tokens may be signed with: nothing that a shared secret, or none, would do for.
pub(super) const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The claims of a token whose every check passed.
pub(super) fn verify(
    token: &str,
    issuer: &IssuerUrl,
    client_id: &str,
    keys: &Arc<CoreJsonWebKeySet>,
    nonce: Nonce<'_>,
    now: Timestamp,
) -> Result<Claims, VerifyError> {
    let refused = |what: &str| VerifyError::Refused(what.to_owned());
    let id_token: CoreIdToken = token.parse().map_err(|_| refused("it is not a signed JWT with the claims that are required"))?;
    let at = |time: Timestamp| chrono::DateTime::from_timestamp_millis(time.0).unwrap_or_default();
    // A public client's verifier has no secret to check an HMAC with, so a token "signed" with a public key's
    // bytes as the secret (HP-12) cannot pass, and neither can `none`.
    let verifier = CoreIdTokenVerifier::new_public_client(ClientId::new(client_id.to_owned()), issuer.clone(), (**keys).clone())
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || at(now.minus(LEEWAY)))
        .set_issue_time_verifier_fn(move |issued| {
            if issued.timestamp_millis() > now.0.saturating_add(millis(LEEWAY)) {
                Err("it was issued in the future".to_owned())
            } else {
                Ok(())
            }
        })
        // Further audiences are allowed, but then `azp` must name us; see below.
        .set_other_audience_verifier_fn(|_: &Audience| true);
    let check_nonce = |found: Option<&openidconnect::Nonce>| match (nonce, found) {
        (Nonce::NotAsked, _) => Ok(()),
        (Nonce::Is(expected), Some(found)) if same(expected, found.secret()) => Ok(()),
        (Nonce::Is(_), Some(_)) => Err("its nonce is another one".to_owned()),
        (Nonce::Is(_), None) => Err("it has no nonce".to_owned()),
    };
    let claims = id_token.claims(&verifier, check_nonce).map_err(|error| judge(&error))?;
    let party = claims.authorized_party().map(|party| party.as_str());
    match party {
        Some(party) if party != client_id => return Err(refused("its azp is another client")),
        None if claims.audiences().len() > 1 => return Err(refused("it has several audiences and no azp")),
        Some(_) | None => {}
    }
    if claims.subject().as_str().is_empty() {
        return Err(refused("its sub is empty"));
    }
    payload(token).ok_or_else(|| refused("its payload is not a JSON object"))
}

/// Constant-time, so that a wrong value tells nothing of how wrong it is (CV-48).
pub(crate) fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// A token whose signature cannot be checked may be checkable with newer keys; one that is only untimely may be so by
/// our own clock. At a login both are refused; at a renewal neither says that the user is somebody else.
fn judge(error: &ClaimsVerificationError) -> VerifyError {
    use SignatureVerificationError as Signature;
    if let ClaimsVerificationError::SignatureVerification(
        Signature::NoMatchingKey | Signature::AmbiguousKeyId(_) | Signature::CryptoError(_),
    ) = error
    {
        VerifyError::Unverifiable
    } else if let ClaimsVerificationError::Expired(_) = error {
        VerifyError::Untimely(causes(error))
    } else {
        VerifyError::Refused(causes(error))
    }
}

/// The name of the key (`kid`) that a token says it is signed with. Nothing is believed for it.
pub(super) fn key_named_by(token: &str) -> Option<String> {
    let header: Claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?).ok()?;
    header.get("kid")?.as_str().map(str::to_owned)
}

/// All claims as they were signed; the library keeps only those that it knows.
fn payload(token: &str) -> Option<Claims> {
    let part = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverifiable => f.write_str("the ID token's signature cannot be verified with the provider's keys"),
            Self::Untimely(why) => write!(f, "the ID token is untimely by this machine's clock: {why}"),
            Self::Refused(why) => write!(f, "the ID token is refused: {why}"),
        }
    }
}

impl fmt::Debug for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for VerifyError {}
