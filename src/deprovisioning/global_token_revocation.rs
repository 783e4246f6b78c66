//! Global Token Revocation (draft-parecki-oauth-global-token-revocation), which Okta calls Universal Logout: a provider or a security tool
//! has everything of one user revoked.

use std::{sync::Arc, time::Duration};

use super::{
    Deprovisioning,
    subject_identifier::{self, SubjectError},
};
use crate::{
    jose::JsonObject,
    oidc::{EventError, Provider, VerifyError},
    secret::random_text,
    session::EndSource,
    sign_out::UserEnd,
    store::StoreError,
};

/// Why nothing is revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The request brings no bearer token.
    #[error("there is no bearer token")]
    NoCredential,
    /// Its bearer token is neither a secret of the settings nor an assertion of a provider's.
    #[error("its bearer token is refused")]
    Unauthenticated(#[source] VerifyError),
    /// The bearer token cannot be verified now.
    #[error("its bearer token cannot be verified now: {0}")]
    Unverifiable(String),
    /// Its body is no request.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// Nobody is named.
    #[error("its sub_id names no user: {0}")]
    Subject(SubjectError),
    /// The store could not record it; the request should be sent again.
    #[error("the store could not record it")]
    Store(#[from] StoreError),
}

/// How long a request is remembered, of which none is a repetition.
const BRIEFLY: Duration = Duration::from_secs(60);

impl Deprovisioning {
    /// Revokes everything of the user whom `body` names, for whoever the `bearer` token is of. `endpoint` is the URL that the request came to.
    ///
    /// # Errors
    /// [`RevocationError`].
    pub async fn revoke(&self, bearer: Option<&str>, body: &[u8], endpoint: &str) -> Result<(), RevocationError> {
        let provider = self.caller(bearer.ok_or(RevocationError::NoCredential)?, endpoint).await?;
        let request = JsonObject::parse(body).ok_or(RevocationError::Malformed("it is no JSON object"))?;
        if request.is_unclear(&["sub_id"]) {
            return Err(RevocationError::Malformed("sub_id stands there twice, or cannot be read"));
        }
        let identifier = request.members.get("sub_id").ok_or(RevocationError::Malformed("it has no sub_id"))?;
        let keys =
            subject_identifier::keys(identifier, |issuer| self.whose(provider, issuer)).map_err(RevocationError::Subject)?;
        // The request is about now, and not about the time at which its assertion was signed: one assertion may come again with another user,
        // and with a user who has logged in since.
        let now = self.sign_out.clock.now();
        let order = (random_text::<16>(), now.plus(BRIEFLY));
        let end = UserEnd::of_everything(provider, keys, EndSource::GlobalTokenRevocation, now, order);
        let sessions = self.sign_out.count_known(&end).await;
        tracing::info!(oidc.provider = provider.name(), sessions, "a global token revocation ends what a user has");
        Ok(self.sign_out.end_user(end).await?)
    }

    async fn caller(&self, bearer: &str, endpoint: &str) -> Result<&Arc<Provider>, RevocationError> {
        let providers = &self.sign_out.providers;
        if let Some(provider) = providers.iter().find(|provider| provider.is_revocation_secret(bearer)) {
            return Ok(provider);
        }
        let provider = providers.of_event(bearer).map_err(RevocationError::Unauthenticated)?;
        match provider.verify_revocation_assertion(bearer, endpoint).await {
            Ok(()) => Ok(provider),
            Err(EventError::Refused(error)) => Err(RevocationError::Unauthenticated(error)),
            Err(EventError::Unavailable(why)) => Err(RevocationError::Unverifiable(why)),
        }
    }
}
