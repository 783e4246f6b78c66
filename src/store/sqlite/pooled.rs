//! A SQLite connection that goes back to its pool only if the call on it succeeded.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use crate::store::StoreError;

/// A connection of the pool, which is closed unless [`PooledSqlite::finish`] is told of a success.
///
/// After a failure, such as a commit on a full disk, sqlx and SQLite can disagree on whether a transaction is open. What is
/// written on such a connection is never committed, and it holds the file's only write lock. Opening another costs a millisecond.
#[derive(Debug)]
pub(in crate::store) struct PooledSqlite {
    connection: PoolConnection<Sqlite>,
    is_sound: bool,
}

impl PooledSqlite {
    pub(super) fn new(connection: PoolConnection<Sqlite>) -> Self {
        Self { connection, is_sound: false }
    }

    /// Says what became of the call.
    pub(in crate::store) fn finish<T>(&mut self, done: &Result<T, StoreError>) {
        self.is_sound = done.is_ok();
    }
}

impl Deref for PooledSqlite {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for PooledSqlite {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for PooledSqlite {
    fn drop(&mut self) {
        if !self.is_sound {
            self.connection.close_on_drop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::{Connection, SqliteConnection};

    use crate::store::{StoreError, sqlite::Sqlite};

    async fn write_from_elsewhere(file: &Path) -> Result<(), sqlx::Error> {
        let mut elsewhere = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?;
        sqlx::query("DELETE FROM replicas").execute(&mut elsewhere).await?;
        elsewhere.close().await
    }

    #[tokio::test]
    async fn what_a_failed_or_dropped_call_left_open_keeps_nobody_from_writing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("evergate.sqlite");
        let sqlite = Sqlite::open(&file).unwrap();
        sqlite.migrate().await.unwrap();
        for failure in [Some(StoreError::from(sqlx::Error::WorkerCrashed)), None] {
            let mut connection = sqlite.connection().await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.unwrap();
            if let Some(failure) = failure {
                connection.finish::<()>(&Err(failure));
            }
            drop(connection);
            sqlite.beat("one", "").await.unwrap();
            write_from_elsewhere(&file).await.unwrap();
        }
    }
}
