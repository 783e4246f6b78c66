//! Changed grants that wait to be announced to other replicas in batches.

use std::collections::HashSet;

use tokio::sync::Notify;

use crate::{
    grant::GrantId,
    lock::{Mutex, MutexGuard},
};

/// Changed grants that are to be announced.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    waiting: Mutex<HashSet<GrantId>>,
    added: Notify,
}

/// The maximum number of changes in a batch.
const BATCH: usize = 500;

impl Announcer {
    pub(super) fn add(&self, id: GrantId) {
        self.waiting().insert(id);
        self.added.notify_one();
    }

    /// Waits until a grant is added.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    /// Takes a batch out; an empty one when nothing waits.
    pub(super) fn take(&self) -> Vec<GrantId> {
        let mut waiting = self.waiting();
        if waiting.len() <= BATCH {
            return waiting.drain().collect();
        }
        let batch: Vec<_> = waiting.iter().take(BATCH).copied().collect();
        for id in &batch {
            waiting.remove(id);
        }
        batch
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<GrantId>> {
        self.waiting.lock()
    }
}
