//! This replica's heartbeat: a row that it writes every second, which only a primary accepts. It shows other replicas that this
//! one is alive, and this one whether the database takes writes.

use std::time::Duration;

use super::Store;
use crate::{
    backoff::back_off,
    clock::Stopwatch,
    store::{
        Condition, StoreError,
        operation::{Read, Write},
        replica::{Beat, DEAD_AFTER},
    },
};

/// The time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(1);
/// Within this time a replica that lives has written a heartbeat.
const WATCHED_FOR: Duration = Duration::from_secs(3);
/// How long one heartbeat may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// The pauses between heartbeats that fail grow between these.
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The least time between two heartbeats, which calls that fail make come sooner.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

impl Store {
    /// Writes heartbeats forever.
    pub async fn run_heartbeat(&self) {
        self.gate.attend();
        let mut failures = 0_u32;
        loop {
            let begun = Stopwatch::start();
            let result = self.beat().await;
            if let Ok(beat) = &result {
                // Before any call passes.
                self.compare_beat(beat.count);
                if let Some(ahead) = self.clock_jumps.observe(beat.at, begun) {
                    tracing::warn!(
                        ahead.seconds = ahead.as_secs(),
                        "the database's clock has jumped ahead: no replica counts as dead for a few seconds, and no token of unknown \
                         outcome is presented again for as long as a token call may take"
                    );
                }
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
            self.write(Write::ForgetReplica, |connection| Box::pin(connection.forget_replica(&self.replica))).await
        {
            tracing::debug!(%error, "the store could not be told that this replica is gone; others find out by themselves");
        }
    }

    /// Writes one heartbeat. If that fails, finds out whether the database can still be read.
    async fn beat(&self) -> Result<Beat, (Condition, StoreError)> {
        let error = match tokio::time::timeout(DEADLINE, self.backend.beat(&self.replica, &self.key_names())).await {
            Ok(Ok(beat)) => return Ok(beat),
            Ok(Err(error)) => error,
            Err(_) => {
                // All other connections may hang on the same thing.
                self.backend.leave_server();
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

    /// The other replicas that use the database now, by their names. One that seems to is watched for three seconds: a database that was
    /// restored from a fresh backup has the heartbeats of then.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn living_replicas(&self) -> Result<Vec<String>, StoreError> {
        let read =
            || self.read(Read::LivingReplicas, |connection| Box::pin(connection.living_replicas(&self.replica, DEAD_AFTER)));
        let before = read().await?.current()?;
        if before.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(WATCHED_FOR).await;
        let now = read().await?.current()?;
        Ok(now.into_iter().filter(|replica| !before.contains(replica)).map(|(name, _)| name).collect())
    }

    /// Waits until the database takes writes, as far as is known.
    pub async fn until_writable(&self) {
        self.gate.until_writable().await;
    }

    /// Whether the database has taken heartbeats for so long, by a clock that did not jump, that a replica without one is dead.
    pub fn knows_who_lives(&self) -> bool {
        self.gate.is_steady(DEAD_AFTER) && !self.database_clock_jumped_within(DEAD_AFTER)
    }

    /// Whether the database's clock was seen to jump ahead within this time. What has expired since by that clock may not have.
    pub fn database_clock_jumped_within(&self, time: Duration) -> bool {
        self.clock_jumps.has_been_within(time)
    }
}
