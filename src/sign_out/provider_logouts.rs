//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0 section 2.7): ends the sessions of whom the provider has logged out.
//!
//! While the store cannot record it, the sessions that this replica knows end here at once, the rest later, and the provider is told
//! to send its token again: other replicas may know more sessions.

use std::{collections::HashSet, time::Duration};

use super::{LogoutInitiator, SignOut, pending_logouts::name_of};
use crate::{
    backoff::back_off,
    clock::Timestamp,
    oidc::{LEEWAY, LogoutToken},
    secret::sha256,
    session::{SessionHash, unrecorded::Extent},
    store::{SessionFilter, StoreError},
    telemetry::logs::causes,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(10);

impl SignOut {
    /// Ends the sessions that a logout token names. Sessions that began later are kept, and a token that has been processed has no
    /// effect when it is sent again.
    ///
    /// # Errors
    /// The sessions that this replica knows have ended here. Others may be alive still, until the store is back; the provider may
    /// send the token again.
    pub async fn end_by_provider(&self, token: &LogoutToken) -> Result<(), StoreError> {
        let now = self.clock.now();
        let error = match self.record_provider_logout(token, now).await {
            Err(error) if !error.is_refusal() => error,
            done => return done,
        };
        if self.provider_logouts.add(token, now) {
            tracing::warn!(
                error = causes(&error),
                "logouts at the provider take effect on this replica and are recorded once the store is available"
            );
            let this = self.clone();
            self.tasks.spawn(async move { this.record_provider_logouts().await });
        }
        self.end_known(token).await;
        Err(error)
    }

    /// Ends sessions in the store. `at` is when the token came.
    async fn record_provider_logout(&self, token: &LogoutToken, at: Timestamp) -> Result<(), StoreError> {
        let filter = filter(token);
        let name = sha256(format!("logout token {} {}", token.issuer, token.id).as_bytes());
        if self.store.is_consumed(name).await? {
            return Ok(());
        }
        // Recorded first, so that a concurrent login is either found here or finds this record.
        self.store.remember_logout(filter, at).await?;
        // Twice, because a token may be made of a session that has not ended yet.
        for _ in 0..2 {
            for hash in self.store.find_sessions(filter).await? {
                if self.is_older_than(token, hash).await? {
                    self.end_one(hash, LogoutInitiator::Provider).await?;
                }
            }
        }
        // Consumed last: a token that could not be processed may be sent again.
        self.store.consume_once(name, token.expires_at).await?;
        Ok(())
    }

    async fn is_older_than(&self, token: &LogoutToken, hash: SessionHash) -> Result<bool, StoreError> {
        let Some(session) = self.store.session(hash).await? else { return Ok(false) };
        // A personal access token is as old as the login that it comes of.
        let began_at = match &session.token {
            Some(_) => self.store.grant(session.grant).await?.map_or(session.created_at, |grant| grant.created_at),
            None => session.created_at,
        };
        Ok(began_at <= token.issued_at.plus(LEEWAY))
    }

    /// Ends on this replica the sessions that the token names, as far as they are in memory or the store can be read.
    async fn end_known(&self, token: &LogoutToken) {
        let filter = filter(token);
        let known = self.cache.find_known(|session, grant| {
            // Providers choose their users' subjects and session identifiers, and two may choose the same.
            let is_of_provider = grant.map_or_else(
                || self.providers.only().is_some(),
                |grant| grant.issuer == filter.issuer && grant.client_id == filter.client_id,
            );
            let is_users = |subject| grant.is_some_and(|grant| grant.identity.subject == subject);
            is_of_provider
                && session.created_at <= token.issued_at.plus(LEEWAY)
                && filter.subject.is_none_or(is_users)
                && filter.provider_session.is_none_or(|sid| session.provider_session.as_deref() == Some(sid))
        });
        known.into_iter().for_each(|hash| self.end_one_locally(hash));
        for hash in self.store.find_sessions(filter).await.unwrap_or_default() {
            if !self.cache.unrecorded().contains(&hash) && self.is_older_than(token, hash).await.unwrap_or(false) {
                self.end_one_locally(hash);
            }
        }
    }

    fn end_one_locally(&self, hash: SessionHash) {
        if self.wait_for_record(hash, Extent::ByProvider).is_err() {
            tracing::warn!(session = hash.short(), "too many session ends wait for the store: this one does not take effect yet");
        }
    }

    /// Records logouts until none waits. As soon as the store can be read, the sessions end here that were not in memory when the
    /// provider told of them.
    async fn record_provider_logouts(&self) {
        let (mut failures, mut ended) = (0_u32, HashSet::new());
        loop {
            while !self.until_writable_or_read().await {
                for (token, _) in self.provider_logouts.waiting() {
                    if ended.insert(name_of(&token)) {
                        self.end_known(&token).await;
                    }
                }
            }
            let mut has_failed = false;
            for (token, at) in self.provider_logouts.waiting() {
                match self.record_provider_logout(&token, at).await {
                    Err(error) if !error.is_refusal() => {
                        tracing::debug!(%error, "a logout at the provider cannot be recorded yet");
                        has_failed = true;
                        break;
                    }
                    done => {
                        if let Err(error) = done {
                            tracing::error!(%error, "a logout at the provider cannot be recorded");
                        }
                        if !self.provider_logouts.recorded(&token) {
                            return;
                        }
                    }
                }
            }
            failures = if has_failed { failures.saturating_add(1) } else { 0 };
            if has_failed {
                tokio::time::sleep(back_off(failures, FIRST_PAUSE, MAX_PAUSE)).await;
            }
        }
    }
}

/// The sessions that a logout token names: those of the provider and the client that it is of.
fn filter(token: &LogoutToken) -> SessionFilter<'_> {
    SessionFilter {
        issuer: &token.issuer,
        client_id: &token.client_id,
        subject: token.subject.as_deref(),
        provider_session: token.provider_session.as_deref(),
    }
}
