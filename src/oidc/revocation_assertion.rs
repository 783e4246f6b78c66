//! The JWT by which a provider authenticates where it has a user's tokens revoked (Okta's Universal Logout;
//! draft-parecki-oauth-global-token-revocation, section 3).

use serde_json::Value;

use super::{
    END_LEEWAY, EventError, Provider,
    id_token::{VerifyError, audiences, check_clear, check_validity},
};
use crate::{
    clock::Timestamp,
    jose::{JsonObject, SignedToken},
};

/// The type that makes it no other token of the provider's, which somebody else may have got.
const TYPE: &str = "global-token-revocation+jwt";

impl Provider {
    /// Verifies an assertion that came to the endpoint with this URL.
    ///
    /// # Errors
    /// [`EventError`].
    pub async fn verify_revocation_assertion(&self, token: &str, endpoint: &str) -> Result<(), EventError> {
        let parsed = SignedToken::parse(token).map_err(VerifyError::from)?;
        validate(&parsed, endpoint, self.clock.now())?;
        self.verify_event_signature(token, parsed.unverified()).await
    }
}

/// Validates everything except the issuer and the signature.
fn validate(token: &SignedToken<'_>, endpoint: &str, now: Timestamp) -> Result<(), VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    if token.typ().as_deref() != Some(TYPE) {
        return refused("its typ is another token's");
    }
    let claims: &JsonObject = token.unverified();
    check_clear(claims, &["iss", "aud", "iat", "exp", "nbf", "jti"])?;
    if !audiences(claims).contains(&endpoint) {
        return refused("its aud is another endpoint");
    }
    check_validity(claims, END_LEEWAY, now)?;
    match claims.members.get("jti").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => Ok(()),
        Some(_) | None => refused("it has no jti"),
    }
}
