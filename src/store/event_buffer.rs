//! Events that wait to be written, so that no renewal waits for its own history.

use tokio::sync::Notify;

use crate::{
    history::Event,
    lock::{Mutex, MutexGuard},
};

/// Events that wait to be written.
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    waiting: Mutex<Vec<Event>>,
    /// A batch is full.
    full: Notify,
}

impl EventBuffer {
    /// So many events are written in one transaction.
    pub(super) const BATCH: usize = 100;
    /// While the database is away so many events are buffered; then the oldest are dropped, and the log has their lines.
    const CAPACITY: usize = 20_000;

    pub(super) fn push(&self, event: Event) {
        let mut waiting = self.waiting();
        if waiting.len() >= Self::CAPACITY {
            waiting.drain(..Self::BATCH);
        }
        waiting.push(event);
        if waiting.len() >= Self::BATCH {
            self.full.notify_one();
        }
    }

    /// Waits until a batch is full.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }

    /// Takes all events out, the oldest first.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.waiting())
    }

    /// Puts events back that were taken out and not written, before those that came meanwhile.
    pub(super) fn put_back(&self, events: impl IntoIterator<Item = Event>) {
        self.waiting().splice(0..0, events);
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Event>> {
        self.waiting.lock()
    }
}
