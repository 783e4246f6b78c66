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
    secret::{hex, random_text, sha256},
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
    Subject(#[from] SubjectError),
    /// The store could not record it; the request should be sent again.
    #[error("the store could not record it")]
    Store(#[from] StoreError),
}

/// Who asks, and by what a repetition is recognised.
struct Caller<'a> {
    provider: &'a Arc<Provider>,
    /// The assertion's identifier, and when it expires.
    assertion: (String, crate::clock::Timestamp),
}

/// How long a request with the secret is remembered, of which none is a repetition.
const BRIEFLY: Duration = Duration::from_secs(60);

impl Deprovisioning {
    /// Revokes everything of the user whom `body` names, for whoever the `bearer` token is of. `endpoint` is the URL that the request came to.
    ///
    /// # Errors
    /// [`RevocationError`].
    pub async fn revoke(&self, bearer: Option<&str>, body: &[u8], endpoint: &str) -> Result<(), RevocationError> {
        let caller = self.caller(bearer.ok_or(RevocationError::NoCredential)?, endpoint).await?;
        let request = JsonObject::parse(body).ok_or(RevocationError::Malformed("it is no JSON object"))?;
        if request.repeated.iter().any(|name| name == "sub_id") {
            return Err(RevocationError::Malformed("sub_id stands there twice"));
        }
        let identifier = request.members.get("sub_id").ok_or(RevocationError::Malformed("it has no sub_id"))?;
        let keys = subject_identifier::keys(identifier, |issuer| caller.provider.is_event_issuer(issuer))?;
        let (id, expires_at) = caller.assertion;
        // One assertion may come with several users, and each request may come again.
        let id = format!("{id} {}", hex(&sha256(identifier.to_string().as_bytes())));
        // The request is about now, and not about the time at which its assertion was signed.
        let now = self.sign_out.clock.now();
        let source = EndSource::GlobalTokenRevocation;
        let end = UserEnd::of_everything(caller.provider, keys, source, now, (id, expires_at));
        Ok(self.sign_out.end_user(end).await?)
    }

    async fn caller(&self, bearer: &str, endpoint: &str) -> Result<Caller<'_>, RevocationError> {
        let providers = &self.sign_out.providers;
        if let Some(provider) = providers.iter().find(|provider| provider.is_revocation_secret(bearer)) {
            let assertion = (random_text::<16>(), self.sign_out.clock.now().plus(BRIEFLY));
            return Ok(Caller { provider, assertion });
        }
        let provider = providers.of_event(bearer).map_err(RevocationError::Unauthenticated)?;
        match provider.verify_revocation_assertion(bearer, endpoint).await {
            Ok(assertion) => Ok(Caller { provider, assertion: (assertion.id, assertion.expires_at) }),
            Err(EventError::Refused(error)) => Err(RevocationError::Unauthenticated(error)),
            Err(EventError::Unavailable(why)) => Err(RevocationError::Unverifiable(why)),
        }
    }
}
