//! A database that went back in time: noticed, put right from what this replica saw committed, and no refresh token presented until
//! the other replicas have done the same.
//!
//! It is noticed by this replica's heartbeat, whose count falls, before any other call passes the gate after an outage; and by each
//! row that is older than what this replica knows.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::stream::{self, StreamExt};
use tokio::sync::Notify;

use super::{Change, Store, StoreError, committed::Lost, heartbeat::DEAD_AFTER, operation::Operation};
use crate::{clock::Stopwatch, grant::GrantId, session::SessionHash, telemetry::metrics::Record};

/// How long no refresh token is presented after the database went back: as long as a replica that has not said that it lives counts
/// as living, and so may still put its grants right.
const HOLD: Duration = DEAD_AFTER;
/// What is noticed again within this time is of the same loss.
const QUIET: Duration = Duration::from_secs(60);
/// How many grants are put right concurrently.
const CONCURRENCY: usize = 4;
/// A heartbeat's row is deleted when it is a day old. One that is older than this is not compared.
const MAX_BEAT_AGE: Duration = Duration::from_secs(3600);
/// How many sessions wait to be looked up whose end was heard of.
const MAX_HEARD: usize = 10_000;

/// What this replica knows of the database's going back in time.
#[derive(Debug, Default)]
pub(super) struct Rollbacks {
    /// The count of the last heartbeat, and when it was written.
    last_beat: Mutex<Option<(i64, Stopwatch)>>,
    noticed: Mutex<Option<Stopwatch>>,
    needs_repair: Notify,
    is_repairing: AtomicBool,
    put_right: AtomicU64,
    /// Sessions whose end or move was announced.
    heard: Mutex<HashSet<SessionHash>>,
    has_heard: Notify,
    ended_again: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Takes the count of a heartbeat that was just written.
    pub(super) fn compare_beat(&self, beat: i64) {
        let last = lock(&self.rollbacks.last_beat).replace((beat, Stopwatch::start()));
        if last.is_some_and(|(last, at)| beat <= last && at.elapsed() < MAX_BEAT_AGE) {
            self.notice_rollback();
        }
    }

    /// Begins to hold back refresh tokens and to put right what is remembered.
    fn notice_rollback(&self) {
        let before = lock(&self.rollbacks.noticed).replace(Stopwatch::start());
        if before.is_none_or(|before| before.elapsed() > QUIET) {
            self.metrics.store_rollback();
            tracing::error!(
                "the database is older than what was committed, as after a failover to a standby that lagged or a restored backup: \
                 what this replica remembers is put right, and no refresh token is presented for a few seconds"
            );
        }
        if !self.rollbacks.is_repairing.load(Ordering::Acquire) {
            self.rollbacks.needs_repair.notify_one();
        }
    }

    /// Says in the metrics how much this replica remembers.
    pub fn measure_memory(&self) {
        let (grants, sessions) = self.committed.sizes();
        self.metrics.remembered(sessions, grants);
    }

    /// Whether refresh tokens are held back, because another replica may know of newer ones.
    pub fn holds_tokens_back(&self) -> bool {
        lock(&self.rollbacks.noticed).is_some_and(|noticed| noticed.elapsed() < HOLD)
    }

    /// Puts a row right. Whether or not it still needs that is the statement's to judge.
    pub(super) async fn put_right(&self, id: GrantId, lost: &Lost) -> Result<(), StoreError> {
        let is_put_right =
            self.call(Operation::PutRight, |connection| Box::pin(connection.put_right(id, lost, &self.replica))).await?;
        if is_put_right {
            self.notice_rollback();
            self.rollbacks.put_right.fetch_add(1, Ordering::Relaxed);
            self.metrics.put_right(Record::Grant);
            self.announce(Change::Grant(id));
        }
        Ok(())
    }

    /// Puts right, for as long as it runs, what this replica remembers whenever the database has gone back.
    pub async fn run_repairs(&self) {
        loop {
            self.rollbacks.needs_repair.notified().await;
            self.rollbacks.is_repairing.store(true, Ordering::Release);
            let (grants, sessions) = self.committed.all();
            loop {
                self.until_writable().await;
                if self.repair(&grants, &sessions).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            self.rollbacks.is_repairing.store(false, Ordering::Release);
            tracing::error!(
                grants.put_right = self.rollbacks.put_right.swap(0, Ordering::Relaxed),
                grants.remembered = grants.len(),
                sessions.ended_again = self.rollbacks.ended_again.swap(0, Ordering::Relaxed),
                "what this replica remembered of an older database is put right; what no living replica remembers stays as it is"
            );
        }
    }

    async fn repair(&self, grants: &[GrantId], sessions: &[SessionHash]) -> Result<(), StoreError> {
        let mut read =
            stream::iter(grants.iter().copied()).map(|id| async move { self.grant(id).await }).buffer_unordered(CONCURRENCY);
        while let Some(result) = read.next().await {
            match result {
                Err(error) if !error.is_refusal() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        for hash in sessions {
            match self.end_session(*hash).await {
                Ok(Some(_)) => {
                    self.rollbacks.ended_again.fetch_add(1, Ordering::Relaxed);
                    self.metrics.put_right(Record::Session);
                }
                Err(error) if !error.is_refusal() => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes note of a session whose end or move was announced.
    pub(super) fn note_announced(&self, hash: SessionHash) {
        let mut heard = lock(&self.rollbacks.heard);
        if heard.len() < MAX_HEARD {
            heard.insert(hash);
            self.rollbacks.has_heard.notify_one();
        }
    }

    /// Finds out, for as long as it runs, which of the announced sessions have ended, to end them again should the database forget
    /// it.
    pub async fn run_end_memory(&self) {
        loop {
            self.rollbacks.has_heard.notified().await;
            let heard = std::mem::take(&mut *lock(&self.rollbacks.heard));
            let unknown = heard.into_iter().filter(|hash| !self.committed.has_ended(hash));
            let mut looked_up =
                stream::iter(unknown).map(|hash| async move { (hash, self.session(hash).await) }).buffer_unordered(CONCURRENCY);
            while let Some((hash, session)) = looked_up.next().await {
                if matches!(session, Ok(None)) {
                    self.committed.session_ended(hash);
                }
            }
        }
    }
}
