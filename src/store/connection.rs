//! A connection, a transaction, a statement and a row, each of either database.
//!
//! Statements are written once, against these types. sqlx's `Any` driver would do the same at the price of the databases' own
//! types, and generic code would repeat sqlx's bounds on every function.

use sqlx::{
    Connection as _, Decode, Encode, PgConnection, Postgres, Row as _, SqlSafeStr as _, Sqlite, SqliteConnection, Type,
    postgres::{PgArguments, PgRow, PgTransactionManager},
    sqlite::{SqliteArguments, SqliteRow},
};
use sqlx_core::transaction::TransactionManager as _;

use super::{
    StoreError,
    origin::Origin,
    postgres::{BEGIN_LIMITED, PooledPostgres},
    sql::Sql,
    sqlite::PooledSqlite,
};

/// A connection that statements run on: one of a pool, which is a call's own, or one that somebody else holds.
pub(super) enum Connection<'c> {
    PooledPostgres(PooledPostgres<'c>),
    PooledSqlite(PooledSqlite),
    Postgres(&'c mut PgConnection, Naming),
    Sqlite(&'c mut SqliteConnection),
}

/// Whether the statements of a Postgres connection are prepared under a name, under which they are found again. That takes one server
/// process for as long as the connection is open, which a pooler may not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Named,
    Unnamed,
}

enum Borrowed<'c> {
    Postgres(&'c mut PgConnection, Naming),
    Sqlite(&'c mut SqliteConnection),
}

impl<'c> Connection<'c> {
    /// A connection that somebody else holds.
    pub(super) fn postgres(connection: &'c mut PgConnection, is_direct: bool) -> Self {
        Self::Postgres(connection, Naming::of(is_direct))
    }
}

impl Naming {
    fn of(is_direct: bool) -> Self {
        if is_direct { Self::Named } else { Self::Unnamed }
    }
}

impl Connection<'_> {
    /// A statement that is still to be given its arguments.
    pub(super) fn query(&mut self, sql: impl Into<Sql>) -> Query<'_> {
        let sql = sql.into();
        match self.borrow() {
            Borrowed::Postgres(connection, naming) => {
                Query::Postgres(connection, sqlx::query(sql.postgres).persistent(naming == Naming::Named))
            }
            Borrowed::Sqlite(connection) => Query::Sqlite(connection, sqlx::query(sql.sqlite)),
        }
    }

    /// Begins a transaction, which is rolled back unless [`Transaction::commit`] succeeds.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(match self.borrow() {
            Borrowed::Postgres(connection, naming) => Transaction::Postgres(connection.begin().await?, naming),
            Borrowed::Sqlite(connection) => Transaction::Sqlite(connection.begin().await?),
        })
    }

    /// Begins a call. Behind a pooler it is one transaction as a whole, in which those of its statements are savepoints: a statement
    /// takes two messages, and outside of a transaction each of them may reach another server process. It has the limit of statements
    /// that other connections have from their beginning.
    pub(super) async fn begin_call(&mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.behind_a_pooler() {
            // Nothing has been asked of the database yet.
            PgTransactionManager::begin(connection, Some(BEGIN_LIMITED.into_sql_str())).await.map_err(StoreError::Unconnected)?;
        }
        Ok(())
    }

    /// Ends a call whose statements have succeeded.
    ///
    /// # Errors
    /// [`StoreError::Commit`]: it may have been committed all the same.
    pub(super) async fn commit_call(&mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.behind_a_pooler() {
            PgTransactionManager::commit(connection).await.map_err(StoreError::Commit)?;
        }
        Ok(())
    }

    fn behind_a_pooler(&mut self) -> Option<&mut PgConnection> {
        match self {
            Self::PooledPostgres(pooled) => (!pooled.is_direct()).then_some(&mut **pooled),
            Self::PooledSqlite(_) | Self::Postgres(..) | Self::Sqlite(_) => None,
        }
    }

    /// Gives a pooled connection back to its pool after a call, or closes it if the call's result says that it is of no further
    /// use.
    pub(super) fn finish<T>(self, result: &Result<T, StoreError>) {
        match self {
            Self::PooledPostgres(pooled) => pooled.finish(result),
            Self::PooledSqlite(mut pooled) => pooled.finish(result),
            Self::Postgres(..) | Self::Sqlite(_) => {}
        }
    }

    /// Which server answers, as far as is known.
    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::PooledPostgres(pooled) => pooled.origin(),
            // One file, or the heartbeat's connection, which shows by its writing what it leads to.
            Self::PooledSqlite(_) | Self::Postgres(..) | Self::Sqlite(_) => Origin::Primary,
        }
    }

    pub(super) fn is_postgres(&self) -> bool {
        match self {
            Self::PooledPostgres(_) | Self::Postgres(..) => true,
            Self::PooledSqlite(_) | Self::Sqlite(_) => false,
        }
    }

    fn borrow(&mut self) -> Borrowed<'_> {
        match self {
            Self::PooledPostgres(pooled) => {
                let naming = Naming::of(pooled.is_direct());
                Borrowed::Postgres(pooled, naming)
            }
            Self::PooledSqlite(pooled) => Borrowed::Sqlite(pooled),
            Self::Postgres(connection, naming) => Borrowed::Postgres(connection, *naming),
            Self::Sqlite(connection) => Borrowed::Sqlite(connection),
        }
    }
}

/// A transaction that has begun.
#[derive(Debug)]
pub(super) enum Transaction<'c> {
    Postgres(sqlx::Transaction<'c, Postgres>, Naming),
    Sqlite(sqlx::Transaction<'c, Sqlite>),
}

impl Transaction<'_> {
    /// The connection that the transaction runs on.
    pub(super) fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Postgres(transaction, naming) => Connection::Postgres(transaction, *naming),
            Self::Sqlite(transaction) => Connection::Sqlite(transaction),
        }
    }

    /// Commits.
    ///
    /// # Errors
    /// [`StoreError::Commit`]: it may have been committed all the same.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction, _) => transaction.commit().await,
            Self::Sqlite(transaction) => transaction.commit().await,
        }
        .map_err(StoreError::Commit)
    }

    /// Takes everything back.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(transaction, _) => transaction.rollback().await?,
            Self::Sqlite(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }
}

/// A statement with its arguments, and the connection that it is to run on.
pub(super) enum Query<'c> {
    Postgres(&'c mut PgConnection, sqlx::query::Query<'static, Postgres, PgArguments>),
    Sqlite(&'c mut SqliteConnection, sqlx::query::Query<'static, Sqlite, SqliteArguments>),
}

impl Query<'_> {
    /// Gives the statement its next argument: `$1`, then `$2`, and so on.
    pub(super) fn bind<'t>(self, value: impl Argument<'t>) -> Self {
        match self {
            Self::Postgres(connection, query) => Self::Postgres(connection, query.bind(value)),
            Self::Sqlite(connection, query) => Self::Sqlite(connection, query.bind(value)),
        }
    }

    /// Runs the statement and returns how many rows it affected.
    pub(super) async fn execute(self) -> Result<u64, sqlx::Error> {
        match self {
            Self::Postgres(connection, query) => query.execute(connection).await.map(|done| done.rows_affected()),
            Self::Sqlite(connection, query) => query.execute(connection).await.map(|done| done.rows_affected()),
        }
    }

    /// Runs the statement to its end and returns its rows.
    ///
    /// A statement that writes and returns rows needs this one on SQLite, even if it returns one row at most: SQLite commits after
    /// the last row, and whoever stops at the first does not hear of a commit that fails.
    pub(super) async fn fetch_all(self) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Postgres(connection, query) => query.fetch_all(connection).await?.into_iter().map(Row::Postgres).collect(),
            Self::Sqlite(connection, query) => query.fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect(),
        })
    }

    /// Runs the statement and returns its first row, if there is one.
    pub(super) async fn fetch_optional(self) -> Result<Option<Row>, sqlx::Error> {
        Ok(match self {
            Self::Postgres(connection, query) => query.fetch_optional(connection).await?.map(Row::Postgres),
            Self::Sqlite(connection, query) => query.fetch_optional(connection).await?.map(Row::Sqlite),
        })
    }

    /// Runs the statement and returns its first row.
    ///
    /// # Errors
    /// [`sqlx::Error::RowNotFound`] when there is none.
    pub(super) async fn fetch_one(self) -> Result<Row, sqlx::Error> {
        self.fetch_optional().await?.ok_or(sqlx::Error::RowNotFound)
    }
}

/// A row that a statement returned.
#[derive(Debug)]
pub(super) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    /// The value of a column.
    pub(super) fn get<'r, T: Column<'r>>(&'r self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }
}

/// A value that both databases take as an argument.
pub(super) trait Argument<'t>: Encode<'t, Postgres> + Type<Postgres> + Encode<'t, Sqlite> + Type<Sqlite> {}

impl<'t, T: Encode<'t, Postgres> + Type<Postgres> + Encode<'t, Sqlite> + Type<Sqlite>> Argument<'t> for T {}

/// A value that both databases give out of a column.
pub(super) trait Column<'r>: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite> {}

impl<'r, T: Decode<'r, Postgres> + Type<Postgres> + Decode<'r, Sqlite> + Type<Sqlite>> Column<'r> for T {}
