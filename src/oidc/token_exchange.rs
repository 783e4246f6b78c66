//! Token exchange (RFC 8693): an access token for one that another service takes.

use super::{Provider, TokenFailure, TokenResponse};
use crate::{grant::ExchangeTarget, secret::Secret};

/// `grant_type` (RFC 8693 section 2.1).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of both tokens (RFC 8693 section 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Provider {
    /// Exchanges a user's access token for one that is for `target`. It uses nothing up, and its failure says nothing of the grant.
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn exchange_token(&self, access_token: &Secret, target: &ExchangeTarget) -> Result<TokenResponse, TokenFailure> {
        let metadata = self.metadata().map_err(|_| TokenFailure::NotReady)?;
        let mut parameters = vec![
            ("grant_type", GRANT_TYPE),
            ("subject_token", access_token.expose()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
            (if target.is_resource { "resource" } else { "audience" }, &target.name),
        ];
        parameters.extend(target.scope.as_deref().map(|scope| ("scope", scope)));
        self.request_tokens(&metadata, &parameters, None).await
    }
}
