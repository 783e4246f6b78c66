//! Revokes the refresh tokens of removed grants at the provider (RFC 7009): immediately, and with back-off while that fails. A
//! lease decides which replica makes an attempt.

use std::time::Duration;

use futures_util::future::join_all;

use super::SignOut;
use crate::{
    backoff::back_off,
    oidc::Provider,
    store::{Revocation, RevocationToken, StoreError},
    telemetry::logs::causes,
};

/// How long a replica holds a claimed revocation.
const LEASE: Duration = Duration::from_secs(60);
/// The first and the longest pause between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// The number of attempts after which an optional revocation is dropped.
const MAX_ATTEMPTS: u32 = 20;
/// The number of failures after which the log and the history record it.
const FAILURES_BEFORE_REPORT: u32 = 3;

/// How long a token whose key is missing here is left to replicas that have the key.
const KEY_MISSING_PAUSE: Duration = Duration::from_secs(60);

/// How a round of revocations continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Continue,
    /// The provider fails; the round stops.
    Stop,
}

impl SignOut {
    /// Revokes what is due, for as long as it runs: at every `interval`, and as soon as a session ends here.
    pub async fn run_revocations(&self, interval: Duration) {
        loop {
            self.store.until_writable().await;
            self.revoke_due().await;
            let _sooner = tokio::time::timeout(interval, self.store.session_ended()).await;
        }
    }

    /// Revokes what is due, at each provider by itself.
    pub async fn revoke_due(&self) {
        join_all(self.providers.iter().map(|provider| self.revoke_due_at(provider))).await;
    }

    /// Revokes what is due, one after the other, until nothing is or the provider fails.
    async fn revoke_due_at(&self, provider: &Provider) {
        if !provider.is_ready() {
            return;
        }
        loop {
            let due = self.store.claim_revocation(provider.registration(), LEASE).await;
            let done = match due {
                Ok(Some(revocation)) => self.revoke(provider, &revocation).await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match done {
                Ok(Progress::Continue) => {}
                Ok(Progress::Stop) => return,
                Err(error) => {
                    tracing::debug!(error = causes(&error), "a token revocation was postponed because the store failed it");
                    return;
                }
            }
        }
    }

    async fn revoke(&self, provider: &Provider, revocation: &Revocation) -> Result<Progress, StoreError> {
        let now = self.clock.now();
        let preset = provider.preset();
        // Revocation may also end grants of another gateway, whose sessions are not known here.
        let reaches_all = preset.shares_refresh_tokens || preset.revocation_ends_all_grants;
        let finish = async |outcome: &str| {
            self.store.enqueue_event(revocation.event(now, outcome));
            self.store.delete_revocation(revocation).await.map(|()| Progress::Continue)
        };
        let token = match &revocation.token {
            RevocationToken::Readable(token) => token,
            // A replica that has the key can revoke it.
            RevocationToken::KeyMissing => {
                return self.store.postpone_revocation(revocation, KEY_MISSING_PAUSE).await.map(|()| Progress::Continue);
            }
            RevocationToken::Dead => return finish("failed").await,
        };
        let is_skipped = (revocation.nobody_asked && reaches_all)
            || (revocation.spares_others
                && self.store.would_end_others(revocation, provider.registration(), reaches_all).await?);
        if is_skipped {
            return finish("in_use").await;
        }
        match provider.revoke(token).await {
            Ok(true) => finish("ok").await,
            Ok(false) => finish("no_endpoint").await,
            // Another attempt would have the same result.
            Err(error) if error.is_final() => {
                tracing::warn!(error = causes(&error), "the provider refuses to revoke a refresh token, which lives on there");
                finish("failed").await
            }
            Err(_) if revocation.spares_others && revocation.tries >= MAX_ATTEMPTS => finish("failed").await,
            Err(error) => {
                if revocation.tries == FAILURES_BEFORE_REPORT {
                    tracing::warn!(
                        error = causes(&error),
                        "a refresh token could not be revoked and lives on at the provider; it is tried again"
                    );
                    self.store.enqueue_event(revocation.event(now, "failed"));
                }
                let pause = back_off(revocation.tries, BACKOFF.0, BACKOFF.1);
                self.store.postpone_revocation(revocation, pause).await.map(|()| Progress::Stop)
            }
        }
    }
}
