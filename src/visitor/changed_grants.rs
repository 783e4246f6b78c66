//! Grants that have changed while they were in memory.

use std::collections::HashSet;

use tokio::sync::Notify;

use crate::{grant::GrantId, lock::Mutex};

/// Grants that are to be read again.
#[derive(Debug, Default)]
pub(super) struct ChangedGrants {
    waiting: Mutex<HashSet<GrantId>>,
    added: Notify,
}

/// How many grants wait at most; others are read when they are asked for.
const MAX_WAITING: usize = 1024;

impl ChangedGrants {
    pub(super) fn add(&self, id: GrantId) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MAX_WAITING {
            waiting.insert(id);
            self.added.notify_one();
        }
    }

    /// Waits for grants that have changed, and takes them.
    pub(super) async fn next(&self) -> HashSet<GrantId> {
        self.added.notified().await;
        std::mem::take(&mut *self.waiting.lock())
    }
}
