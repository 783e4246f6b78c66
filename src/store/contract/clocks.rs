//! The database's clock, which all replicas have in common, and this machine's, which may be wrong.

use std::{sync::atomic::Ordering, time::Duration};

use super::Store;
use crate::{
    clock::{Timestamp, millis},
    reading::Reading,
    store::{StoreError, operation::Read},
};

/// How far a machine's clock may be from the database's before it counts as wrong.
const MAX_SKEW: Duration = Duration::from_secs(60);

impl Store {
    /// Reads the database's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        // A standby has a clock too.
        self.read(Read::Now, |connection| Box::pin(connection.now())).await.map(Reading::even_if_old)
    }

    /// Compares the database's clock with this machine's, which says `now`, and returns how far they are apart.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn compare_clock(&self, now: Timestamp) -> Result<Duration, StoreError> {
        let theirs = self.now().await?;
        let skew = now.since(theirs).max(theirs.since(now));
        self.clock_skew.store(millis(skew).unsigned_abs(), Ordering::Relaxed);
        Ok(skew)
    }

    /// Whether the clocks agreed when they were last compared.
    pub fn clock_agrees(&self) -> bool {
        Duration::from_millis(self.clock_skew.load(Ordering::Relaxed)) <= MAX_SKEW
    }
}
