//! The history: events are buffered by whoever makes them and written in batches by a task of their own, so that no renewal
//! waits for its own history.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Store, StoreError, operation::Operation};
use crate::{backoff::back_off, grant::GrantId, history::Event};

/// Events that wait to be written.
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    waiting: Mutex<Vec<Event>>,
    /// A batch is full.
    full: Notify,
}

/// Events are written when so many wait, and after [`FLUSH_INTERVAL`] in any case.
const BATCH: usize = 100;
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// While the database is away so many events are buffered; then the oldest are dropped, and the log has their lines.
const CAPACITY: usize = 20_000;

impl EventBuffer {
    fn waiting(&self) -> MutexGuard<'_, Vec<Event>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Reads the newest events of a name, the newest first, each with the replica that wrote it. The name is a user's (`who` or
    /// `sub`) or a session's; a grant's is `grant`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn events(&self, name: &str, grant: Option<GrantId>, limit: i64) -> Result<Vec<(Event, String)>, StoreError> {
        self.call(Operation::Events, |connection| Box::pin(connection.events(name, grant, limit))).await
    }

    /// Buffers an event, which is written soon.
    pub fn enqueue_event(&self, event: Event) {
        let mut waiting = self.events.waiting();
        if waiting.len() >= CAPACITY {
            waiting.drain(..BATCH);
        }
        waiting.push(event);
        if waiting.len() >= BATCH {
            self.events.full.notify_one();
        }
    }

    /// Writes buffered events until `stop`, and then once more.
    pub async fn run_event_writer(&self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let is_stopped = if failures > 0 {
                stop.run_until_cancelled(self.until_worth_flushing(failures)).await.is_none()
            } else {
                tokio::select! {
                    () = stop.cancelled() => true,
                    () = self.events.full.notified() => false,
                    () = tokio::time::sleep(FLUSH_INTERVAL) => false,
                }
            };
            failures = if self.flush_events().await { 0 } else { failures + 1 };
            if is_stopped {
                return;
            }
        }
    }

    /// Waits before the next try after a failure, however many events come meanwhile: until the database takes writes, if it is
    /// known not to, and otherwise for a pause that grows.
    async fn until_worth_flushing(&self, failures: u32) {
        if self.is_writable() {
            tokio::time::sleep(back_off(failures, FLUSH_INTERVAL, MAX_BACKOFF)).await;
        } else {
            self.until_writable().await;
        }
    }

    /// Writes the buffered events; those that cannot be written stay in the buffer. `false`: some do.
    pub async fn flush_events(&self) -> bool {
        let events = std::mem::take(&mut *self.events.waiting());
        let mut written = 0;
        for batch in events.chunks(BATCH) {
            if let Err(error) = self.write_batch(batch).await {
                tracing::debug!(%error, waiting = events.len() - written, "events cannot be written yet");
                break;
            }
            written += batch.len();
        }
        let is_all = written >= events.len();
        let rest = events.into_iter().skip(written);
        self.events.waiting().splice(0..0, rest);
        is_all
    }

    /// Writes a batch in one transaction. If the database refuses it, writes the events one by one, and drops those that are
    /// refused by themselves.
    async fn write_batch(&self, batch: &[Event]) -> Result<(), StoreError> {
        match self.record_events(batch).await {
            Err(error) if error.is_refusal() => {}
            result => return result,
        }
        for event in batch {
            match self.record_events(std::slice::from_ref(event)).await {
                Err(error) if error.is_refusal() => {
                    tracing::warn!(%error, kind = event.kind.as_str(), grant.id = %event.grant, "the store refuses an event; it is left out");
                }
                result => result?,
            }
        }
        Ok(())
    }

    async fn record_events(&self, events: &[Event]) -> Result<(), StoreError> {
        self.call(Operation::RecordEvents, |connection| Box::pin(connection.record_events(events, &self.replica))).await
    }
}
