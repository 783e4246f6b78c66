//! Cuts the long-lived connections of sessions that have ended: within a second, on every replica.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{
    future,
    stream::{self, StreamExt},
};

use super::{Sources, Visitors};
use crate::{
    session::{SessionHash, cache::CachedSession, live::Snapshot},
    store::{Change, StoreError},
    telemetry::logs::causes,
};

/// How often live sessions are checked.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many sessions are checked concurrently; each may need the store.
const CONCURRENCY: usize = 8;
/// How many logins in one browser are followed from one to the next.
const MAX_SUCCESSORS: usize = 8;

impl Visitors {
    /// Has the sessions checked that a change concerns. Memory has taken it over already.
    pub(super) fn check_after(&self, change: Change) {
        if self.live.count() == 0 {
            return;
        }
        self.pending.add(change);
    }

    /// Cuts, for as long as it runs, the connections of sessions of which no request would be served any more.
    pub async fn cut_ended_connections(&self) {
        // Sessions that could not be checked are checked again.
        let mut unchecked = HashSet::new();
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut changes = self.pending.take();
            // Without announcements memory proves nothing; only the store does.
            changes.everything |= !self.sources.cache.is_listener_connected();
            changes.sessions.extend(unchecked.drain());
            let concerned = self.live.snapshots().into_iter().filter(|session| changes.concern(session));
            let checks = stream::iter(concerned).map(|session| self.recheck(session)).buffer_unordered(CONCURRENCY);
            unchecked = checks.filter_map(future::ready).collect().await;
        }
    }

    /// Cuts a session's connections if it has ended. Returns its hash if that could not be found out.
    async fn recheck(&self, session: Snapshot) -> Option<SessionHash> {
        match self.still_served(session.current).await {
            Ok(Some(cached)) => self.live.confirm(&session, cached),
            Ok(None) => {
                tracing::info!(
                    session = session.hash.short(),
                    "cut the connections of a session that has ended, or whose user may not enter any more"
                );
                self.live.cut(session.hash);
            }
            Err(error) => {
                tracing::debug!(error = causes(&error), "a session's connections stay open while the store is away");
                return Some(session.hash);
            }
        }
        None
    }

    /// The session, if its requests would be served. Where nobody has said that its user may not go on, and the grant only cannot be
    /// renewed, what is open stays open. Whom the policy does not let pass any more, by the identity of the last token refresh, is not
    /// served; a route's own rule is applied to requests alone.
    async fn still_served(&self, hash: SessionHash) -> Result<Option<Arc<CachedSession>>, StoreError> {
        let Sources { settings, cache, store, policies, clock, .. } = &self.sources;
        let now = clock.now();
        let Some(cached) = self.session_or_successor(hash).await? else { return Ok(None) };
        let has_reached_a_limit = cached.reached(settings, now).is_some();
        if has_reached_a_limit && self.has_expired(&cached).await? {
            return Ok(None);
        }
        let id = cached.session.grant;
        let Some(grant) = cache.grant(id, now, || store.look_up_grant(id)).await? else { return Ok(None) };
        let has_ended = grant.ended.as_ref().is_some_and(|ended| !ended.reason.leaves_remaining_use());
        let policy = policies.of(grant.registration());
        let is_admitted = policy.is_some_and(|policy| policy.admit(&grant.identity).is_ok());
        Ok((!has_ended && is_admitted).then_some(cached))
    }

    /// The session, or the one that its user's next login in the same browser made in its place.
    async fn session_or_successor(&self, hash: SessionHash) -> Result<Option<Arc<CachedSession>>, StoreError> {
        let Sources { cache, store, clock, .. } = &self.sources;
        let now = clock.now();
        let cached = cache.session(hash, now, || store.look_up_session(hash)).await?;
        if cached.is_some() || cache.unrecorded().contains(&hash) {
            return Ok(cached);
        }
        // Several tabs may have logged in one after the other, each with the cookie of before.
        let mut last = hash;
        for _ in 0..MAX_SUCCESSORS {
            let Some(next) = store.successor(last).await? else { break };
            last = next.hash;
        }
        if last == hash {
            return Ok(None);
        }
        // Read once more: only what the cache asks for itself can it tell from what was announced meanwhile.
        cache.session(last, now, || store.look_up_session(last)).await
    }
}
