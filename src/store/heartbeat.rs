//! This replica's heartbeat: a row that it writes every second, which only a primary can do. It shows other replicas that this
//! one lives, and this one whether the store takes writes.

use std::time::Duration;

use super::{Condition, Store, StoreError, operation::Operation};
use crate::backoff::back_off;

/// How often it beats.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a beat may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// While it fails it is tried after pauses that grow between these.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Calls that fail make it beat sooner, but not more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// A replica whose heart has not beaten for so long is taken for dead, by whoever has seen the store work for as long.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(6);

impl Store {
    /// Beats forever.
    pub async fn run_heartbeat(&self) {
        self.gate.attend();
        let mut failures = 0_u32;
        loop {
            let result = self.beat().await;
            self.gate.beat(&result);
            if result.is_ok() {
                failures = 0;
                tokio::time::sleep(SHORTEST_INTERVAL).await;
                let _sooner = tokio::time::timeout(INTERVAL, self.gate.suspected()).await;
            } else {
                failures = failures.saturating_add(1);
                tokio::time::sleep(back_off(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
            }
        }
    }

    /// Says that this replica is gone, so that nobody waits for it.
    pub async fn stop_heartbeat(&self) {
        if let Err(error) =
            self.call(Operation::ForgetReplica, |connection| Box::pin(connection.forget_replica(self.replica()))).await
        {
            tracing::debug!(%error, "the store could not be told that this replica is gone; others find out by themselves");
        }
    }

    /// Beats once. Where that fails, the store may still be read.
    async fn beat(&self) -> Result<(), (Condition, StoreError)> {
        let (replica, keys) = (self.replica(), self.key_names());
        let error = match tokio::time::timeout(DEADLINE, self.backend.beat(replica, &keys)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => {
                // Whatever its connection hangs on, the pool's may hang on as well.
                self.backend.discard_open_connections();
                StoreError::TimedOut(DEADLINE)
            }
        };
        let is_read = tokio::time::timeout(DEADLINE, self.backend.can_be_read()).await.unwrap_or(false);
        Err((if is_read { Condition::ReadOnly } else { Condition::Away }, error))
    }

    /// What is known of the store's health.
    pub fn condition(&self) -> Condition {
        self.gate.condition()
    }

    /// Whether the store takes writes, as far as is known.
    pub fn is_writable(&self) -> bool {
        self.condition() == Condition::Writable
    }

    /// Waits until the store takes writes, as far as is known.
    pub async fn until_writable(&self) {
        self.gate.until_writable().await;
    }

    /// Whether replicas have been able to beat for so long that one whose heart does not is dead.
    pub fn knows_who_lives(&self) -> bool {
        self.gate.is_steady(DEAD_AFTER)
    }
}
