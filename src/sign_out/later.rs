//! Sessions whose end the store could not take: they are over here at once, and their end is recorded when the store is back.

use std::time::Duration;

use super::{LogoutInitiator, SignOut};
use crate::{
    backoff::back_off,
    session::{
        SessionHash,
        unrecorded::{Added, Extent},
    },
    store::StoreError,
    telemetry::logs::causes,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl SignOut {
    /// Ends a session here, and has its end recorded by one task for all of them. Only of a session that is known: anybody can
    /// bring a cookie.
    ///
    /// # Errors
    /// The store's, where the session is not known to exist, or too many ends wait already.
    pub(super) async fn end_later(&self, hash: SessionHash, extent: Extent, error: StoreError) -> Result<(), StoreError> {
        let is_known = self.cache.knows(&hash) || matches!(self.store.session(hash).await, Ok(Some(_)));
        let Some(added) = is_known.then(|| self.cache.unrecorded().add(hash, extent)).and_then(Result::ok) else {
            return Err(error);
        };
        self.store.announce_end(hash);
        tracing::debug!(session = hash.short(), error = causes(&error), "a session has ended here, and not in the store yet");
        if added == Added::First {
            tracing::warn!("sessions end here while the store cannot take it; it is told when it is back");
            let this = self.clone();
            self.tasks.spawn(async move { this.record_ends().await });
        }
        Ok(())
    }

    /// Records until no end waits.
    async fn record_ends(&self) {
        let mut failures = 0_u32;
        loop {
            self.store.until_writable().await;
            let mut has_failed = false;
            for (hash, extent) in self.cache.unrecorded().waiting() {
                match self.record_end(hash, extent).await {
                    Ok(()) if self.cache.unrecorded().recorded(&hash, extent) => {}
                    Ok(()) => return,
                    // The others may fare better.
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
                tokio::time::sleep(back_off(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            }
        }
    }

    /// Records one end. Where a row of a user cannot be read, so that their other sessions are not found, at least this one ends.
    async fn record_end(&self, hash: SessionHash, extent: Extent) -> Result<(), StoreError> {
        let by = match extent {
            Extent::Session => LogoutInitiator::User,
            Extent::AllOfUser => LogoutInitiator::UserEverywhere,
        };
        match self.end_recorded(hash, by).await {
            Err(error) if error.is_refusal() => {
                tracing::error!(session = hash.short(), %error, "a sign-out could not be recorded whole; the session itself ends");
                self.store.end_session(hash).await.map(drop).or_else(|error| if error.is_refusal() { Ok(()) } else { Err(error) })
            }
            done => done.map(drop),
        }
    }
}
