//! The connection pool: keep-alive connections that are idle between two requests.
//!
//! What a server sends on an idle connection would be read as the response to the next request, which may be another user's. A
//! connection is therefore looked at before it is used again, and not used before it has been idle for a moment in which the server
//! could have sent more than its response says. A server that does so is not trusted with a second request of a connection for a
//! while.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::{Connection, IdleActivity},
    reaper::{now, spawn_reaper},
};

/// The most connections that are kept idle.
const MAX_IDLE: usize = 1024;
/// So long none is kept of a server that has sent bytes that no request asked for. They show a defect, which does not go away soon.
const DISTRUST: Duration = Duration::from_secs(600);
/// A connection bears no further request after so long, so that an app whose name leads elsewhere by then is found there.
const MAX_AGE: Duration = Duration::from_secs(300);
/// So long a server is taken to close connections unannounced that has closed one before its limit.
const EARLY_CLOSE_MEMORY: Duration = Duration::from_secs(60);
/// No server's own timeout of idle connections is shorter: a 408 that comes sooner belongs to a response.
const MIN_SERVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections to one server.
#[derive(Debug, Default)]
pub struct IdlePool {
    /// The server's address, for the log.
    server: String,
    /// A connection has been idle for so long before it is used again.
    min_idle: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those in front have been idle for the longest time.
    connections: VecDeque<IdleConnection>,
    distrusted_until: Option<Instant>,
    closes_early_until: Option<Instant>,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Box<Connection>,
    since: Instant,
    until: Instant,
}

/// Whether an idle connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Usable,
    /// It has been idle for as long as it may.
    Expired,
    /// The server has closed it before its limit.
    ClosedEarly,
    /// The server has sent bytes that no request asked for.
    Surplus,
}

/// What becomes of a request if the server closes the connection in the moment in which it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClose {
    /// It is sent once more over another.
    Repeat,
    /// It is lost.
    Lose,
}

/// The right of a connection to go back to the pool that it belongs to.
#[derive(Debug)]
pub(super) struct Reuse {
    pub(super) pool: Arc<IdlePool>,
    /// How long the connection may stay idle.
    pub(super) idle_limit: Duration,
}

impl IdleConnection {
    fn condition(&mut self, now: Instant) -> Condition {
        match self.connection.check_idle() {
            IdleActivity::Quiet if now < self.until => Condition::Usable,
            IdleActivity::Quiet => Condition::Expired,
            IdleActivity::TimeoutResponse if now.duration_since(self.since) < MIN_SERVER_TIMEOUT => Condition::Surplus,
            IdleActivity::Closed | IdleActivity::TimeoutResponse if now < self.until => Condition::ClosedEarly,
            IdleActivity::Closed | IdleActivity::TimeoutResponse => Condition::Expired,
            IdleActivity::Surplus => Condition::Surplus,
        }
    }
}

impl Reuse {
    pub(super) fn release(self, connection: Box<Connection>) {
        self.pool.release(connection, self.idle_limit);
    }
}

impl IdlePool {
    /// An empty pool of connections to `server`, with a task that closes connections which nobody uses, for as long as the pool
    /// exists. None is used again before it has been idle for `min_idle`.
    pub fn with_reaper(server: String, min_idle: Duration) -> Arc<Self> {
        let pool = Arc::new(Self { server, min_idle, state: Mutex::default() });
        spawn_reaper(&pool, Self::reap);
        pool
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that has been idle for the shortest time, but for long enough. There is none for a request that would
    /// be lost while the server closes connections unannounced.
    pub fn checkout(&self, on_close: OnClose) -> Option<Box<Connection>> {
        let now = now();
        loop {
            let mut idle = self.take(on_close, now)?;
            match idle.condition(now) {
                Condition::Usable => return Some(idle.connection),
                unusable @ (Condition::Expired | Condition::ClosedEarly | Condition::Surplus) => self.note(unusable),
            }
        }
    }

    fn take(&self, on_close: OnClose, now: Instant) -> Option<IdleConnection> {
        let mut state = self.lock();
        if on_close == OnClose::Lose && state.closes_early_until.is_some_and(|until| now < until) {
            return None;
        }
        let youngest = state.connections.iter().rposition(|idle| now.duration_since(idle.since) >= self.min_idle)?;
        state.connections.remove(youngest)
    }

    /// Takes back a connection that may stay idle for so long.
    fn release(&self, connection: Box<Connection>, idle_limit: Duration) {
        let now = now();
        if now.duration_since(connection.opened) >= MAX_AGE {
            return;
        }
        let mut state = self.lock();
        if state.distrusted_until.is_some_and(|until| now < until) {
            return;
        }
        if state.connections.len() >= MAX_IDLE {
            state.connections.pop_front();
        }
        state.connections.push_back(IdleConnection { connection, since: now, until: now + idle_limit });
    }

    fn note(&self, condition: Condition) {
        match condition {
            Condition::Usable | Condition::Expired => {}
            Condition::ClosedEarly => self.note_early_close(),
            Condition::Surplus => self.note_surplus(),
        }
    }

    /// Notes that the server has closed a connection that it should have kept.
    pub fn note_early_close(&self) {
        let until = now() + EARLY_CLOSE_MEMORY;
        self.lock().closes_early_until = Some(until);
    }

    /// Notes that the server has sent bytes that no request asked for. Any connection may have more of them on its way.
    pub(super) fn note_surplus(&self) {
        let now = now();
        let mut state = self.lock();
        let was_known = state.distrusted_until.replace(now + DISTRUST).is_some_and(|until| now < until);
        let connections = std::mem::take(&mut state.connections);
        drop(state);
        drop(connections);
        if !was_known {
            tracing::warn!(
                upstream.address = %self.server,
                "an upstream sends more than its responses say; its connections bear one request each for ten minutes"
            );
        }
    }

    /// Since when the connection is idle that has been so for the longest time.
    pub fn longest_idle_since(&self) -> Option<Instant> {
        self.lock().connections.front().map(|idle| idle.since)
    }

    /// Closes that one.
    pub fn close_longest_idle(&self) {
        // Not dropped under the lock.
        let _closed = self.lock().connections.pop_front();
    }

    /// Closes the connections whose limit is over, and those that the server has closed.
    fn reap(&self) {
        let (now, mut found) = (now(), Vec::new());
        self.lock().connections.retain_mut(|idle| {
            let condition = idle.condition(now);
            if condition != Condition::Usable {
                found.push(condition);
            }
            condition == Condition::Usable
        });
        found.into_iter().for_each(|condition| self.note(condition));
    }
}

#[cfg(test)]
mod tests;
