//! Token revocation (RFC 7009).

use super::{Provider, ProviderError, SHORT_CALL_TIMEOUT, client_auth::ClientEndpoint, client_credentials::FormPost, token_call};
use crate::secret::Secret;

impl Provider {
    /// Revokes a refresh token. `false`: the provider has no revocation endpoint.
    ///
    /// # Errors
    /// The token may still be valid.
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<bool, ProviderError> {
        let metadata = self.metadata()?;
        let Some(url) = &metadata.revocation_endpoint else { return Ok(false) };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        let post = FormPost {
            endpoint: ClientEndpoint::Revocation,
            url,
            metadata: &metadata,
            parameters: &parameters,
            deadline: SHORT_CALL_TIMEOUT,
            sent_within: None,
        };
        let response = self.credentials.post(&self.http, post).await?;
        if response.status.is_success() {
            return Ok(true);
        }
        let secrets = [refresh_token.expose()].into_iter().chain(self.credentials.secrets());
        Err(token_call::refusal(&response, secrets).into())
    }
}
