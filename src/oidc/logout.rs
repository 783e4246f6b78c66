//! Logging a browser out at the provider (OpenID Connect RP-Initiated Logout 1.0).

use std::time::Duration;

use url::Url;

use super::{Provider, authorization::with_hint, key_cache::KeyPurpose};
use crate::{jose::SignedToken, secret::Secret};

/// A logout waits no longer than this for the provider's current keys.
const KEY_FETCH_TIMEOUT: Duration = Duration::from_secs(3);

impl Provider {
    /// The URL at which a browser logs out of the provider (section 2), if the provider has one. `state` returns with the
    /// browser. Call [`Provider::refresh_keys_before_logout`] first.
    pub fn end_session_url(&self, id_token: Option<&Secret>, return_to: &str, state: Option<&str>) -> Option<Url> {
        let metadata = self.metadata().ok()?;
        let mut url = metadata.end_session_endpoint.clone()?;
        if let Some(own) = metadata.own_logout {
            // Parameters that it does not know may be refused, and it returns none.
            url.query_pairs_mut().append_pair("client_id", self.client_id()).append_pair(own.return_to, return_to);
            return Some(url);
        }
        url.query_pairs_mut().append_pair("client_id", self.client_id()).append_pair("post_logout_redirect_uri", return_to);
        if let Some(state) = state {
            url.query_pairs_mut().append_pair("state", state);
        }
        // The provider answers a hint that it can no longer verify with an error page of its own.
        let hint = id_token.filter(|token| self.may_have_key_of(token));
        Some(with_hint(url, hint.map(|token| ("id_token_hint", token.expose()))))
    }

    /// Whether the key that signed an ID token may be among the provider's, by the keys that are cached here. A token that names
    /// no key is assumed to be verifiable.
    pub fn may_have_key_of(&self, id_token: &Secret) -> bool {
        let Ok(token) = SignedToken::parse(id_token.expose()) else { return false };
        token.key_id().is_none_or(|id| self.keys.current().may_contain(id))
    }

    /// Fetches the provider's current keys before a logout, so that [`Provider::may_have_key_of`] is up to date. If they cannot
    /// be fetched in time, the cached ones decide.
    pub async fn refresh_keys_before_logout(&self) {
        let Ok(metadata) = self.metadata() else { return };
        if metadata.end_session_endpoint.is_none() {
            return;
        }
        let newer = self.keys.newer(self.keys.last_begun(), KeyPurpose::LogoutHint, self.request_keys(&metadata));
        let _in_time = tokio::time::timeout(KEY_FETCH_TIMEOUT, newer).await;
    }
}
