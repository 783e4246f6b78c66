//! JWTs that the provider signs for this gateway besides those of a login: requests to revoke, and security events (RFC 8417).
//!
//! Some providers sign them under another issuer than their ID tokens: an authorization server of Okta's under that of its org.

use std::sync::Arc;

use serde_json::Value;

use super::{
    AccessTokenError, Provider, ProviderError, VerifyError, issuer::is_same_issuer, key_cache::KeyPurpose,
    token_issuer::TokenIssuer,
};
use crate::{
    jose::{Algorithm, JsonObject},
    secret::{Secret, sha256},
};

/// Why a signed request or event is not believed. The texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] VerifyError),
    /// It cannot be verified now; it may be genuine, and should be sent again.
    #[error("it cannot be verified now: {0}")]
    Unavailable(String),
}

impl EventError {
    pub(super) fn because(why: &'static str) -> Self {
        Self::Refused(VerifyError::Refused(why))
    }
}

impl From<ProviderError> for EventError {
    fn from(error: ProviderError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Whose keys verify a JWT.
enum Signer<'a> {
    /// The provider's, as they verify its ID tokens.
    Provider,
    /// Those of the issuer of its events.
    EventIssuer(&'a Arc<TokenIssuer>),
}

impl Provider {
    /// The issuers under which the provider may name its users: its own, and that of its events.
    pub fn event_issuers(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.issuer()).chain(self.settings.event_issuer.as_deref())
    }

    /// Whether an issuer's name is one of [`Provider::event_issuers`]. Google writes its own with a slash at the end in events, and without
    /// one in ID tokens.
    pub fn is_event_issuer(&self, name: &str) -> bool {
        self.event_issuers().any(|issuer| is_same_issuer(issuer, name))
    }

    /// Whether this is the secret that security tools bring to have users of this provider ended. It takes the same time for any guess.
    pub fn is_revocation_secret(&self, guess: &str) -> bool {
        is_secret(self.settings.revocation_secret.as_ref(), guess)
    }

    /// Whether security events are taken with this bearer token: any, unless a secret is set. It takes the same time for any guess.
    pub(super) fn takes_events_with(&self, bearer: Option<&str>) -> bool {
        let secret = self.settings.event_secret.as_ref();
        secret.is_none() || bearer.is_some_and(|guess| is_secret(secret, guess))
    }

    /// Whether this is the secret of the SCIM client that provisions this provider's users. It takes the same time for any guess.
    pub fn is_scim_secret(&self, guess: &str) -> bool {
        is_secret(self.settings.scim_secret.as_ref(), guess)
    }

    /// Whether a SCIM client provisions this provider's users.
    pub fn has_scim_secret(&self) -> bool {
        self.settings.scim_secret.is_some()
    }

    /// Verifies the signature of a JWT whose claims are validated already, because anybody can send one, and keys may have to be fetched.
    pub(super) async fn verify_event_signature(&self, token: &str, claims: &JsonObject) -> Result<(), EventError> {
        match self.signer(claims).ok_or(EventError::because("its iss is another issuer"))? {
            Signer::Provider => {
                let metadata = self.metadata()?;
                // A client secret, which more parties have, signs no event.
                let signed = self.verify_signature(&metadata, token, &Algorithm::ASYMMETRIC, KeyPurpose::Logout).await?;
                signed.map_err(VerifyError::from)?;
            }
            Signer::EventIssuer(issuer) => {
                issuer.verify_signature(token, KeyPurpose::Logout).await.map_err(|error| match error {
                    AccessTokenError::Refused(error) => EventError::Refused(error),
                    AccessTokenError::Unavailable(why) => EventError::Unavailable(why),
                })?;
            }
        }
        Ok(())
    }

    fn signer(&self, claims: &JsonObject) -> Option<Signer<'_>> {
        let named = claims.members.get("iss").and_then(Value::as_str)?;
        match &self.event_issuer {
            Some(issuer) if is_same_issuer(issuer.issuer(), named) => Some(Signer::EventIssuer(issuer)),
            Some(_) | None => is_same_issuer(self.issuer(), named).then_some(Signer::Provider),
        }
    }
}

fn is_secret(secret: Option<&Secret>, guess: &str) -> bool {
    let Some(secret) = secret else { return false };
    let (secret, guess) = (sha256(secret.expose().as_bytes()), sha256(guess.as_bytes()));
    aws_lc_rs::constant_time::verify_slices_are_equal(&secret, &guess).is_ok()
}
