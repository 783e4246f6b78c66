//! Sessions and grants in memory, so that a signed-in request does not touch the database.
//!
//! Entries are dropped when the store announces a change. A load that overlaps a change is not kept, because
//! it may have read the row as it was before; and while announcements are cut off, entries live only for
//! [`BLIND_LIFE`].

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

/// How long an entry may be used while changes are not heard of.
pub const BLIND_LIFE: Duration = Duration::from_millis(500);

const CAPACITY: usize = 100_000;

/// What the store announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This grant's row was changed or removed.
    Grant(GrantId),
    /// This session was removed.
    Session(SessionHash),
    /// Anything may have changed.
    Everything,
}

/// The cache of one replica.
#[derive(Debug)]
pub struct SessionCache {
    sessions: Cache<SessionHash, Arc<Held>>,
    grants: Cache<GrantId, (Arc<Grant>, Timestamp)>,
    /// Sessions that were there when they were last looked at, which is remembered also while nothing of them can be trusted.
    existing: Cache<SessionHash, ()>,
    changes: AtomicU64,
    hears_changes: AtomicBool,
    touched: Mutex<HashMap<SessionHash, Timestamp>>,
    /// Of these no row tells yet that they have ended.
    unrecorded: Arc<UnrecordedEnds>,
}

/// A cached session, and the last request of it that this replica saw.
#[derive(Debug)]
pub struct Held {
    /// The session as it was loaded.
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
            hears_changes: AtomicBool::new(false),
            touched: Mutex::default(),
            unrecorded: Arc::default(),
        }
    }
}

impl SessionCache {
    /// The session of that name, from memory or by `load`.
    ///
    /// # Errors
    /// What `load` says; nothing is kept then.
    pub async fn session<E, F>(&self, hash: SessionHash, now: Timestamp, load: impl FnOnce() -> F) -> Result<Option<Arc<Held>>, E>
    where
        F: Future<Output = Result<Option<Session>, E>>,
    {
        if self.unrecorded.contains(&hash) {
            return Ok(None);
        }
        if let Some(held) = self.sessions.get(&hash).filter(|held| self.may_be_used(held.loaded_at, now)) {
            return Ok(Some(held));
        }
        let before = self.changes.load(Ordering::Acquire);
        let Some(session) = load().await? else { return Ok(None) };
        let held = Arc::new(Held { seen: AtomicI64::new(session.last_seen.0), session, loaded_at: now });
        self.sessions.insert(hash, Arc::clone(&held));
        self.existing.insert(hash, ());
        if self.changes.load(Ordering::Acquire) != before {
            self.sessions.remove(&hash);
        }
        Ok(Some(held))
    }

    /// The grant of that name, from memory or by `load`.
    ///
    /// # Errors
    /// What `load` says; nothing is kept then.
    pub async fn grant<E, F>(&self, id: GrantId, now: Timestamp, load: impl FnOnce() -> F) -> Result<Option<Arc<Grant>>, E>
    where
        F: Future<Output = Result<Option<Grant>, E>>,
    {
        if let Some((grant, _)) = self.grants.get(&id).filter(|(_, loaded_at)| self.may_be_used(*loaded_at, now)) {
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

    /// A name for what is in memory, which changes with every change that is heard of; `None` while they are not. What was
    /// looked up after one was given out is as good as looked up again for as long as the same is given out.
    pub fn as_of(&self) -> Option<u64> {
        self.hears_changes().then(|| self.changes.load(Ordering::Acquire))
    }

    fn may_be_used(&self, loaded_at: Timestamp, now: Timestamp) -> bool {
        self.hears_changes() || now.since(loaded_at) < BLIND_LIFE
    }

    /// Drops what a change has made untrue.
    pub fn apply(&self, change: Change) {
        // Counted first: a load that finishes between the two steps sees the count and does not stay.
        self.changes.fetch_add(1, Ordering::AcqRel);
        match change {
            Change::Grant(id) => {
                self.grants.remove(&id);
            }
            Change::Session(hash) => {
                self.sessions.remove(&hash);
                self.existing.remove(&hash);
            }
            Change::Everything => {
                self.sessions.clear();
                self.grants.clear();
            }
        }
    }

    /// Whether a session was there when it was last looked at, as far as this replica has heard since.
    pub fn knows(&self, hash: &SessionHash) -> bool {
        self.existing.peek(hash).is_some()
    }

    /// Sessions that have ended here and are not found any more, whatever the store says.
    pub fn unrecorded(&self) -> &Arc<UnrecordedEnds> {
        &self.unrecorded
    }

    /// Whether changes are being heard of.
    pub fn hears_changes(&self) -> bool {
        self.hears_changes.load(Ordering::Acquire)
    }

    /// Says whether changes are being heard of. What was loaded before they were cannot be trusted.
    pub fn set_hears_changes(&self, hears: bool) {
        if self.hears_changes.swap(hears, Ordering::AcqRel) != hears {
            self.apply(Change::Everything);
        }
    }

    /// The last request of a session that this replica knows of.
    pub fn last_seen(held: &Held) -> Timestamp {
        Timestamp(held.seen.load(Ordering::Relaxed))
    }

    /// Takes over what the store knows of other replicas' requests.
    pub fn was_seen(held: &Held, at: Timestamp) {
        held.seen.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Notes a request. Cheap: only the first one in [`Settings::granularity`] is put down to be written.
    pub fn touch(&self, held: &Held, settings: &Settings, now: Timestamp) {
        let seen = held.seen.load(Ordering::Relaxed);
        if now.since(Timestamp(seen)) < settings.granularity() {
            return;
        }
        if held.seen.compare_exchange(seen, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(held.session.hash, now);
        }
    }

    /// The requests to be written, which are now the caller's to keep or [`SessionCache::give_back`].
    pub fn take_touched(&self) -> Vec<(SessionHash, Timestamp)> {
        std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    /// Puts requests back that could not be written.
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
        cache.set_hears_changes(true);
        let load = || async {
            cache.apply(Change::Session(HASH));
            Ok::<_, Infallible>(Some(session()))
        };
        assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
        assert!(!is_cached(&cache, NOW).await);
    }

    #[tokio::test]
    async fn entries_live_only_briefly_while_changes_are_not_heard_of() {
        let cache = SessionCache::default();
        let load = || ready(Ok::<_, Infallible>(Some(session())));
        cache.session(HASH, NOW, load).await.unwrap();
        assert!(is_cached(&cache, NOW).await);
        assert!(!is_cached(&cache, NOW.plus(BLIND_LIFE)).await);
        cache.set_hears_changes(true);
        assert!(!is_cached(&cache, NOW).await, "what was loaded while deaf is dropped");
        cache.session(HASH, NOW, load).await.unwrap();
        assert!(is_cached(&cache, NOW.plus(Duration::from_secs(3600))).await);
    }
}
