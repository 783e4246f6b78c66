//! The pool of Postgres connections, with a queue of its own.
//!
//! sqlx's pool has one deadline for queueing and connecting together, first come, first served. Where many calls queue, the next
//! one has no time left to connect, the connection that was begun is dropped, and so it goes on for as long as requests come, with
//! Postgres idle. So calls queue for a permit here, and the time to connect begins when they have it.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::store::StoreError;

/// How long a call queues for a permit, and how long connecting may take then. The rest of the call's deadline is for its
/// statements.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Pool {
    connections: PgPool,
    permits: Semaphore,
    discarded: Arc<DiscardedUntil>,
}

/// A connection of the pool, and the permit of the call that holds it.
pub(in crate::store) struct PooledPostgres<'a> {
    // Declared, and so dropped, before the permit: the connection is back in the pool when the next call gets the permit.
    connection: PoolConnection<Postgres>,
    _permit: SemaphorePermit<'a>,
}

impl Deref for PooledPostgres<'_> {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for PooledPostgres<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl PooledPostgres<'_> {
    /// Closes the connection after a failure that leaves it of no further use.
    pub(in crate::store) fn finish<T>(&mut self, done: &Result<T, StoreError>) {
        if done.as_ref().is_err_and(StoreError::spoils_connection) {
            self.connection.close_on_drop();
        }
    }
}

impl Pool {
    /// Makes a pool of `limit` connections for calls, and one more for the listener.
    pub(super) fn new(options: PgConnectOptions, limit: u32) -> Self {
        let discarded = Arc::<DiscardedUntil>::default();
        let checked = Arc::clone(&discarded);
        let connections = PgPoolOptions::new()
            .max_connections(limit.saturating_add(1))
            .acquire_timeout(CONNECT_TIMEOUT)
            .before_acquire(move |_, connection| {
                let usable = !checked.covers(connection.age);
                Box::pin(async move { Ok(usable) })
            })
            .connect_lazy_with(options);
        let permits = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { connections, permits: Semaphore::new(permits), discarded }
    }

    /// Acquires a connection for one call.
    pub(super) async fn connection(&self) -> Result<PooledPostgres<'_>, sqlx::Error> {
        let acquired =
            tokio::time::timeout(QUEUE_TIMEOUT, self.permits.acquire()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let permit = acquired.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(PooledPostgres { connection: self.connections.acquire().await?, _permit: permit })
    }

    /// The connections without the queue, for migrations, the listener, and a heartbeat that cannot open its own.
    pub(super) fn connections(&self) -> &PgPool {
        &self.connections
    }

    /// Closes all connections that are open now, each when it is next acquired.
    pub(super) fn discard_open_connections(&self) {
        self.discarded.set_to_now();
    }
}

/// The time up to which connections were opened that are not used any more: they may lead to a server that was the primary.
#[derive(Debug, Default)]
struct DiscardedUntil(Mutex<Option<Instant>>);

impl DiscardedUntil {
    #[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
    fn set_to_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn covers(&self, age: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until.elapsed() <= age)
    }
}
