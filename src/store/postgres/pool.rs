//! The pool of Postgres connections.
//!
//! It is our own because of what sqlx's pool does when a line hangs. sqlx has one deadline for queueing and connecting together, so
//! that under load a call whose turn comes has no time left to connect; and a connection that is given back is pinged without a
//! deadline while it holds its place, so that each line that hangs at that moment costs a place for good. Here calls queue for a
//! permit, the time to connect begins when they have it, and giving a connection back asks the server nothing.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::connector::{Connector, Line};
use crate::{
    backoff::back_off,
    lock::{Mutex, MutexGuard},
    store::{StoreError, origin::Origin},
};

/// How long a call queues for a permit, and how long it may take then to find an idle connection that works, or to open one. The
/// rest of the call's deadline is for its statements.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an idle connection may take to answer before a new one is opened instead.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// For how long after its use an idle connection is taken to work without a question, by calls that are repeated on another one
/// where it does not. A question takes as long as most statements.
const RECENT: Duration = Duration::from_millis(100);
/// The first and the longest pause between tries to connect to a server that refuses connections.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));
/// A connection is closed when it is this old, so that servers that come back get their share, and after this long without use.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);

/// Which idle connections a call takes without asking whether they still work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Trust {
    /// None.
    None,
    /// Those that were used a moment ago.
    Recent,
}

#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<Connector>,
    permits: Semaphore,
    /// How many connections may be idle.
    max_idle: usize,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The connection that was used last is at the end, and is used next.
    idle: Vec<IdleConnection>,
    /// Connections that were opened before this are not used any more: they may lead to a server that was the primary.
    discarded_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct IdleConnection {
    pub(super) line: Line,
    opened_at: Instant,
    idle_since: Instant,
}

/// A connection of the pool, and the permit of the call that holds it. If it is dropped before [`PooledPostgres::finish`], as when
/// the call is cancelled, it is closed: nobody knows what it was doing.
pub(in crate::store) struct PooledPostgres<'a> {
    line: Line,
    opened_at: Instant,
    pool: &'a Pool,
    permit: SemaphorePermit<'a>,
}

impl Deref for PooledPostgres<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.line.connection
    }
}

impl DerefMut for PooledPostgres<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.line.connection
    }
}

impl PooledPostgres<'_> {
    /// Whether the connection leads to one server process for as long as it is open.
    pub(in crate::store) fn is_direct(&self) -> bool {
        self.line.is_direct
    }

    /// Which server answers, as far as is known.
    pub(in crate::store) fn origin(&self) -> Origin {
        match &self.line {
            Line { is_writable: false, .. } => Origin::Standby,
            Line { is_direct: false, .. } => Origin::Pooler,
            Line { .. } => Origin::Primary,
        }
    }

    /// Gives the connection back after a call, or closes it if the result leaves it of no further use.
    pub(in crate::store) fn finish<T>(self, result: &Result<T, StoreError>) {
        let Self { line, opened_at, pool, permit } = self;
        // A transaction that was not ended would hold its locks for as long as the connection is idle: sqlx sends the ROLLBACK with
        // the next statement. Closing ends it immediately.
        let is_mid_transaction = line.connection.is_in_transaction() || line.connection.should_flush();
        let is_worth_keeping = !is_mid_transaction && !line.is_makeshift;
        if is_worth_keeping && !result.as_ref().is_err_and(StoreError::spoils_connection) {
            pool.give_back(line, opened_at);
        }
        // Only now, so that the next call finds the connection.
        drop(permit);
    }
}

impl Pool {
    /// Makes a pool of `limit` connections, of which `max_idle` may be idle.
    pub(super) fn new(connector: Arc<Connector>, limit: u32, max_idle: Option<u32>) -> Self {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let permits = number(limit).min(Semaphore::MAX_PERMITS);
        let max_idle = max_idle.map_or(usize::MAX, number);
        Self { connector, permits: Semaphore::new(permits), max_idle, state: Mutex::default() }
    }

    /// Acquires a connection for one call.
    ///
    /// # Errors
    /// None came free, or none could be opened in time; the error is the server's last one, if it gave any.
    pub(super) async fn connection(&self, trust: Trust) -> Result<PooledPostgres<'_>, sqlx::Error> {
        let permit = timeout(QUEUE_TIMEOUT, self.permits.acquire()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut failure = sqlx::Error::PoolTimedOut;
        let opened = timeout(CONNECT_TIMEOUT, self.idle_or_new(trust, &mut failure)).await;
        let (line, opened_at) = opened.unwrap_or(Err(failure))?;
        Ok(PooledPostgres { line, opened_at, pool: self, permit })
    }

    /// An idle connection that answers, or is trusted to, or a new one. `failure` is why there is none yet, for whoever waits no longer.
    #[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
    async fn idle_or_new(&self, trust: Trust, failure: &mut sqlx::Error) -> Result<(Line, Instant), sqlx::Error> {
        while let Some(IdleConnection { mut line, opened_at, idle_since }) = self.take_idle() {
            if trust == Trust::Recent && idle_since.elapsed() < RECENT && line.is_writable {
                return Ok((line, opened_at));
            }
            // The server may have closed it, or be gone: a statement that must not be repeated should not be what finds out.
            match timeout(PING_TIMEOUT, line.still_works()).await {
                Ok(Ok(())) => return Ok((line, opened_at)),
                Ok(Err(_closed)) => {}
                // The others may hang as well, and this call has no time for more of them.
                Err(_hangs) => break,
            }
        }
        let mut failures = 0;
        loop {
            match self.connector.connect().await {
                Ok(line) => return Ok((line, Instant::now())),
                Err(error) if may_pass(&error) => {
                    failures += 1;
                    *failure = error;
                    tokio::time::sleep(back_off(failures, RETRY.0, RETRY.1)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The connection that was used last, if any is idle.
    pub(super) fn take_idle(&self) -> Option<IdleConnection> {
        let mut state = self.state();
        state.close_expired();
        state.idle.pop()
    }

    #[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
    fn give_back(&self, line: Line, opened_at: Instant) {
        let mut state = self.state();
        if state.idle.len() >= self.max_idle {
            return;
        }
        state.idle.push(IdleConnection { line, opened_at, idle_since: Instant::now() });
        state.close_expired();
    }

    /// Closes connections that have been idle for long or are old.
    pub(super) fn close_expired(&self) {
        self.state().close_expired();
    }

    /// Closes all connections that are open now: the idle ones immediately, the others when their calls end.
    #[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
    pub(super) fn discard_open_connections(&self) {
        let mut state = self.state();
        state.discarded_until = Some(Instant::now());
        state.close_expired();
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }
}

impl PoolState {
    fn close_expired(&mut self) {
        let discarded_until = self.discarded_until;
        self.idle.retain(|idle| {
            let is_discarded = discarded_until.is_some_and(|until| idle.opened_at <= until);
            !is_discarded && idle.opened_at.elapsed() < MAX_LIFETIME && idle.idle_since.elapsed() < MAX_IDLE
        });
    }
}

/// Whether a server that could not be connected to may accept a connection in a moment: it starts or stops, or has as many
/// connections as it may have.
fn may_pass(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let is_refused = matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused);
    is_refused || matches!(code.as_deref(), Some("57P03" | "53300"))
}
