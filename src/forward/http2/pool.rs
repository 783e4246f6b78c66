//! The connections of HTTP/2 to one upstream.
//!
//! A connection bears as many requests at the same time as the upstream says (`SETTINGS_MAX_CONCURRENT_STREAMS`, RFC 9113 section
//! 5.1.2). A request takes one with room, an idle one if there is any; another is opened where all are full, up to a limit, and
//! beyond that the request waits for a place.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    super::http1::reaper::{now, spawn_reaper},
    connection::{Http2Connection, Opener},
};
use crate::{
    forward::{error::ForwardError, upstream_connections::Pool},
    lock::{Mutex, MutexGuard},
};

/// So many connections are opened before one bears two requests at the same time: one alone would be served by one core, and lose
/// all its requests with a single packet.
const SPREAD: usize = 8;
/// The most connections. With the usual limit of 100 they bear 6,400 requests.
const MAX_CONNECTIONS: usize = 64;
/// The most requests that wait for a place.
const MAX_WAITING: usize = 1024;
/// How long a connection stays idle. One that is just being closed says which requests it still takes (GOAWAY), so that unlike
/// one of HTTP/1.1 it may stay as long as its server lets it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections to one upstream.
#[derive(Debug)]
pub(super) struct Http2Pool {
    opener: Opener,
    wait_timeout: Duration,
    state: Mutex<State>,
    /// There may be a place, or room for another connection.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    opening: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Entry {
    connection: Arc<Http2Connection>,
    /// So many requests are under way.
    load: usize,
    idle_since: Instant,
}

/// A request's place on a connection, held for as long as either half of its stream is open.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) connection: Arc<Http2Connection>,
    pool: Weak<Http2Pool>,
}

/// Which connection a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// The one at this position.
    Use(usize),
    /// Another, which is opened.
    Open,
    /// None: one of them may have room later.
    Wait,
}

/// What is known of a connection where one is chosen.
#[derive(Clone, Copy, Debug)]
struct Load {
    requests: usize,
    max: usize,
}

/// Counts a connection that is being opened.
struct Opening<'a>(&'a Http2Pool);

/// Counts a request that waits.
struct Waiting<'a>(&'a Http2Pool);

impl Http2Pool {
    /// An empty pool, with a task that closes idle connections for as long as the pool exists. A request waits no longer than
    /// `wait_timeout` for a place.
    pub(super) fn with_reaper(opener: Opener, wait_timeout: Duration) -> Arc<Self> {
        let pool = Arc::new(Self { opener, wait_timeout, state: Mutex::default(), changed: Notify::new() });
        spawn_reaper(&pool, Self::reap);
        pool
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Takes a place on a connection with room.
    ///
    /// # Errors
    /// [`ForwardError::Unreachable`], [`ForwardError::NoConnection`]; [`ForwardError::Busy`] if there was no place in time.
    pub(super) async fn checkout(self: &Arc<Self>) -> Result<Place, ForwardError> {
        let mut waiting = None;
        loop {
            let changed = self.changed.notified();
            match self.choose() {
                Ok(place) => return Ok(place),
                Err(Choice::Open) => return self.open().await,
                Err(Choice::Use(_) | Choice::Wait) => {}
            }
            // Whoever leaves a place looks for those who are counted: what was left before is looked for once more.
            let Some((_counted, deadline)) = &waiting else {
                waiting = Some(self.begin_to_wait()?);
                continue;
            };
            timeout_at(*deadline, changed).await.map_err(|_| ForwardError::Busy)?;
        }
    }

    /// Opens a connection for a request that is to go over a new one.
    ///
    /// # Errors
    /// As [`Http2Pool::checkout`].
    pub(super) async fn checkout_new(self: &Arc<Self>) -> Result<Place, ForwardError> {
        let is_full = {
            let mut state = self.lock();
            let is_full = state.entries.len() + state.opening >= MAX_CONNECTIONS;
            state.opening += usize::from(!is_full);
            is_full
        };
        if is_full { self.checkout().await } else { self.open().await }
    }

    /// Takes a place, or says what is to be done for one. A connection that is to be opened is counted.
    fn choose(self: &Arc<Self>) -> Result<Place, Choice> {
        let mut state = self.lock();
        state.entries.retain(|entry| !entry.connection.is_closed());
        let loads = state.entries.iter().map(|entry| Load { requests: entry.load, max: entry.connection.max_requests() });
        match choose(loads, state.opening) {
            Choice::Use(position) => {
                let Some(entry) = state.entries.get_mut(position) else { return Err(Choice::Wait) };
                entry.load += 1;
                Ok(Place { connection: Arc::clone(&entry.connection), pool: Arc::downgrade(self) })
            }
            Choice::Open => {
                state.opening += 1;
                Err(Choice::Open)
            }
            Choice::Wait => Err(Choice::Wait),
        }
    }

    /// Opens a connection, which was counted.
    async fn open(self: &Arc<Self>) -> Result<Place, ForwardError> {
        let opening = Opening(self);
        let pool = Arc::downgrade(self);
        let changed = move || pool.upgrade().into_iter().for_each(|pool| pool.changed.notify_waiters());
        let connection = Arc::new(self.opener.open(changed).await.map_err(ForwardError::of_connecting)?);
        self.lock().entries.push(Entry { connection: Arc::clone(&connection), load: 1, idle_since: now() });
        // It bears more than this request, for which others may wait.
        drop(opening);
        Ok(Place { connection, pool: Arc::downgrade(self) })
    }

    fn begin_to_wait(&self) -> Result<(Waiting<'_>, Instant), ForwardError> {
        let mut state = self.lock();
        if state.waiting >= MAX_WAITING {
            return Err(ForwardError::Busy);
        }
        state.waiting += 1;
        Ok((Waiting(self), now() + self.wait_timeout))
    }

    fn release(&self, connection: &Arc<Http2Connection>) {
        let mut state = self.lock();
        if let Some(entry) = state.entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.connection, connection)) {
            entry.load = entry.load.saturating_sub(1);
            entry.idle_since = now();
        }
        let is_waited_for = state.waiting > 0;
        drop(state);
        if is_waited_for {
            self.changed.notify_one();
        }
    }

    /// Lets go of connections that have been idle for too long, or have ended; h2 closes them.
    fn reap(&self) {
        let now = now();
        let is_kept = |entry: &Entry| entry.load > 0 || now.duration_since(entry.idle_since) < IDLE_TIMEOUT;
        self.lock().entries.retain(|entry| !entry.connection.is_closed() && is_kept(entry));
    }
}

impl State {
    /// The connection that has been idle for the longest time, and its position.
    fn longest_idle(&self) -> Option<(usize, &Entry)> {
        let idle = self.entries.iter().enumerate().filter(|(_, entry)| entry.load == 0);
        idle.min_by_key(|(_, entry)| entry.idle_since)
    }
}

impl Pool for Http2Pool {
    fn longest_idle_since(&self) -> Option<Instant> {
        self.lock().longest_idle().map(|(_, entry)| entry.idle_since)
    }

    fn close_longest_idle(&self) {
        let mut state = self.lock();
        if let Some((position, _)) = state.longest_idle() {
            state.entries.swap_remove(position);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.release(&self.connection);
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.opening = state.opening.saturating_sub(1);
        drop(state);
        // Where it could not be opened, whoever waited for it may try.
        self.0.changed.notify_waiters();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

/// Chooses among connections of these loads, while others are being opened.
fn choose(loads: impl Iterator<Item = Load>, opening: usize) -> Choice {
    let (mut open, mut best) = (0, None);
    for (position, load) in loads.enumerate() {
        open += 1;
        let is_better = best.is_none_or(|(requests, _)| load.requests < requests);
        if load.requests < load.max && is_better {
            best = Some((load.requests, position));
        }
    }
    match best {
        Some((0, idle)) => Choice::Use(idle),
        _ if open + opening < SPREAD => Choice::Open,
        Some((_, position)) => Choice::Use(position),
        // One after the other: the first may have room for all who wait.
        None if opening == 0 && open < MAX_CONNECTIONS => Choice::Open,
        None => Choice::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_an_idle_connection_or_another_up_to_eight_and_then_the_least_busy_and_waits_only_where_all_are_full() {
        let full = |count: usize| vec![(2, 2); count];
        for (loads, opening, choice) in [
            (vec![], 0, Choice::Open),
            (vec![], 7, Choice::Open),
            (vec![], 8, Choice::Wait),
            (vec![(0, 100)], 3, Choice::Use(0)),
            (vec![(1, 100)], 0, Choice::Open),
            (vec![(1, 100), (0, 100)], 0, Choice::Use(1)),
            // One that bears none is none.
            (vec![(0, 0)], 0, Choice::Open),
            (vec![(3, 100), (2, 100), (2, 100), (9, 9)], 4, Choice::Use(1)),
            (full(3), 4, Choice::Open),
            (full(8), 0, Choice::Open),
            (full(8), 1, Choice::Wait),
            ([full(8), vec![(1, 2)]].concat(), 1, Choice::Use(8)),
            (full(63), 0, Choice::Open),
            (full(64), 0, Choice::Wait),
        ] {
            let given = loads.iter().map(|(requests, max)| Load { requests: *requests, max: *max });
            assert_eq!(choose(given, opening), choice, "{loads:?}, {opening}");
        }
    }
}
