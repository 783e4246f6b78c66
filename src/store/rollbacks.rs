//! What this replica knows of a database that went back in time: when it noticed, and what it is doing about it.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use super::replica::DEAD_AFTER;
use crate::{clock::Stopwatch, lock::Mutex, session::SessionHash, telemetry::metrics::Record};

/// How long no refresh token is presented after the database went back: as long as a replica that has not said that it lives counts
/// as living, and so may still put its grants right.
const HOLD: Duration = DEAD_AFTER;
/// What is noticed again within this time is of the same loss.
const QUIET: Duration = Duration::from_secs(60);
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
    ended_again: AtomicU64,
    users_ended_again: AtomicU64,
    heard: Mutex<Heard>,
    has_heard: Notify,
}

/// Sessions whose end or move was announced.
#[derive(Debug, Default)]
struct Heard {
    /// Those that have not been looked up yet.
    waiting: HashSet<SessionHash>,
    /// Those that are being looked up.
    looked_up: HashSet<SessionHash>,
}

/// A replica, and how many heartbeats of its own it saw committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastBeat<'a> {
    pub(super) replica: &'a str,
    pub(super) count: i64,
}

/// Where a heartbeat shows that the database went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// On from the last one, or nothing is known.
    Onward,
    /// Back in time.
    Back,
}

impl LastBeat<'_> {
    /// Whether nothing is known of this replica's heartbeats, as where none are written.
    pub(super) fn is_unknown(&self) -> bool {
        self.count == 0
    }
}

impl Rollbacks {
    /// The count of the last heartbeat that may be compared; 0 if there is none.
    pub(super) fn last_beat(&self) -> i64 {
        self.last_beat.lock().filter(|(_, at)| at.elapsed() < MAX_BEAT_AGE).map_or(0, |(count, _)| count)
    }

    /// Takes the count of a heartbeat that was just written.
    pub(super) fn observe(&self, beat: i64) -> Direction {
        let last = self.last_beat.lock().replace((beat, Stopwatch::start()));
        let is_back = last.is_some_and(|(last, at)| beat <= last && at.elapsed() < MAX_BEAT_AGE);
        if is_back { Direction::Back } else { Direction::Onward }
    }

    /// Begins to hold back refresh tokens, and asks for a repair unless one is under way. Returns whether this is a new loss.
    pub(super) fn notice(&self) -> bool {
        let before = self.noticed.lock().replace(Stopwatch::start());
        if !self.is_repairing.load(Ordering::Acquire) {
            self.needs_repair.notify_one();
        }
        before.is_none_or(|before| before.elapsed() > QUIET)
    }

    /// Whether refresh tokens are held back.
    pub(super) fn holds_tokens_back(&self) -> bool {
        self.noticed.lock().is_some_and(|noticed| noticed.elapsed() < HOLD)
    }

    /// Waits until a repair is asked for, which begins then.
    pub(super) async fn begin_repair(&self) {
        self.needs_repair.notified().await;
        self.is_repairing.store(true, Ordering::Release);
    }

    /// Ends a repair, and returns how many grants were put right, and how many sessions and users ended again.
    pub(super) fn end_repair(&self) -> [u64; 3] {
        self.is_repairing.store(false, Ordering::Release);
        [&self.put_right, &self.ended_again, &self.users_ended_again].map(|counter| counter.swap(0, Ordering::Relaxed))
    }

    /// Counts a user who was ended again.
    pub(super) fn count_user(&self) {
        self.users_ended_again.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a row that was put right.
    pub(super) fn count(&self, record: Record) {
        let counter = match record {
            Record::Grant => &self.put_right,
            Record::Session => &self.ended_again,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of a session whose end or move was announced.
    pub(super) fn hear(&self, hash: SessionHash) {
        let mut heard = self.heard.lock();
        if heard.waiting.len() < MAX_HEARD {
            heard.waiting.insert(hash);
            self.has_heard.notify_one();
        }
    }

    /// Waits until a session's end or move is announced, and returns all that were, which are to be looked up.
    pub(super) async fn heard(&self) -> HashSet<SessionHash> {
        self.has_heard.notified().await;
        let mut heard = self.heard.lock();
        heard.looked_up = std::mem::take(&mut heard.waiting);
        heard.looked_up.clone()
    }

    /// Whether the session's end or move was announced, and it has not been found out which.
    pub(super) fn is_in_doubt(&self, hash: &SessionHash) -> bool {
        let heard = self.heard.lock();
        heard.waiting.contains(hash) || heard.looked_up.contains(hash)
    }

    /// Ends a look-up; those of which nothing was found out are looked up again.
    pub(super) fn looked_up(&self, in_doubt: &[SessionHash]) {
        self.heard.lock().looked_up.clear();
        in_doubt.iter().for_each(|hash| self.hear(*hash));
    }
}
