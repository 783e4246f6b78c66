//! Sessions whose end the store could not take: they are over here at once, and their end is recorded when the store is back.

use std::{sync::Arc, time::Duration};

use super::{By, SignOut};
use crate::{
    backoff::back_off,
    session::{SessionHash, unrecorded::Extent},
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl SignOut {
    /// Ends a session here, and has its end recorded by one task for all of them.
    pub(super) fn end_later(&self, hash: SessionHash, extent: Extent) {
        let is_first = self.unrecorded.add(hash, extent);
        self.store.announce_end(hash);
        tracing::warn!(session = hash.short(), "a session has ended here; the store will be told when it is back");
        if is_first {
            let this = Arc::new(self.clone());
            self.tasks.spawn(async move { this.record_ends().await });
        }
    }

    /// Records until no end waits.
    async fn record_ends(&self) {
        let mut failures = 0_u32;
        loop {
            self.store.until_writable().await;
            for (hash, extent) in self.unrecorded.waiting() {
                let by = match extent {
                    Extent::Session => By::User,
                    Extent::AllOfUser => By::UserEverywhere,
                };
                match self.end_recorded(hash, by).await {
                    Ok(_) if self.unrecorded.recorded(&hash) => failures = 0,
                    Ok(_) => return,
                    Err(error) => {
                        tracing::debug!(session = hash.short(), %error, "the end of a session cannot be recorded yet");
                        failures = failures.saturating_add(1);
                        break;
                    }
                }
            }
            if failures > 0 {
                tokio::time::sleep(back_off(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            }
        }
    }
}
