//! Ends of sessions that the store could not record: they take effect on this replica immediately, and are recorded once the
//! store is available.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use super::{LogoutInitiator, SignOut};
use crate::{
    backoff::back_off,
    session::{
        SessionHash,
        unrecorded::{Added, Extent, TooMany},
    },
    store::{Condition, StoreError},
    telemetry::logs::causes,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How often it is looked whether a store that takes no writes can be read.
const LOOK: Duration = Duration::from_millis(250);

impl SignOut {
    /// Ends a session on this replica; one task records all such ends. Only for sessions that are known to exist, because anybody
    /// can send a made-up cookie.
    ///
    /// # Errors
    /// The given `error`, if the session is not known to exist or too many ends wait already.
    pub(super) async fn end_locally(&self, hash: SessionHash, extent: Extent, error: StoreError) -> Result<(), StoreError> {
        let is_known = self.cache.knows(&hash) || matches!(self.store.session(hash).await, Ok(Some(_)));
        self.end_others_locally(hash, self.cache.find_others_of_login(hash));
        if extent == Extent::AllOfUser {
            self.end_others_locally(hash, self.cache.find_others_of_user(hash));
            self.end_others_locally(hash, self.others_of_user(hash).await.unwrap_or_default());
        }
        if !is_known || self.wait_for_record(hash, extent).is_err() {
            return Err(error);
        }
        tracing::debug!(
            session = hash.short(),
            error = causes(&error),
            "a session has ended on this replica, and not in the store yet"
        );
        Ok(())
    }

    /// Ends other sessions of a session's user on this replica. They are found again when the end of this one is recorded.
    fn end_others_locally(&self, own: SessionHash, others: Vec<SessionHash>) {
        for other in others {
            if self.wait_for_record(other, Extent::Session).is_err() {
                tracing::warn!(
                    session = own.short(),
                    "too many session ends wait for the store: the user's others take effect later"
                );
                return;
            }
        }
    }

    /// Waits until the store takes writes (`true`), or can be read meanwhile (`false`).
    pub(super) async fn until_writable_or_read(&self) -> bool {
        loop {
            if tokio::time::timeout(LOOK, self.store.until_writable()).await.is_ok() {
                return true;
            }
            if self.store.condition() == Condition::ReadOnly {
                return false;
            }
        }
    }

    /// Has an end recorded when the store is available; until then it holds on this replica.
    ///
    /// # Errors
    /// Too many ends wait already.
    pub(super) fn wait_for_record(&self, hash: SessionHash, extent: Extent) -> Result<(), TooMany> {
        let added = self.cache.unrecorded().add(hash, extent)?;
        // Also for the next request of a connection that knows its last visitor, before the announcement is taken over.
        self.cache.forget_session(hash);
        self.store.announce_end(hash);
        if added == Added::First {
            tracing::warn!("session ends take effect on this replica and are recorded once the store is available");
            let this = self.clone();
            self.tasks.spawn(async move { this.record_unrecorded_ends().await });
        }
        Ok(())
    }

    /// Records ends until none waits. As soon as the store can be read, the sessions end here of whoever signed out everywhere that
    /// were not in memory then.
    async fn record_unrecorded_ends(&self) {
        let (mut failures, mut read) = (0_u32, HashSet::new());
        loop {
            while !self.until_writable_or_read().await {
                for (hash, extent) in self.cache.unrecorded().waiting() {
                    if extent == Extent::AllOfUser && read.insert(hash) {
                        self.end_others_locally(hash, self.others_of_user(hash).await.unwrap_or_default());
                    }
                }
            }
            let mut has_failed = false;
            let mut waiting = self.cache.unrecorded().waiting();
            // The widest first: with another session of its login, that one would be gone by which the user is found.
            waiting.sort_unstable_by_key(|(_, extent)| Reverse(*extent));
            for (hash, extent) in waiting {
                let recorded = self.record_end(hash, extent).await;
                if recorded.is_ok() {
                    // Before lookups may find it again.
                    self.cache.forget_session(hash);
                }
                match recorded {
                    Ok(()) if self.cache.unrecorded().recorded(&hash, extent) => {}
                    Ok(()) => return,
                    // The others may succeed.
                    Err(error) => {
                        tracing::debug!(session = hash.short(), %error, "the end of a session cannot be recorded yet");
                        has_failed = true;
                        if !self.store.is_writable() {
                            break;
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

    /// Records one end. If a row of the user cannot be read, so that their other sessions are not found, ends at least this
    /// session.
    async fn record_end(&self, hash: SessionHash, extent: Extent) -> Result<(), StoreError> {
        let by = match extent {
            Extent::ByOther(source) => LogoutInitiator::Other(source),
            Extent::Session => LogoutInitiator::User,
            Extent::AllOfUser => LogoutInitiator::UserEverywhere,
        };
        match self.end_recorded(hash, by).await {
            Err(error) if error.is_refusal() => {
                tracing::error!(session = hash.short(), %error, "a logout could not be recorded for all sessions of the user; this session ends");
                self.end_one(hash, by).await.map(drop).or_else(|error| if error.is_refusal() { Ok(()) } else { Err(error) })
            }
            done => done.map(drop),
        }
    }
}
