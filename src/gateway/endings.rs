//! Ends the long-lived connections of sessions that have ended: within a second, on every replica.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    future,
    stream::{self, StreamExt},
};

use super::Gateway;
use crate::{
    grant::GrantId,
    session::{SessionHash, cache::Change, connections::Seen},
    telemetry::logs::causes,
};

/// What changed since somebody looked.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<Changed>);

#[derive(Debug, Default)]
struct Changed {
    sessions: HashSet<SessionHash>,
    grants: HashSet<GrantId>,
    everything: bool,
}

/// Looked for this often.
const LOOK: Duration = Duration::from_millis(250);
/// So many sessions are looked at together, which may each need the store.
const AT_ONCE: usize = 8;

impl Changed {
    fn concerns(&self, seen: &Seen) -> bool {
        self.everything
            || seen.is_new
            || seen.reached_a_limit
            || self.sessions.contains(&seen.hash)
            || self.sessions.contains(&seen.current)
            || self.grants.contains(&seen.grant)
    }
}

impl Gateway {
    /// Notes a change, after the cache has heard of it.
    pub fn heard(&self, change: Change) {
        if self.connections.count() == 0 {
            return;
        }
        let mut noted = self.noted.0.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Session(hash) => drop(noted.sessions.insert(hash)),
            Change::Grant(id) => drop(noted.grants.insert(id)),
            Change::Everything => noted.everything = true,
        }
    }

    /// Cuts, for ever, the connections of sessions of which no request would be served any more.
    pub async fn cut_ended_connections(&self) {
        // A session that could not be looked at is looked at again.
        let mut unsure = HashSet::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let mut changed = std::mem::take(&mut *self.noted.0.lock().unwrap_or_else(PoisonError::into_inner));
            // While changes are not heard of, memory says nothing; only the store does.
            changed.everything |= !self.visitors.cache.hears_changes();
            changed.sessions.extend(unsure.drain());
            let concerned = self.connections.sessions().into_iter().filter(|seen| changed.concerns(seen));
            let looks = stream::iter(concerned).map(|seen| self.look_after(seen)).buffer_unordered(AT_ONCE);
            unsure = looks.filter_map(future::ready).collect().await;
        }
    }

    /// Cuts a session's connections if it has ended. Says its name if that could not be found out.
    async fn look_after(&self, seen: Seen) -> Option<SessionHash> {
        match self.visitors.still_served(seen.current, &self.policy).await {
            Ok(Some(held)) => self.connections.lives(&seen, held),
            Ok(None) => {
                tracing::info!(
                    session = seen.hash.short(),
                    "cut the connections of a session that has ended, or whose user may not enter any more"
                );
                self.connections.cut(seen.hash);
            }
            Err(error) => {
                tracing::debug!(error = causes(&error), "a session's connections live on while the store is away");
                return Some(seen.hash);
            }
        }
        None
    }
}
