//! Sessions and grants in memory, so that requests of authenticated users do not touch the database.
//!
//! Entries are dropped when the store announces a change. A load that overlaps a change of the same record is not cached, because
//! it may have read the row as it was before. While the listener is not connected, entries live only for [`DISCONNECTED_TTL`].
//!
//! What may not be used any more without asking the store is kept: during an outage of the store sessions are served from it for a
//! grace, which counts from when their record was last known to be true. For as long it also comes before what a copy of the store has that
//! may lag.

mod changes;

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::{Limit, Session, SessionHash, ended_users::EndedUsers, unrecorded::UnrecordedEnds};
use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    lock::Mutex,
    reading::Reading,
    telemetry::metrics::{Metrics, Record},
};

use changes::{Changes, Key};

pub use changes::Version;

/// How long an entry may be used while the listener is not connected.
pub const DISCONNECTED_TTL: Duration = Duration::from_millis(500);

/// Settings of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_SESSION_CACHE_ENTRIES`: how many sessions are kept, and how many grants.
    pub entries: usize,
    /// `CODER_STORE_OUTAGE_GRACE`: how long sessions are served from memory while the store cannot be asked.
    pub outage_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { entries: 100_000, outage_grace: Duration::ZERO }
    }
}

/// One replica's cache of sessions and grants.
#[derive(Debug)]
pub struct SessionCache {
    sessions: Cache<SessionHash, Entry<CachedSession>>,
    grants: Cache<GrantId, Entry<Grant>>,
    changes: Changes,
    touched: Mutex<HashMap<SessionHash, Timestamp>>,
    /// Sessions that have ended on this replica and whose end is not in the store yet.
    unrecorded: Arc<UnrecordedEnds>,
    ended_users: Arc<EndedUsers>,
    outage_grace: Duration,
    metrics: Metrics,
}

/// A cached session, and the time of its last request that this replica knows of.
#[derive(Debug)]
pub struct CachedSession {
    /// The session, as it was loaded.
    pub session: Session,
    seen: AtomicI64,
}

impl CachedSession {
    /// Returns the time of the session's last request that this replica knows of.
    pub fn last_seen(&self) -> Timestamp {
        Timestamp(self.seen.load(Ordering::Relaxed))
    }

    /// Merges the time of the last request that the store has, which another replica may have handled.
    pub fn was_seen(&self, at: Timestamp) {
        self.seen.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Returns the limit that the session has reached at `now`, if any, as far as this replica knows.
    pub fn reached(&self, limits: &super::Settings, now: Timestamp) -> Option<Limit> {
        limits.reached(&self.session, self.last_seen(), now)
    }
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
            changes: Changes::default(),
            touched: Mutex::default(),
            unrecorded: Arc::default(),
            ended_users: Arc::new(EndedUsers::new(settings.outage_grace)),
            outage_grace: settings.outage_grace,
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
        F: Future<Output = Result<Option<Reading<Session>>, E>>,
    {
        if self.unrecorded.contains(&hash) {
            return Ok(None);
        }
        if let Some(entry) = self.sessions.get(&hash).filter(|entry| self.is_usable(entry, now)) {
            return Ok(Some(entry.record));
        }
        self.metrics.loaded(Record::Session);
        let version = self.changes.version(&hash);
        let Some(loaded) = load().await? else { return Ok(None) };
        let loaded = loaded.map(CachedSession::from);
        // What this replica has seen of it may not be in the store yet.
        let seen = self.touched.lock().get(&hash).copied();
        let record = self.keep(&self.sessions, hash, version, loaded, now);
        if let Some(seen) = seen {
            record.was_seen(seen);
        }
        Ok(Some(record))
    }

    /// Returns the grant from memory, or by `load`.
    ///
    /// # Errors
    /// The error of `load`; nothing is cached then.
    pub async fn grant<E, F>(&self, id: GrantId, now: Timestamp, load: impl FnOnce() -> F) -> Result<Option<Arc<Grant>>, E>
    where
        F: Future<Output = Result<Option<Reading<Grant>>, E>>,
    {
        if let Some(entry) = self.grants.get(&id).filter(|entry| self.is_usable(entry, now)) {
            return Ok(Some(entry.record));
        }
        self.metrics.loaded(Record::Grant);
        let version = self.changes.version(&id);
        let Some(loaded) = load().await? else { return Ok(None) };
        let loaded = loaded.map(|mut grant| {
            // A row that is read anew, because anything may have changed, has mostly the access token that it had.
            if let Some(known) = self.grants.peek(&id).filter(|known| known.record.access_token == grant.access_token) {
                grant.exchanged = known.record.exchanged.shared();
            }
            grant
        });
        Ok(Some(self.keep(&self.grants, id, version, loaded, now)))
    }

    /// Keeps a record that was loaded at `version`, and returns what is true of it as far as is known. What memory holds was true until
    /// announcements stopped arriving, so that a copy of the store that may lag has nothing newer.
    fn keep<K: Copy + Eq + Hash + Key, T>(
        &self,
        entries: &Cache<K, Entry<T>>,
        key: K,
        version: Version,
        loaded: Reading<T>,
        now: Timestamp,
    ) -> Arc<T> {
        let is_current = loaded.is_current();
        let held = || entries.get(&key).filter(|entry| self.is_within_grace(entry, now)).map(|entry| entry.record);
        let known = if is_current { None } else { held() };
        let record = known.unwrap_or_else(|| Arc::new(loaded.even_if_old()));
        if !is_current && changes::hears(version.era) {
            // No announcement will tell that it is old: it is true of no version, and is loaded again.
            self.changes.record(&key, || ());
            return record;
        }
        self.changes.unless_changed(&version, || {
            entries.insert(key, Entry { record: Arc::clone(&record), loaded_at: now, era: version.era });
        });
        record
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
        // A clock that was set back says nothing of an entry's age.
        let is_young = entry.loaded_at <= now && now.since(entry.loaded_at) < DISCONNECTED_TTL;
        era == entry.era && (changes::hears(era) || is_young)
    }

    /// Drops a grant that was changed or removed. Returns whether it was in memory.
    pub fn forget_grant(&self, id: GrantId) -> bool {
        let mut was_known = false;
        self.changes.record(&id, || was_known = self.grants.remove(&id).is_some());
        was_known
    }

    /// Drops a session that was removed.
    pub fn forget_session(&self, hash: SessionHash) {
        self.changes.record(&hash, || drop(self.sessions.remove(&hash)));
    }

    /// Makes everything be loaded again, because anything may have changed.
    pub fn forget_everything(&self) {
        self.changes.begin_anew();
    }

    /// Whether the session existed at its last lookup by this replica.
    pub fn knows(&self, hash: &SessionHash) -> bool {
        self.sessions.peek(hash).is_some()
    }

    /// Returns a session and its grant as they were last known, while the store cannot be asked. `None`: one of them is not known,
    /// or both were last known to be true longer ago than the grace, or the session has ended here.
    pub fn remembered(&self, hash: SessionHash, now: Timestamp) -> Option<(Arc<CachedSession>, Arc<Grant>)> {
        if self.outage_grace.is_zero() || self.unrecorded.contains(&hash) {
            return None;
        }
        let session = self.sessions.get(&hash).filter(|entry| self.is_within_grace(entry, now))?.record;
        let grant = self.grants.get(&session.session.grant).filter(|entry| self.is_within_grace(entry, now))?.record;
        Some((session, grant))
    }

    fn is_within_grace<T>(&self, entry: &Entry<T>, now: Timestamp) -> bool {
        let last_true = self.changes.last_true(entry.era, entry.loaded_at, now);
        // Neither does a clock that was set back prolong the grace.
        last_true.is_some_and(|at| now.is_within(self.outage_grace, at))
    }

    /// The sessions in memory that `is_meant` selects, with the grant that they pointed to if that is in memory, whether or not
    /// they may be used now.
    pub fn find_known(&self, is_meant: impl Fn(&Session, Option<&Grant>) -> bool) -> Vec<SessionHash> {
        let known = self.sessions.iter().filter(|(_, entry)| {
            let session = &entry.record.session;
            let grant = self.grants.peek(&session.grant);
            is_meant(session, grant.as_ref().map(|entry| &*entry.record))
        });
        known.map(|(hash, _)| hash).collect()
    }

    /// The other sessions in memory of a session's user.
    pub fn find_others_of_user(&self, hash: SessionHash) -> Vec<SessionHash> {
        let own = self.sessions.peek(&hash).and_then(|session| self.grants.peek(&session.record.session.grant));
        let Some(own) = own.map(|entry| entry.record) else { return Vec::new() };
        let is_users =
            |grant: &Grant| grant.identity.subject == own.identity.subject && grant.registration() == own.registration();
        self.find_known(|session, grant| session.hash != hash && grant.is_some_and(is_users))
    }

    /// The other sessions in memory of a session's login.
    pub fn find_others_of_login(&self, hash: SessionHash) -> Vec<SessionHash> {
        let Some(own) = self.sessions.peek(&hash) else { return Vec::new() };
        let login = own.record.session.login.unwrap_or(hash);
        self.find_known(|session, _| session.hash != hash && (session.hash == login || session.login == Some(login)))
    }

    /// Counts a request that was served with a remembered session.
    pub fn count_remembered(&self) {
        self.metrics.served_from_memory();
    }

    /// Whether what changes is to be read again before it is asked for, so that an outage of the store finds it in memory.
    pub fn keeps_up(&self) -> bool {
        !self.outage_grace.is_zero() && self.is_listener_connected()
    }

    /// Sessions that have ended on this replica; lookups do not find them, whatever the store holds.
    pub fn unrecorded(&self) -> &Arc<UnrecordedEnds> {
        &self.unrecorded
    }

    /// Users whom their provider has had ended.
    pub fn ended_users(&self) -> &Arc<EndedUsers> {
        &self.ended_users
    }

    /// Whether announcements of changes arrive.
    pub fn is_listener_connected(&self) -> bool {
        changes::hears(self.changes.era())
    }

    /// Sets whether announcements of changes arrive. All entries may have changed unannounced, and are loaded again.
    pub fn set_listener_connected(&self, connected: bool, now: Timestamp) {
        if self.is_listener_connected() != connected {
            self.changes.begin_era(connected, now);
        }
    }

    /// How many sessions and grants are in memory.
    pub fn sizes(&self) -> (usize, usize) {
        (self.sessions.len(), self.grants.len())
    }

    /// Records a request. Only the first one in [`Settings::granularity`](super::Settings::granularity) is queued to be written, and
    /// that of a token, by which its user sees whether it was ever used.
    pub fn touch(&self, cached: &CachedSession, settings: &super::Settings, now: Timestamp) {
        let seen = cached.seen.load(Ordering::Relaxed);
        let is_first = || cached.session.token.is_some() && seen == cached.session.created_at.0;
        if now.since(Timestamp(seen)) < settings.granularity() && !is_first() {
            return;
        }
        if cached.seen.compare_exchange(seen, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let mut touched = self.touched.lock();
            touched.insert(cached.session.hash, now);
            // The login lasts as long as it is used at any site.
            touched.extend(cached.session.login.map(|login| (login, now)));
        }
    }

    /// Takes the last-seen times that wait to be written. The caller writes them, or calls [`SessionCache::give_back`].
    pub fn take_touched(&self) -> Vec<(SessionHash, Timestamp)> {
        std::mem::take(&mut *self.touched.lock()).into_iter().collect()
    }

    /// Puts back last-seen times that could not be written.
    pub fn give_back(&self, touched: Vec<(SessionHash, Timestamp)>) {
        let mut pending = self.touched.lock();
        for (hash, seen) in touched {
            pending.entry(hash).and_modify(|later| *later = (*later).max(seen)).or_insert(seen);
        }
    }
}

#[cfg(test)]
mod tests;
