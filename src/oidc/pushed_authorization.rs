//! Pushed authorization requests (PAR, RFC 9126): the parameters go to the provider directly, and the browser carries a reference.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::{
    Provider, ProviderError, SHORT_CALL_TIMEOUT, client_auth::ClientEndpoint, client_credentials::FormPost,
    discovery::ProviderMetadata, token_call,
};
use crate::jose::JsonObject;

/// How long after a failed push no browser that can go on without is sent to a login.
const PAUSE: Duration = Duration::from_secs(60);

impl Provider {
    /// Whether a push has failed within the last minute.
    pub fn has_lately_failed_to_push(&self) -> bool {
        let no_push_before = *self.no_push_before.lock();
        self.clock.now().pause_until(no_push_before, PAUSE).is_some()
    }

    /// Whether a login begins with a call to the provider.
    pub fn pushes_authorization_requests(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.pushed_authorization_request_endpoint.is_some())
    }

    /// Pushes an authorization request, and returns the authorization URL that refers to it.
    ///
    /// # Errors
    /// [`ProviderError::Fetch`], [`ProviderError::PushedAuthorization`], [`ProviderError::PushedAuthorizationResponse`].
    pub(super) async fn push_authorization_request(
        &self,
        metadata: &ProviderMetadata,
        endpoint: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Url, ProviderError> {
        let pushed = self.push(metadata, endpoint, parameters).await;
        if pushed.is_err() {
            *self.no_push_before.lock() = self.clock.now().plus(PAUSE);
        }
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut().append_pair("client_id", self.client_id()).append_pair("request_uri", &pushed?);
        Ok(url)
    }

    /// Pushes a request, and returns the reference to it.
    async fn push(
        &self,
        metadata: &ProviderMetadata,
        endpoint: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, ProviderError> {
        let post = FormPost {
            // The client authenticates here as at the token endpoint (RFC 9126 section 2).
            endpoint: ClientEndpoint::Token,
            url: endpoint,
            metadata,
            parameters,
            deadline: SHORT_CALL_TIMEOUT,
            sent_within: None,
        };
        let response = self.credentials.post(&self.http, post).await?;
        if !response.status.is_success() {
            // The hint is an ID token; masking the other parameters in a description does no harm.
            let secrets = parameters.iter().map(|(_, value)| *value).chain(self.credentials.secrets());
            return Err(ProviderError::PushedAuthorization(token_call::refusal(&response, secrets)));
        }
        let answer = JsonObject::parse(&response.body).unwrap_or_default();
        let reference = answer.members.get("request_uri").and_then(Value::as_str).filter(|reference| !reference.is_empty());
        reference.map(str::to_owned).ok_or(ProviderError::PushedAuthorizationResponse)
    }
}
