//! Sessions and grants in memory, so that requests of authenticated users do not touch the database.
//!
//! Entries are dropped when the store announces a change. A load that overlaps a change of the same record is not cached, because
//! it may have read the row as it was before. While the listener is not connected, entries live only for [`DISCONNECTED_TTL`].

mod changes;

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{Session, SessionHash, unrecorded::UnrecordedEnds};
use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    telemetry::metrics::{Metrics, Record},
};

use changes::Changes;

pub use changes::Version;

/// How long an entry may be used while the listener is not connected.
pub const DISCONNECTED_TTL: Duration = Duration::from_millis(500);

/// Settings of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_SESSION_CACHE_ENTRIES`: how many sessions are kept, and how many grants.
    pub entries: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { entries: 100_000 }
    }
}

/// One replica's cache of sessions and grants.
#[derive(Debug)]
pub struct SessionCache {
    sessions: Cache<SessionHash, Entry<CachedSession>>,
    grants: Cache<GrantId, Entry<Grant>>,
    /// Sessions that existed at their last lookup; kept even while their entries may not be used.
    existing: Cache<SessionHash, ()>,
    changes: Changes,
    touched: Mutex<HashMap<SessionHash, Timestamp>>,
    /// Sessions that have ended on this replica and whose end is not in the store yet.
    unrecorded: Arc<UnrecordedEnds>,
    metrics: Metrics,
}

/// A cached session, and the time of its last request that this replica knows of.
#[derive(Debug)]
pub struct CachedSession {
    /// The session, as it was loaded.
    pub session: Session,
    seen: AtomicI64,
}

/// A record in memory.
#[derive(Debug)]
struct Entry<T> {
    record: Arc<T>,
    loaded_at: Timestamp,
    /// The era in which it was loaded.
    era: u64,
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { record: Arc::clone(&self.record), loaded_at: self.loaded_at, era: self.era }
    }
}

impl Default for SessionCache {
    fn default() -> Self {
        Self::new(&Settings::default(), Metrics::default())
    }
}

impl From<Session> for CachedSession {
    fn from(session: Session) -> Self {
        Self { seen: AtomicI64::new(session.last_seen.0), session }
    }
}

impl SessionCache {
    /// Creates an empty cache, whose loads are counted in `metrics`.
    pub fn new(settings: &Settings, metrics: Metrics) -> Self {
        Self {
            sessions: Cache::new(settings.entries),
            grants: Cache::new(settings.entries),
            existing: Cache::new(settings.entries),
            changes: Changes::default(),
            touched: Mutex::default(),
            unrecorded: Arc::default(),
            metrics,
        }
    }

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
        if let Some(entry) = self.sessions.get(&hash).filter(|entry| self.is_usable(entry, now)) {
            return Ok(Some(entry.record));
        }
        self.metrics.loaded(Record::Session);
        let version = self.changes.version(&hash);
        let Some(session) = load().await? else { return Ok(None) };
        let record = Arc::new(CachedSession::from(session));
        // What this replica has seen of it may not be in the store yet.
        if let Some(seen) = self.touched.lock().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            Self::was_seen(&record, *seen);
        }
        self.changes.unless_changed(&version, || {
            self.sessions.insert(hash, Entry { record: Arc::clone(&record), loaded_at: now, era: version.era });
            self.existing.insert(hash, ());
        });
        Ok(Some(record))
    }

    /// Returns the grant from memory, or by `load`.
    ///
    /// # Errors
    /// The error of `load`; nothing is cached then.
    pub async fn grant<E, F>(&self, id: GrantId, now: Timestamp, load: impl FnOnce() -> F) -> Result<Option<Arc<Grant>>, E>
    where
        F: Future<Output = Result<Option<Grant>, E>>,
    {
        if let Some(entry) = self.grants.get(&id).filter(|entry| self.is_usable(entry, now)) {
            return Ok(Some(entry.record));
        }
        self.metrics.loaded(Record::Grant);
        let version = self.changes.version(&id);
        let Some(grant) = load().await? else { return Ok(None) };
        let record = Arc::new(grant);
        self.changes.unless_changed(&version, || {
            self.grants.insert(id, Entry { record: Arc::clone(&record), loaded_at: now, era: version.era });
        });
        Ok(Some(record))
    }

    /// The version of a session's record. What is looked up after it was read is valid for as long as it is current.
    pub fn session_version(&self, hash: SessionHash) -> Version {
        self.changes.version(&hash)
    }

    /// The version of a grant's record, likewise.
    pub fn grant_version(&self, id: GrantId) -> Version {
        self.changes.version(&id)
    }

    /// Whether announcements arrive, and none has concerned the version's record since.
    pub fn is_current(&self, version: &Version) -> bool {
        self.changes.is_current(version)
    }

    fn is_usable<T>(&self, entry: &Entry<T>, now: Timestamp) -> bool {
        let era = self.changes.era();
        era == entry.era && (changes::hears(era) || now.since(entry.loaded_at) < DISCONNECTED_TTL)
    }

    /// Drops a grant that was changed or removed.
    pub fn forget_grant(&self, id: GrantId) {
        self.changes.record(&id, || drop(self.grants.remove(&id)));
    }

    /// Drops a session that was removed.
    pub fn forget_session(&self, hash: SessionHash) {
        self.changes.record(&hash, || {
            self.sessions.remove(&hash);
            self.existing.remove(&hash);
        });
    }

    /// Drops everything, because anything may have changed.
    pub fn forget_everything(&self) {
        self.changes.begin_era(self.is_listener_connected());
        self.sessions.clear();
        self.grants.clear();
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
        changes::hears(self.changes.era())
    }

    /// Sets whether announcements of changes arrive, and drops all entries, which may have changed unannounced.
    pub fn set_listener_connected(&self, connected: bool) {
        if self.is_listener_connected() != connected {
            self.changes.begin_era(connected);
            self.sessions.clear();
            self.grants.clear();
        }
    }

    /// How many sessions and grants are in memory.
    pub fn sizes(&self) -> (usize, usize) {
        (self.sessions.len(), self.grants.len())
    }

    /// Returns the time of a session's last request that this replica knows of.
    pub fn last_seen(cached: &CachedSession) -> Timestamp {
        Timestamp(cached.seen.load(Ordering::Relaxed))
    }

    /// Merges the time of the last request that the store has, which another replica may have handled.
    pub fn was_seen(cached: &CachedSession, at: Timestamp) {
        cached.seen.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Records a request. Only the first one in [`Settings::granularity`](super::Settings::granularity) is queued to be written.
    pub fn touch(&self, cached: &CachedSession, settings: &super::Settings, now: Timestamp) {
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
    const OTHER: SessionHash = SessionHash([3; 32]);

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
    async fn a_load_that_overlaps_the_change_of_another_record_is_kept() {
        let cache = SessionCache::default();
        cache.set_listener_connected(true);
        let load = || async {
            cache.forget_session(OTHER);
            cache.forget_grant(GrantId([2; 16]));
            Ok::<_, Infallible>(Some(session()))
        };
        let version = cache.session_version(HASH);
        assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
        assert!(is_cached(&cache, NOW).await && cache.is_current(&version));
        cache.forget_session(HASH);
        assert!(!is_cached(&cache, NOW).await && !cache.is_current(&version));
        let version = cache.session_version(HASH);
        cache.forget_everything();
        assert!(!cache.is_current(&version));
        let version = cache.session_version(HASH);
        cache.set_listener_connected(false);
        assert!(
            !cache.is_current(&version) && !cache.is_current(&cache.session_version(HASH)),
            "what is not heard of is not trusted"
        );
    }

    #[tokio::test]
    async fn what_was_seen_of_a_session_outlives_its_entry_until_it_is_written() {
        let cache = SessionCache::default();
        let hour = Duration::from_secs(3600);
        let settings = super::super::Settings { idle: hour, absolute: 10 * hour, sliding: true };
        let load = || ready(Ok::<_, Infallible>(Some(session())));
        let cached = cache.session(HASH, NOW, load).await.unwrap().unwrap();
        cache.touch(&cached, &settings, NOW.plus(hour / 2));
        cache.forget_everything();
        let cached = cache.session(HASH, NOW, load).await.unwrap().unwrap();
        assert_eq!(SessionCache::last_seen(&cached), NOW.plus(hour / 2));
    }

    #[tokio::test]
    async fn no_more_is_kept_than_the_settings_say() {
        let cache = SessionCache::new(&Settings { entries: 10 }, Metrics::default());
        cache.set_listener_connected(true);
        for number in 0..1000_u64 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            let session = Session { hash: SessionHash(hash), ..session() };
            cache.session(session.hash, NOW, || ready(Ok::<_, Infallible>(Some(session.clone())))).await.unwrap();
        }
        assert!((1..=10).contains(&cache.sizes().0), "{}", cache.sizes().0);
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
