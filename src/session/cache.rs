//! Sessions and grants in memory, so that requests of authenticated users do not touch the database.
//!
//! Entries are dropped when the store announces a change. A load that overlaps a change is not cached, because it may have read
//! the row as it was before. While the listener is not connected, entries live only for [`DISCONNECTED_TTL`].

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{Session, SessionHash, Settings, unrecorded::UnrecordedEnds};
use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
};

/// How long an entry may be used while the listener is not connected.
pub const DISCONNECTED_TTL: Duration = Duration::from_millis(500);

const CAPACITY: usize = 100_000;

/// One replica's cache of sessions and grants.
#[derive(Debug)]
pub struct SessionCache {
    sessions: Cache<SessionHash, Arc<CachedSession>>,
    grants: Cache<GrantId, (Arc<Grant>, Timestamp)>,
    /// Sessions that existed at their last lookup; kept even while their entries may not be used.
    existing: Cache<SessionHash, ()>,
    changes: AtomicU64,
    listener_connected: AtomicBool,
    touched: Mutex<HashMap<SessionHash, Timestamp>>,
    /// Sessions that have ended on this replica and whose end is not in the store yet.
    unrecorded: Arc<UnrecordedEnds>,
}

/// A cached session, and the time of its last request that this replica knows of.
#[derive(Debug)]
pub struct CachedSession {
    /// The session, as it was loaded.
    pub session: Session,
    loaded_at: Timestamp,
    seen: AtomicI64,
}

impl Default for SessionCache {
    fn default() -> Self {
        Self {
            sessions: Cache::new(CAPACITY),
            grants: Cache::new(CAPACITY),
            existing: Cache::new(CAPACITY),
            changes: AtomicU64::new(0),
            listener_connected: AtomicBool::new(false),
            touched: Mutex::default(),
            unrecorded: Arc::default(),
        }
    }
}

impl SessionCache {
    /// Returns the session from memory, or by `load`.
    ///
    /// # Errors
    /// The error of `load`; nothing is cached then.
    pub async fn session<E, F>(
        &self,
        hash: SessionHash,
        now: Timestamp,
        load: impl FnOnce() -> F,
    ) -> Result<Option<Arc<CachedSession>>, E>
    where
        F: Future<Output = Result<Option<Session>, E>>,
    {
        if self.unrecorded.contains(&hash) {
            return Ok(None);
        }
        if let Some(cached) = self.sessions.get(&hash).filter(|cached| self.is_usable(cached.loaded_at, now)) {
            return Ok(Some(cached));
        }
        let before = self.changes.load(Ordering::Acquire);
        let Some(session) = load().await? else { return Ok(None) };
        let cached = Arc::new(CachedSession { seen: AtomicI64::new(session.last_seen.0), session, loaded_at: now });
        self.sessions.insert(hash, Arc::clone(&cached));
        self.existing.insert(hash, ());
        if self.changes.load(Ordering::Acquire) != before {
            self.sessions.remove(&hash);
        }
        Ok(Some(cached))
    }

    /// Returns the grant from memory, or by `load`.
    ///
    /// # Errors
    /// The error of `load`; nothing is cached then.
    pub async fn grant<E, F>(&self, id: GrantId, now: Timestamp, load: impl FnOnce() -> F) -> Result<Option<Arc<Grant>>, E>
    where
        F: Future<Output = Result<Option<Grant>, E>>,
    {
        if let Some((grant, _)) = self.grants.get(&id).filter(|(_, loaded_at)| self.is_usable(*loaded_at, now)) {
            return Ok(Some(grant));
        }
        let before = self.changes.load(Ordering::Acquire);
        let Some(grant) = load().await? else { return Ok(None) };
        let grant = Arc::new(grant);
        self.grants.insert(id, (Arc::clone(&grant), now));
        if self.changes.load(Ordering::Acquire) != before {
            self.grants.remove(&id);
        }
        Ok(Some(grant))
    }

    /// Returns a number that changes with every announced change; `None` while the listener is not connected. A lookup made after
    /// the epoch was read is valid for as long as the epoch stays the same.
    pub fn epoch(&self) -> Option<u64> {
        self.is_listener_connected().then(|| self.changes.load(Ordering::Acquire))
    }

    fn is_usable(&self, loaded_at: Timestamp, now: Timestamp) -> bool {
        self.is_listener_connected() || now.since(loaded_at) < DISCONNECTED_TTL
    }

    /// Drops a grant that was changed or removed.
    pub fn forget_grant(&self, id: GrantId) {
        self.begin_change();
        self.grants.remove(&id);
    }

    /// Drops a session that was removed.
    pub fn forget_session(&self, hash: SessionHash) {
        self.begin_change();
        self.sessions.remove(&hash);
        self.existing.remove(&hash);
    }

    /// Drops everything, because anything may have changed.
    pub fn forget_everything(&self) {
        self.begin_change();
        self.sessions.clear();
        self.grants.clear();
    }

    /// Counts a change before its entries are dropped: a load that finishes in between sees the count and is not cached.
    fn begin_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the session existed at its last lookup by this replica.
    pub fn knows(&self, hash: &SessionHash) -> bool {
        self.existing.peek(hash).is_some()
    }

    /// Sessions that have ended on this replica; lookups do not find them, whatever the store holds.
    pub fn unrecorded(&self) -> &Arc<UnrecordedEnds> {
        &self.unrecorded
    }

    /// Whether announcements of changes arrive.
    pub fn is_listener_connected(&self) -> bool {
        self.listener_connected.load(Ordering::Acquire)
    }

    /// Sets whether announcements of changes arrive, and drops all entries, which may have changed unannounced.
    pub fn set_listener_connected(&self, connected: bool) {
        if self.listener_connected.swap(connected, Ordering::AcqRel) != connected {
            self.forget_everything();
        }
    }

    /// Returns the time of a session's last request that this replica knows of.
    pub fn last_seen(cached: &CachedSession) -> Timestamp {
        Timestamp(cached.seen.load(Ordering::Relaxed))
    }

    /// Merges the time of the last request that the store has, which another replica may have handled.
    pub fn was_seen(cached: &CachedSession, at: Timestamp) {
        cached.seen.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Records a request. Only the first one in [`Settings::granularity`] is queued to be written.
    pub fn touch(&self, cached: &CachedSession, settings: &Settings, now: Timestamp) {
        let seen = cached.seen.load(Ordering::Relaxed);
        if now.since(Timestamp(seen)) < settings.granularity() {
            return;
        }
        if cached.seen.compare_exchange(seen, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(cached.session.hash, now);
        }
    }

    /// Takes the last-seen times that wait to be written. The caller writes them, or calls [`SessionCache::give_back`].
    pub fn take_touched(&self) -> Vec<(SessionHash, Timestamp)> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// Puts back last-seen times that could not be written.
    pub fn give_back(&self, touched: Vec<(SessionHash, Timestamp)>) {
        let mut pending = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, seen) in touched {
            pending.entry(hash).and_modify(|later| *later = (*later).max(seen)).or_insert(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready};

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const HASH: SessionHash = SessionHash([1; 32]);

    fn session() -> Session {
        Session { hash: HASH, grant: GrantId([2; 16]), created_at: NOW, last_seen: NOW }
    }

    async fn is_cached(cache: &SessionCache, now: Timestamp) -> bool {
        cache.session(HASH, now, || ready(Ok::<_, Infallible>(None))).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_load_that_overlaps_a_change_is_not_kept() {
        let cache = SessionCache::default();
        cache.set_listener_connected(true);
        let load = || async {
            cache.forget_session(HASH);
            Ok::<_, Infallible>(Some(session()))
        };
        assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
        assert!(!is_cached(&cache, NOW).await);
    }

    #[tokio::test]
    async fn entries_live_only_briefly_while_the_listener_is_not_connected() {
        let cache = SessionCache::default();
        let load = || ready(Ok::<_, Infallible>(Some(session())));
        cache.session(HASH, NOW, load).await.unwrap();
        assert!(is_cached(&cache, NOW).await);
        assert!(!is_cached(&cache, NOW.plus(DISCONNECTED_TTL)).await);
        cache.set_listener_connected(true);
        assert!(!is_cached(&cache, NOW).await, "what was loaded while disconnected is dropped");
        cache.session(HASH, NOW, load).await.unwrap();
        assert!(is_cached(&cache, NOW.plus(Duration::from_secs(3600))).await);
    }
}
