//! A connection while a call runs on it, which goes back to the pool only if the call succeeded.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use crate::store::StoreError;

/// One of the pool's connections. Closed, unless [`Held::settle`] is told of a success: after a failure, as that of a commit on
/// a full disk, sqlx and SQLite can be of different minds on whether a transaction is open. What is written on such a connection
/// is never committed, and it keeps the file's only write lock from all others. To open another costs a millisecond.
#[derive(Debug)]
pub(in crate::store) struct Held {
    connection: PoolConnection<Sqlite>,
    is_sound: bool,
}

impl Held {
    pub(super) fn new(connection: PoolConnection<Sqlite>) -> Self {
        Self { connection, is_sound: false }
    }

    /// What became of the call.
    pub(in crate::store) fn settle<T>(&mut self, done: &Result<T, StoreError>) {
        self.is_sound = done.is_ok();
    }
}

impl Deref for Held {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

impl Drop for Held {
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
                connection.settle::<()>(&Err(failure));
            }
            drop(connection);
            sqlite.beat("one", "").await.unwrap();
            write_from_elsewhere(&file).await.unwrap();
        }
    }
}
