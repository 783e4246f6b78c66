//! Whether the provider's logins bring refresh tokens.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::oidc::Provider;

/// Whether this provider's logins bring the requested refresh tokens, as far as this process has seen.
#[derive(Debug, Default)]
pub struct RefreshTokens {
    are_missing: AtomicBool,
}

impl RefreshTokens {
    /// Whether the last login brought none although one was requested.
    pub fn are_missing(&self) -> bool {
        self.are_missing.load(Ordering::Acquire)
    }

    /// Records whether a login brought one, and logs once what to do if not.
    pub(super) fn record(&self, provider: &Provider, is_there: bool) {
        let Some(asked_by) = provider.offline_access_request() else { return };
        if self.are_missing.swap(!is_there, Ordering::AcqRel) || is_there {
            return;
        }
        let remedy = if provider.always_prompts_for_consent() {
            "the provider must allow this client to have refresh tokens (the grant type refresh_token)"
        } else {
            "set CODER_OIDC_AUTH_URL_PARAMS={\"prompt\":\"consent\"}, because providers give them only with their user's consent (OpenID Connect Core section 11), and allow this client to have them there (the grant type refresh_token)"
        };
        tracing::warn!(
            oidc.issuer = provider.issuer(),
            "a login brought no refresh token although {asked_by} asks for one, so users log in again when their access token expires: {remedy}"
        );
    }
}
