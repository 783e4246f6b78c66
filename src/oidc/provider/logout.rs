//! Logging out at the provider, and whether it can still verify what it is shown.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use openidconnect::{JsonWebKey as _, core::CoreJsonWebKeySet};
use url::Url;

use super::{KEY_REFETCH, Provider};
use crate::{oidc::verify, secret::Secret};

/// A logout waits no longer than this to know the provider's keys.
const KEY_LOOK: Duration = Duration::from_secs(3);

impl Provider {
    /// Where a browser logs out of the provider (RP-Initiated Logout 1.0 section 2), if it has such a place.
    /// `state` comes back with the browser.
    pub async fn end_session(&self, id_token: Option<&Secret>, back: &str, state: Option<&str>) -> Option<Url> {
        let mut url = self.known().ok()?.end_session.clone()?;
        if id_token.is_some() {
            self.look_for_keys().await;
        }
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
        verify::key_named_by(id_token.expose())
            .is_none_or(|name| self.keys().keys().iter().any(|key| key.key_id().is_none_or(|id| id.as_str() == name)))
    }

    /// Looks for the provider's present keys before a logout, so that [`Provider::has_key_of`] speaks of now. Not more often
    /// than once a minute, and not at the cost of the fetches that logins need.
    async fn look_for_keys(&self) {
        let Ok(known) = self.known() else { return };
        {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            if keys.looked_at.is_some_and(|at| now.since(at) < KEY_REFETCH) {
                return;
            }
            keys.looked_at = Some(now);
        }
        let fetching = CoreJsonWebKeySet::fetch_async(&known.jwks, &self.http);
        if let Ok(Ok(set)) = tokio::time::timeout(KEY_LOOK, fetching).await {
            self.keys.lock().unwrap_or_else(PoisonError::into_inner).set = Arc::new(set);
        }
    }
}
