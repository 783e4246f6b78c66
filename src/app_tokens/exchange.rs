//! Exchanges an access token for one that another service takes, once for all who ask for it (single-flight), and keeps that until
//! shortly before it expires.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{components::AppTokens, error::TokenError};
use crate::{
    backoff::SOON,
    clock::Timestamp,
    grant::{ExchangeFailure, ExchangeTarget, ExchangedToken, Grant, KeptExchange},
    oidc::{TokenFailure, TokenResponse},
};

/// What was refused is asked for again after this: an administrator may have allowed it.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(10);
/// A token may expire on its way, so the last seconds of its lifetime do not count.
const LAST_SECONDS: Duration = Duration::from_secs(5);

impl AppTokens {
    /// The token for `target` that the grant's access token is exchanged for, or was.
    pub(super) async fn exchange(
        &self,
        grant: &Arc<Grant>,
        target: &ExchangeTarget,
        lasting: Duration,
    ) -> Result<ExchangedToken, TokenError> {
        let busy = || TokenError::Exchange(ExchangeFailure::Unavailable(SOON));
        let slot = grant.exchanged.slot(target);
        let mut kept = tokio::time::timeout(self.parts.wait, slot.lock()).await.map_err(|_| busy())?;
        let now = self.parts.clock.now();
        match &*kept {
            KeptExchange::Token(token) if lasts(token, lasting, now) => return Ok(token.clone()),
            KeptExchange::Failed(failure, until) if now.pause_until(*until, pause_after(*failure)).is_some() => {
                return Err(TokenError::Exchange(*failure));
            }
            KeptExchange::Nothing | KeptExchange::Token(_) | KeptExchange::Failed(..) => {}
        }
        // Calls that would fail would only add to an outage.
        if self.parts.renewer.provider_is_in_trouble(grant) {
            return Err(busy());
        }
        let permit = tokio::time::timeout(self.parts.wait, self.parts.shared.exchanges.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(busy()) };
        // A token goes to the provider that has given it, and to no other.
        let provider = self.parts.providers.of(grant.registration());
        let provider = provider.ok_or(TokenError::Exchange(ExchangeFailure::Failed))?;
        let timer = self.parts.metrics.of_provider(provider.name()).provider_timer("exchange");
        let result = provider.exchange_token(&grant.access_token, target).await;
        drop(timer);
        match result {
            Ok(response) => {
                let token = exchanged(response);
                *kept = KeptExchange::Token(token.clone());
                Ok(token)
            }
            Err(failed) => {
                let failure = classify(&failed);
                tracing::warn!(
                    grant.id = %grant.id,
                    oauth.audience = target.name,
                    "an access token could not be exchanged: {failed}"
                );
                *kept = KeptExchange::Failed(failure, self.parts.clock.now().plus(pause_after(failure)));
                Err(TokenError::Exchange(failure))
            }
        }
    }
}

/// How long no token is exchanged after this failure.
fn pause_after(failure: ExchangeFailure) -> Duration {
    if let ExchangeFailure::Unavailable(wait) = failure { wait } else { REFUSAL_LIFETIME }
}

fn exchanged(response: TokenResponse) -> ExchangedToken {
    ExchangedToken {
        expires_at: response.expires_at(),
        access_token: response.access_token,
        lifetime: response.expires_in,
        scope: response.scope,
    }
}

/// Whether a token lives for `lasting`, or for half of its lifetime if that is less.
fn lasts(token: &ExchangedToken, lasting: Duration, now: Timestamp) -> bool {
    let needed = lasting.min(token.lifetime / 2).max(LAST_SECONDS.min(token.lifetime / 10));
    token.expires_at.since(now) > needed
}

/// What a failure means for whoever asked (RFC 6749 section 5.2, RFC 8693 section 2.2.2). None means anything for the grant.
fn classify(failure: &TokenFailure) -> ExchangeFailure {
    match failure {
        TokenFailure::NotReady | TokenFailure::NoResponse(_) => ExchangeFailure::Unavailable(SOON),
        TokenFailure::Unusable(_) => ExchangeFailure::Failed,
        TokenFailure::Refused { status, code, retry_after, .. } => match code.as_deref().unwrap_or_default() {
            "invalid_target" => ExchangeFailure::InvalidTarget,
            // Keycloak says so of an audience that it does not know; a client that it does not accept gets 401.
            "invalid_client" if *status == StatusCode::BAD_REQUEST => ExchangeFailure::InvalidTarget,
            "invalid_scope" => ExchangeFailure::InvalidScope,
            "access_denied" => ExchangeFailure::Denied,
            "unsupported_grant_type" | "unauthorized_client" => ExchangeFailure::Unsupported,
            "temporarily_unavailable" | "slow_down" => ExchangeFailure::Unavailable(retry_after.unwrap_or(SOON)),
            _ if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
                ExchangeFailure::Unavailable(retry_after.unwrap_or(SOON))
            }
            _ => ExchangeFailure::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_failure_is_told_as_what_the_provider_says_and_as_passing_where_it_may_pass() {
        let refused = |status, code: Option<&str>, retry_after| TokenFailure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.map(str::to_owned),
            description: None,
            retry_after,
            may_hide_an_answer: false,
        };
        let wait = Duration::from_secs(7);
        for (failure, expected) in [
            (refused(400, Some("invalid_target"), None), ExchangeFailure::InvalidTarget),
            (refused(400, Some("invalid_scope"), None), ExchangeFailure::InvalidScope),
            (refused(403, Some("access_denied"), None), ExchangeFailure::Denied),
            (refused(400, Some("unsupported_grant_type"), None), ExchangeFailure::Unsupported),
            (refused(401, Some("unauthorized_client"), None), ExchangeFailure::Unsupported),
            (refused(401, Some("invalid_client"), None), ExchangeFailure::Failed),
            (refused(400, Some("invalid_client"), None), ExchangeFailure::InvalidTarget),
            (refused(400, Some("invalid_grant"), None), ExchangeFailure::Failed),
            (refused(404, None, None), ExchangeFailure::Failed),
            (refused(429, None, Some(wait)), ExchangeFailure::Unavailable(wait)),
            (refused(503, None, None), ExchangeFailure::Unavailable(SOON)),
            (refused(400, Some("temporarily_unavailable"), Some(wait)), ExchangeFailure::Unavailable(wait)),
            (TokenFailure::NotReady, ExchangeFailure::Unavailable(SOON)),
            (TokenFailure::Unusable("x"), ExchangeFailure::Failed),
        ] {
            assert_eq!(classify(&failure), expected, "{failure}");
        }
    }

    #[test]
    fn a_token_is_kept_until_shortly_before_it_expires() {
        let seconds = Duration::from_secs;
        let token = |lifetime| ExchangedToken {
            access_token: Secret::new("x"),
            expires_at: Timestamp(100_000),
            lifetime: seconds(lifetime),
            scope: None,
        };
        for (lifetime, lasting, now, expected) in [
            (300, 30, 60_000, true),
            (300, 30, 70_000, false),
            (300, 0, 94_000, true),
            (300, 0, 95_000, false),
            (40, 3600, 79_000, true),
            (40, 3600, 80_000, false),
            (1, 0, 99_800, true),
            (300, 0, 200_000, false),
        ] {
            assert_eq!(lasts(&token(lifetime), seconds(lasting), Timestamp(now)), expected, "{lifetime} {lasting} {now}");
        }
    }
}
