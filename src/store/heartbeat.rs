//! This replica's heartbeat: a row that it writes every second, which only a primary accepts. It shows other replicas that this
//! one is alive, and this one whether the database takes writes.

use std::{sync::Arc, time::Duration};

use super::{Condition, Store, StoreError, operation::Operation};
use crate::{backoff::back_off, secret::random_text};

/// The time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long one heartbeat may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The pauses between heartbeats that fail grow between these.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The least time between two heartbeats, which calls that fail make come sooner.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The age of the last heartbeat at which a replica counts as dead, for a replica that has seen the database work for as long.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(6);

impl Store {
    /// Writes heartbeats forever.
    pub async fn run_heartbeat(&self) {
        self.gate.attend();
        let mut failures = 0_u32;
        loop {
            let result = self.beat().await;
            if let Ok(beat) = &result {
                // Before any call passes.
                self.compare_beat(*beat);
            }
            let result = result.map(drop);
            self.gate.beat(&result);
            if result.is_ok() {
                failures = 0;
                tokio::time::sleep(MIN_INTERVAL).await;
                let _sooner = tokio::time::timeout(INTERVAL, self.gate.suspected()).await;
            } else {
                failures = failures.saturating_add(1);
                tokio::time::sleep(back_off(failures, MIN_BACKOFF, MAX_BACKOFF)).await;
            }
        }
    }

    /// Deletes this replica's heartbeat, so that no other replica waits for it.
    pub async fn stop_heartbeat(&self) {
        if let Err(error) =
            self.call(Operation::ForgetReplica, |connection| Box::pin(connection.forget_replica(&self.replica))).await
        {
            tracing::debug!(%error, "the store could not be told that this replica is gone; others find out by themselves");
        }
    }

    /// Writes one heartbeat and returns how many this replica has written, by the database. If that fails, finds out whether the
    /// database can still be read.
    async fn beat(&self) -> Result<i64, (Condition, StoreError)> {
        let error = match tokio::time::timeout(DEADLINE, self.backend.beat(&self.replica, &self.key_names())).await {
            Ok(Ok(beat)) => return Ok(beat),
            Ok(Err(error)) => error,
            Err(_) => {
                // The pool's connections may hang on the same thing.
                self.backend.discard_open_connections();
                StoreError::TimedOut(DEADLINE)
            }
        };
        let is_read = tokio::time::timeout(DEADLINE, self.backend.can_be_read()).await.unwrap_or(false);
        Err((if is_read { Condition::ReadOnly } else { Condition::Unavailable }, error))
    }

    /// The condition of the database, as far as is known.
    pub fn condition(&self) -> Condition {
        self.gate.condition()
    }

    /// Whether the database takes writes, as far as is known.
    pub fn is_writable(&self) -> bool {
        self.condition() == Condition::Writable
    }

    /// Waits until the database takes writes, as far as is known.
    pub async fn until_writable(&self) {
        self.gate.until_writable().await;
    }

    /// Whether the database has taken heartbeats for so long that a replica without one is dead.
    pub fn knows_who_lives(&self) -> bool {
        self.gate.is_steady(DEAD_AFTER)
    }
}

/// Names this replica by its host and a random suffix, which tells apart two replicas on one host, and one replica before and
/// after a restart.
pub(super) fn replica_name() -> Arc<str> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Arc::from(format!("{}/{}", if host.is_empty() { "unnamed" } else { host }, random_text::<3>()))
}
