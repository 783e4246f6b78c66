//! The connections of one replica, and whose turn it is.
//!
//! sqlx's pool has one deadline for waiting and connecting together, first come, first served. Where many wait, whoever's turn
//! it is has no time left to connect, what was begun is thrown away, and so it goes on for as long as requests come, with
//! Postgres idle. So a place is waited for here, and the time to connect begins with the turn.

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

/// How long a place is waited for, and how long it may take to connect then. What is left of a call's time is its own.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_CONNECT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Pool {
    connections: PgPool,
    places: Semaphore,
    condemned: Arc<Condemned>,
}

/// A connection, and the place that its holder has.
pub(in crate::store) struct PooledPostgres<'a> {
    // Goes back before the next one's turn comes.
    connection: PoolConnection<Postgres>,
    _place: SemaphorePermit<'a>,
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
    /// What became of the call: whether the connection is of further use.
    pub(in crate::store) fn finish<T>(&mut self, done: &Result<T, StoreError>) {
        if done.as_ref().is_err_and(StoreError::spoils_connection) {
            self.connection.close_on_drop();
        }
    }
}

impl Pool {
    /// `most` for calls, and one more for whoever listens.
    pub(super) fn new(options: PgConnectOptions, most: u32) -> Self {
        let condemned = Arc::<Condemned>::default();
        let judged = Arc::clone(&condemned);
        let connections = PgPoolOptions::new()
            .max_connections(most.saturating_add(1))
            .acquire_timeout(LONGEST_CONNECT)
            .before_acquire(move |_, connection| {
                let usable = !judged.has(connection.age);
                Box::pin(async move { Ok(usable) })
            })
            .connect_lazy_with(options);
        let places = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { connections, places: Semaphore::new(places), condemned }
    }

    /// A connection for one call, in its turn.
    pub(super) async fn connection(&self) -> Result<PooledPostgres<'_>, sqlx::Error> {
        let turn = tokio::time::timeout(LONGEST_WAIT, self.places.acquire()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let place = turn.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(PooledPostgres { connection: self.connections.acquire().await?, _place: place })
    }

    /// For whoever needs no turn: migrations, the listener, and a heartbeat that has no room of its own.
    pub(super) fn connections(&self) -> &PgPool {
        &self.connections
    }

    /// Closes, when they are next looked at, all connections that are open now.
    pub(super) fn discard_open_connections(&self) {
        self.condemned.all_until_now();
    }
}

/// Until when connections were opened that are not to be used any more: they may lead to a server that was the primary.
#[derive(Debug, Default)]
struct Condemned(Mutex<Option<Instant>>);

impl Condemned {
    #[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
    fn all_until_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn has(&self, age: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| until.elapsed() <= age)
    }
}
