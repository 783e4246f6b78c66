//! The way of events into the store: noted at once by whoever makes them, written in batches by a task of their own, so
//! that no renewal waits for its own history.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, operation::Operation};
use crate::{backoff::back_off, history::Event, secret::random_text};

/// Events that wait to be written, and the name of the replica that they happened on.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) replica: String,
    waiting: Mutex<Vec<Event>>,
    full: Notify,
}

/// Written at once when so many wait, and after this long in any case.
const BATCH: usize = 100;
const WRITE_AFTER: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// While the store is away so many are kept; then the oldest are lost, and the log has their lines.
const MOST: usize = 20_000;

impl Default for Journal {
    fn default() -> Self {
        // Two replicas on one host, or the same one before and after a restart, are told apart.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        let replica = format!("{}/{}", if host.is_empty() { "unnamed" } else { host }, random_text::<3>());
        Self { replica, waiting: Mutex::default(), full: Notify::new() }
    }
}

impl Store {
    /// Notes an event, to be written soon.
    pub fn note(&self, event: Event) {
        let mut waiting = self.journal.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST {
            waiting.drain(..BATCH);
        }
        waiting.push(event);
        if waiting.len() >= BATCH {
            self.journal.full.notify_one();
        }
    }

    /// Writes what was noted, until told to stop and then once more.
    pub async fn write_history(&self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let stopped = if failures > 0 {
                stop.run_until_cancelled(self.until_worth_trying(failures)).await.is_none()
            } else {
                tokio::select! {
                    () = stop.cancelled() => true,
                    () = self.journal.full.notified() => false,
                    () = tokio::time::sleep(WRITE_AFTER) => false,
                }
            };
            failures = if self.write_noted().await { 0 } else { failures + 1 };
            if stopped {
                return;
            }
        }
    }

    /// However much more is noted meanwhile, a store that fails is tried after pauses that grow, and one that is known to take no
    /// writes when it takes them again.
    async fn until_worth_trying(&self, failures: u32) {
        if self.is_writable() {
            tokio::time::sleep(back_off(failures, WRITE_AFTER, LONGEST_PAUSE)).await;
        } else {
            self.until_writable().await;
        }
    }

    /// Writes a batch; should the store refuse it, one by one, and leaves out what it refuses for itself.
    async fn write(&self, batch: &[Event]) -> Result<(), StoreError> {
        let replica = self.journal.replica.as_str();
        match self.call(Operation::RecordEvents, |connection| Box::pin(connection.record(batch, replica))).await {
            Err(error) if error.is_refusal() => {}
            done => return done,
        }
        for event in batch {
            match self
                .call(Operation::RecordEvents, |connection| Box::pin(connection.record(std::slice::from_ref(event), replica)))
                .await
            {
                Err(error) if error.is_refusal() => {
                    tracing::warn!(%error, kind = event.kind.as_str(), grant.id = %event.grant, "the store refuses an event; it is left out");
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Writes what was noted; what cannot be written now waits on. `false`: something does.
    pub async fn write_noted(&self) -> bool {
        let events = std::mem::take(&mut *self.journal.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut written = 0;
        for batch in events.chunks(BATCH) {
            if let Err(error) = self.write(batch).await {
                tracing::debug!(%error, waiting = events.len() - written, "events cannot be written yet");
                break;
            }
            written += batch.len();
        }
        let is_all = written >= events.len();
        let rest = events.into_iter().skip(written);
        self.journal.waiting.lock().unwrap_or_else(PoisonError::into_inner).splice(0..0, rest);
        is_all
    }
}
