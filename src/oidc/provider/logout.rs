//! Logging out at the provider, and whether it can still verify what it is shown.

use std::time::Duration;

use url::Url;

use super::Provider;
use crate::{jose::Token, oidc::keys::Purpose, secret::Secret};

/// A logout waits no longer than this to know the provider's keys.
const KEY_LOOK: Duration = Duration::from_secs(3);

impl Provider {
    /// Where a browser logs out of the provider (RP-Initiated Logout 1.0 section 2), if it has such a place.
    /// `state` comes back with the browser. To be asked after [`Provider::look_for_keys`].
    pub fn end_session(&self, id_token: Option<&Secret>, back: &str, state: Option<&str>) -> Option<Url> {
        let mut url = self.known().ok()?.end_session.clone()?;
        {
            let mut query = url.query_pairs_mut();
            // A hint that the provider cannot verify any more would end on an error page of its own.
            if let Some(token) = id_token.filter(|token| self.has_key_of(token)) {
                query.append_pair("id_token_hint", token.expose());
            }
            query.append_pair("client_id", self.client_id()).append_pair("post_logout_redirect_uri", back);
            if let Some(state) = state {
                query.append_pair("state", state);
            }
        }
        Some(url)
    }

    /// Whether the key that signed an ID token is among the provider's, as far as they are known here. One that names no key
    /// is given the benefit of the doubt.
    pub fn has_key_of(&self, id_token: &Secret) -> bool {
        let Ok(token) = Token::parse(id_token.expose()) else { return false };
        token.key_name().is_none_or(|name| self.keys.known().may_have(name))
    }

    /// Looks for the provider's present keys before a logout, so that [`Provider::has_key_of`] speaks of now. Where they cannot
    /// be had, those that are known decide.
    pub async fn look_for_keys(&self) {
        let Ok(known) = self.known() else { return };
        if known.end_session.is_none() {
            return;
        }
        let seen = self.keys.known();
        let _in_time = tokio::time::timeout(KEY_LOOK, self.newer_keys(&known, &seen, Purpose::LogoutHint)).await;
    }
}
