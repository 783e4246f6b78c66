//! Revokes refresh tokens at the provider (RFC 7009) whose grants are gone: at once, and again and again while it fails, by
//! whichever replica's turn it is.

use std::time::Duration;

use super::SignOut;
use crate::{
    backoff::back_off,
    store::{Revocation, StoreError, Token},
    telemetry::logs::causes,
};

/// So many are taken at once, for longer than they take.
const BATCH: i64 = 16;
const LEASE: Duration = Duration::from_secs(300);
/// Looked for this often, besides whenever a session ends here.
const LOOK: Duration = Duration::from_secs(5);
/// A token that could not be revoked is tried again after pauses that grow between these.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// So often is one tried that may be let be.
const MOST_TRIES: u32 = 20;
/// So many failures are told of in the log and the history.
const PATIENCE: u32 = 3;

impl SignOut {
    /// Revokes what is due, for ever.
    pub async fn keep_revoking(&self) {
        loop {
            self.store.until_writable().await;
            self.revoke_due().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Revokes what is due now, until nothing is.
    pub async fn revoke_due(&self) {
        let provider = &self.provider;
        if !provider.is_ready() {
            return;
        }
        loop {
            let due = match self.store.due_revocations(provider.issuer(), provider.client_id(), LEASE, BATCH).await {
                Ok(due) if due.is_empty() => return,
                Ok(due) => due,
                Err(error) => {
                    tracing::debug!(error = causes(&error), "it cannot be looked which refresh tokens are to be revoked");
                    return;
                }
            };
            for revocation in &due {
                if let Err(error) = self.revoke(revocation).await {
                    tracing::debug!(error = causes(&error), "what came of a revocation could not be kept; it is tried again");
                }
            }
        }
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        let (provider, now) = (&self.provider, self.clock.now());
        let preset = provider.preset();
        // What it would end may also be another gateway's, whose sessions are not known here.
        let reaches_all = preset.shares_grants || preset.revokes_all;
        let over = async |outcome: &str| {
            self.store.note(revocation.event(now, outcome));
            self.store.forget_revocation(revocation).await
        };
        let token = match &revocation.token {
            Token::Known(token) => token,
            // A replica that has the key may.
            Token::KeyMissing => return self.store.put_revocation_off(revocation, PAUSES.1).await,
            Token::Dead => return over("failed").await,
        };
        let (issuer, client_id) = (provider.issuer(), provider.client_id());
        let is_let_be = (revocation.nobody_asked && reaches_all)
            || (revocation.spares_others && self.store.would_hurt(revocation, issuer, client_id, reaches_all).await?);
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
                    self.store.note(revocation.event(now, "failed"));
                }
                self.store.put_revocation_off(revocation, back_off(revocation.tries, PAUSES.0, PAUSES.1)).await
            }
        }
    }
}
