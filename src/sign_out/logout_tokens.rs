//! Verifies the provider's logout tokens (OpenID Connect Back-Channel Logout 1.0 section 2.6), which are signed as its ID tokens are.

use super::SignOut;
use crate::{
    client_registration::ClientRegistration,
    oidc::{LogoutToken, Provider, ProviderError},
    secret::Secret,
    store::{SessionFilter, StoreError},
};

/// Why a logout token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum LogoutTokenError {
    /// [`ProviderError::LogoutToken`]: it is not acceptable. Any other: it could not be verified now.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// How the provider signs could not be read of the store, by which the token may be acceptable.
    #[error("how the provider signs could not be read of the store")]
    Store(#[source] StoreError),
}

impl SignOut {
    /// Verifies a logout token.
    ///
    /// # Errors
    /// [`LogoutTokenError`].
    pub async fn verify_logout_token(&self, provider: &Provider, token: &str) -> Result<LogoutToken, LogoutTokenError> {
        let by_metadata = provider.verify_logout_token(token, None).await;
        let is_of_another_algorithm = by_metadata.as_ref().err().is_some_and(ProviderError::is_of_another_algorithm);
        if provider.has_seen_a_signature() || !is_of_another_algorithm {
            return Ok(by_metadata?);
        }
        // A replica that has just started has seen none, and would refuse by the metadata alone what others believe.
        let stored = self.id_token_of(&provider.read_logout_token(token)?).await;
        let verified = provider.verify_logout_token(token, stored.as_ref().ok().and_then(Option::as_ref)).await;
        match (verified, stored) {
            (Err(ProviderError::LogoutToken(_)), Err(error)) => Err(LogoutTokenError::Store(error)),
            (verified, _) => Ok(verified?),
        }
    }

    /// The last ID token of one of the sessions that a logout token names.
    async fn id_token_of(&self, token: &LogoutToken) -> Result<Option<Secret>, StoreError> {
        let filter = SessionFilter {
            registration: ClientRegistration { issuer: &token.issuer, client_id: &token.client_id },
            subject: token.subject.as_deref(),
            provider_session: token.provider_session.as_deref(),
        };
        let found = self.store.find_sessions(filter).await?;
        let is_all = found.is_current();
        for hash in found.even_if_old() {
            if let Some(session) = self.store.session(hash).await?
                && let Some(id_token) = self.store.id_token(session.grant).await?
            {
                return Ok(Some(id_token));
            }
        }
        if is_all { Ok(None) } else { Err(StoreError::Standby) }
    }
}
