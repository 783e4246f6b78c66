//! SQLite, embedded: one file, one gateway, no database server.

mod pooled;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(super) use pooled::PooledSqlite;

use super::{Change, Hearing, StoreError, connection::Connection, replica::Beat};

#[derive(Debug)]
pub(super) struct Sqlite {
    pool: SqlitePool,
}

/// How often the file is checked for writes by another process.
const POLL: Duration = Duration::from_millis(400);

impl Sqlite {
    /// Creates the file and its folder if they do not exist, readable by their owner alone, because the file holds names and
    /// e-mail addresses. SQLite gives its companion files the same permissions.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(sqlx::Error::Io)?;
        }
        fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // A saved refresh token must survive a power cut, because the one before it is used up.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(3))
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(3)).connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// Acquires a connection of the pool.
    pub(super) async fn connection(&self) -> Result<PooledSqlite, StoreError> {
        self.pool.acquire().await.map(PooledSqlite::new).map_err(StoreError::Unconnected)
    }

    /// Whether the file can be read.
    pub(super) async fn can_be_read(&self) -> bool {
        let Ok(mut connection) = self.connection().await else { return false };
        let done = sqlx::query("SELECT COUNT(*) FROM replicas").execute(&mut *connection).await.map_err(StoreError::from);
        connection.finish(&done);
        done.is_ok()
    }

    /// Writes the heartbeat.
    pub(super) async fn beat(&self, replica: &str, keys: &str) -> Result<Beat, StoreError> {
        let mut connection = self.connection().await?;
        let done = Connection::Sqlite(&mut connection).write_heartbeat(replica, keys).await.map_err(StoreError::from);
        connection.finish(&done);
        done
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let migration = |version, name: &'static str, text: &'static str| {
            Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlSafeStr::into_sql_str(text), false)
        };
        let migrations = vec![
            migration(1, "grants and sessions", include_str!("../../migrations/sqlite/0001_grants_and_sessions.sql")),
            migration(2, "history and shared grants", include_str!("../../migrations/sqlite/0002_history_and_shared_grants.sql")),
            migration(3, "replicas and knowledge", include_str!("../../migrations/sqlite/0003_replicas_and_knowledge.sql")),
            migration(
                4,
                "logins, revocations and keys",
                include_str!("../../migrations/sqlite/0004_logins_revocations_and_keys.sql"),
            ),
            migration(6, "costs that do not grow", include_str!("../../migrations/sqlite/0006_costs_that_do_not_grow.sql")),
            migration(7, "heartbeats are counted", include_str!("../../migrations/sqlite/0007_heartbeats_are_counted.sql")),
            migration(8, "sessions have a site", include_str!("../../migrations/sqlite/0008_sessions_have_a_site.sql")),
            migration(10, "personal access tokens", include_str!("../../migrations/sqlite/0010_personal_access_tokens.sql")),
            migration(11, "sessions share a login", include_str!("../../migrations/sqlite/0011_sessions_share_a_login.sql")),
            migration(
                12,
                "sessions tell what opened them",
                include_str!("../../migrations/sqlite/0012_sessions_tell_what_opened_them.sql"),
            ),
            migration(13, "users are ended", include_str!("../../migrations/sqlite/0013_users_are_ended.sql")),
            migration(14, "posts are kept", include_str!("../../migrations/sqlite/0014_posts_are_kept.sql")),
            migration(15, "administrators search", include_str!("../../migrations/sqlite/0015_administrators_search.sql")),
            migration(16, "SCIM users", include_str!("../../migrations/sqlite/0016_scim_users.sql")),
            migration(17, "provider hours", include_str!("../../migrations/sqlite/0017_provider_hours.sql")),
            migration(18, "history is searched", include_str!("../../migrations/sqlite/0018_history_is_searched.sql")),
            migration(19, "administrators are named", include_str!("../../migrations/sqlite/0019_administrators_are_named.sql")),
            migration(
                20,
                "clients follow one another",
                include_str!("../../migrations/sqlite/0020_clients_follow_one_another.sql"),
            ),
            migration(21, "tokens by age", include_str!("../../migrations/sqlite/0021_tokens_by_age.sql")),
            migration(22, "codes are dated", include_str!("../../migrations/sqlite/0022_codes_are_dated.sql")),
            migration(23, "deleted users come back", include_str!("../../migrations/sqlite/0023_deleted_users_come_back.sql")),
        ];
        let migrator = Migrator { migrations: migrations.into(), ignore_missing: true, ..Migrator::DEFAULT };
        Ok(migrator.run(&self.pool).await?)
    }

    /// Polls `data_version`, which shows that another process (the command line) has changed the file. It also counts writes of
    /// this process's pool, which are announced more precisely, so that a cache entry is at worst read once more.
    pub(super) async fn listen(&self, announce: impl Fn(Change), heard: impl Fn(Hearing)) {
        let mut last = None;
        loop {
            match self.version(&mut last).await {
                Ok(changed) => {
                    heard(Hearing::Polling);
                    if changed {
                        announce(Change::Everything);
                    }
                }
                Err(error) => {
                    heard(Hearing::Nothing);
                    tracing::debug!(%error, "the database file cannot be checked for changes");
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether the file was written to since the last call.
    async fn version(&self, last: &mut Option<(PooledSqlite, i64)>) -> Result<bool, StoreError> {
        // Versions can be compared only on one connection, which is therefore kept.
        let (mut connection, before) = match last.take() {
            Some((connection, version)) => (connection, Some(version)),
            None => (self.connection().await?, None),
        };
        let version: i64 = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *connection).await?;
        *last = Some((connection, version));
        Ok(before.is_some_and(|before| before != version))
    }
}
