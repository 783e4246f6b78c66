//! Reads grants again that have changed while they were in memory. Otherwise an outage of the store would find the grants of all
//! whose token was refreshed a moment ago missing.

use futures_util::stream::{self, StreamExt};

use super::Visitors;
use crate::grant::GrantId;

/// How many are read concurrently.
const CONCURRENCY: usize = 4;
/// How often a grant is read that changes while it is read.
const MAX_READS: usize = 3;

impl Visitors {
    /// Reads changed grants again, for as long as it runs.
    pub async fn reload_changed_grants(&self) {
        loop {
            let changed = self.changed_grants.next().await;
            stream::iter(changed).for_each_concurrent(CONCURRENCY, |id| self.reload(id)).await;
        }
    }

    async fn reload(&self, id: GrantId) {
        let (cache, store) = (&self.sources.cache, &self.sources.store);
        for _ in 0..MAX_READS {
            let version = cache.grant_version(id);
            // Whoever asks for the grant next finds out what is wrong.
            let is_read = cache.grant(id, self.sources.clock.now(), || store.look_up_grant(id)).await.is_ok();
            if !is_read || !cache.keeps_up() || cache.is_current(&version) {
                return;
            }
        }
    }
}
