//! The database behind the store, and one call to it: within a deadline, and again on another connection where the first one was
//! at fault.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Change, Hearing, Settings, StoreError,
    connection::Connection,
    error::Fault,
    facts::DatabaseFacts,
    gate::Access,
    origin::Origin,
    postgres::{Postgres, Trust},
    replica::Beat,
    sqlite::Sqlite,
};

/// How long one call may take, waiting for a connection included.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a call is repeated on another connection.
const MAX_REPEATS: u32 = 2;

/// The statements of one call, under way. Boxed, because no generic parameter could say of an `async` closure's future that it
/// is [`Send`].
pub(super) type Statements<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

#[derive(Clone, Debug)]
pub(super) enum Backend {
    Postgres(Arc<Postgres>),
    Sqlite(Arc<Sqlite>),
}

impl Backend {
    /// What OpenTelemetry calls the database.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgresql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// Opens the database, without connecting to it.
    pub(super) fn open(settings: &Settings) -> Result<Self, StoreError> {
        Ok(match settings {
            Settings::Postgres(settings) => Self::Postgres(Arc::new(Postgres::open(settings))),
            Settings::Sqlite(path) => Self::Sqlite(Arc::new(Sqlite::open(path)?)),
        })
    }

    /// Whether other machines may share the database.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Runs `statements` on a pooled connection, and says which server has answered. What writes is sent to none that takes no writes:
    /// a statement that finds nothing to write would succeed there.
    pub(super) async fn call<'a, T>(
        &'a self,
        access: Access,
        statements: impl for<'c> Fn(&'c mut Connection<'a>) -> Statements<'c, T>,
    ) -> Result<(T, Origin), StoreError> {
        let (deadline, mut repeats) = (deadline(), 0..MAX_REPEATS);
        let mut trust = if access.may_repeat(Fault::Broken) { Trust::Recent } else { Trust::None };
        loop {
            let Ok(connected) = timeout_at(deadline, self.connection(trust)).await else {
                return Err(StoreError::Unconnected(sqlx::Error::PoolTimedOut));
            };
            let mut connection = connected?;
            let origin = connection.origin();
            // Within the connection's life: one on which a call hangs must not go back to the pool.
            let result = timeout_at(deadline, async {
                if access != Access::Read && origin == Origin::Standby {
                    return Err(StoreError::Standby);
                }
                connection.begin_call().await?;
                let value = statements(&mut connection).await?;
                connection.commit_call().await?;
                Ok((value, origin))
            });
            let result = result.await;
            let result = result.unwrap_or(Err(StoreError::TimedOut(DEADLINE)));
            connection.finish(&result);
            let Err(error) = &result else { return result };
            if error.spoils_all_connections() {
                self.discard_open_connections();
            }
            let is_late = matches!(error, StoreError::TimedOut(_));
            if is_late || !access.may_repeat(error.fault()) || repeats.next().is_none() {
                return result;
            }
            trust = Trust::None;
        }
    }

    async fn connection(&self, trust: Trust) -> Result<Connection<'_>, StoreError> {
        Ok(match self {
            Self::Postgres(postgres) => Connection::PooledPostgres(postgres.connection(trust).await?),
            Self::Sqlite(sqlite) => Connection::PooledSqlite(sqlite.connection().await?),
        })
    }

    /// Closes all connections that are open now, where they may lead to a server that is not the primary any more. SQLite's lead
    /// to one file.
    pub(super) fn discard_open_connections(&self) {
        match self {
            Self::Postgres(postgres) => postgres.discard_open_connections(),
            Self::Sqlite(_) => {}
        }
    }

    /// Leaves the server that connections lead to. There is no other of SQLite's.
    pub(super) fn leave_server(&self) {
        match self {
            Self::Postgres(postgres) => postgres.leave_server(),
            Self::Sqlite(_) => {}
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(postgres) => postgres.migrate().await,
            Self::Sqlite(sqlite) => sqlite.migrate().await,
        }
    }

    /// Announces changes that other processes make, forever. `heard` is told how they are heard of, whenever that changes.
    pub(super) async fn listen(&self, announce: impl Fn(Change) + Sync, heard: impl Fn(Hearing) + Sync) {
        match self {
            Self::Postgres(postgres) => postgres.listen(announce, heard).await,
            Self::Sqlite(sqlite) => sqlite.listen(announce, heard).await,
        }
    }

    /// Writes this replica's heartbeat, and returns how many it has written.
    pub(super) async fn beat(&self, replica: &str, keys: &str) -> Result<Beat, StoreError> {
        match self {
            Self::Postgres(postgres) => postgres.beat(replica, keys).await,
            Self::Sqlite(sqlite) => sqlite.beat(replica, keys).await,
        }
    }

    /// What the database is like; `None` for SQLite.
    pub(super) async fn examine(&self) -> Result<Option<DatabaseFacts>, StoreError> {
        match self {
            Self::Postgres(postgres) => match timeout_at(deadline(), postgres.examine()).await {
                Ok(facts) => facts.map(Some),
                Err(_) => Err(StoreError::TimedOut(DEADLINE)),
            },
            Self::Sqlite(_) => Ok(None),
        }
    }

    /// Whether the database answers a read.
    pub(super) async fn can_be_read(&self) -> bool {
        match self {
            Self::Postgres(postgres) => postgres.can_be_read().await,
            Self::Sqlite(sqlite) => sqlite.can_be_read().await,
        }
    }
}

/// When a call that begins now must have ended.
#[expect(clippy::disallowed_methods, reason = "how long a call may take has nothing to do with tokens' times")]
fn deadline() -> Instant {
    Instant::now() + DEADLINE
}
