//! Revokes refresh tokens at the provider (RFC 7009) whose grants are gone: at once, and again and again while it fails, by
//! whichever replica's turn it is.

use std::time::Duration;

use super::SignOut;
use crate::{
    backoff::back_off,
    store::{Revocation, RevocationToken, StoreError},
    telemetry::logs::causes,
};

/// Whoever takes one has so long to say what came of it.
const LEASE: Duration = Duration::from_secs(60);
/// A token that could not be revoked is tried again after pauses that grow between these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// So often is one tried that may be let be.
const MOST_TRIES: u32 = 20;
/// So many failures are told of in the log and the history.
const PATIENCE: u32 = 3;

/// A replica that has the key of a token has so long to take it.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// How a round of revocations goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    On,
    /// The provider fails.
    NoFurther,
}

impl SignOut {
    /// Revokes what is due, forever: at every `interval`, and as soon as a session ends here.
    pub async fn keep_revoking(&self, interval: Duration) {
        loop {
            self.store.until_writable().await;
            self.revoke_due().await;
            let _sooner = tokio::time::timeout(interval, self.revocations.notified()).await;
        }
    }

    /// Revokes what is due now, one after the other, until nothing is or the provider fails: the others need not find that out too.
    pub async fn revoke_due(&self) {
        let provider = &self.provider;
        if !provider.is_ready() {
            return;
        }
        loop {
            let due = self.store.claim_revocation(provider.issuer(), provider.client_id(), LEASE).await;
            let done = match due {
                Ok(Some(revocation)) => self.revoke(&revocation).await,
                Ok(None) => return,
                Err(error) => Err(error),
            };
            match done {
                Ok(Went::On) => {}
                Ok(Went::NoFurther) => return,
                Err(error) => {
                    tracing::debug!(error = causes(&error), "the store failed a revocation, which is tried again");
                    return;
                }
            }
        }
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Went, StoreError> {
        let (provider, now) = (&self.provider, self.clock.now());
        let preset = provider.preset();
        // What it would end may also be another gateway's, whose sessions are not known here.
        let reaches_all = preset.shares_refresh_tokens || preset.revocation_ends_all_grants;
        let over = async |outcome: &str| {
            self.store.enqueue_event(revocation.event(now, outcome));
            self.store.delete_revocation(revocation).await.map(|()| Went::On)
        };
        let token = match &revocation.token {
            RevocationToken::Readable(token) => token,
            // A replica that has the key may.
            RevocationToken::KeyMissing => return self.store.postpone_revocation(revocation, ELSEWHERE).await.map(|()| Went::On),
            RevocationToken::Dead => return over("failed").await,
        };
        let (issuer, client_id) = (provider.issuer(), provider.client_id());
        let is_let_be = (revocation.nobody_asked && reaches_all)
            || (revocation.spares_others && self.store.would_end_others(revocation, issuer, client_id, reaches_all).await?);
        if is_let_be {
            return over("in_use").await;
        }
        match provider.revoke(token).await {
            Ok(true) => over("ok").await,
            Ok(false) => over("no_endpoint").await,
            // Asked again, it would say the same.
            Err(error) if error.is_final() => {
                tracing::warn!(error = causes(&error), "the provider refuses to revoke a refresh token, which lives on there");
                over("failed").await
            }
            Err(_) if revocation.spares_others && revocation.tries >= MOST_TRIES => over("failed").await,
            Err(error) => {
                if revocation.tries == PATIENCE {
                    tracing::warn!(
                        error = causes(&error),
                        "a refresh token could not be revoked and lives on at the provider; it is tried again"
                    );
                    self.store.enqueue_event(revocation.event(now, "failed"));
                }
                let pause = back_off(revocation.tries, PAUSES.0, PAUSES.1);
                self.store.postpone_revocation(revocation, pause).await.map(|()| Went::NoFurther)
            }
        }
    }
}
