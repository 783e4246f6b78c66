//! Postgres, for production: several replicas share one database, and nothing else.

mod pool;

use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection as _, PgConnection, Row,
    migrate::{Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgListener},
};

use self::pool::Pool;
pub(super) use self::pool::PooledPostgres;
use super::{Change, StoreError, connection::Connection};
use crate::{backoff::back_off, grant::GrantId, secret::Secret, session::SessionHash};

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `CODER_PG_CONNECTION_URL`.
    pub url: Secret,
    /// `CODER_PG_CONN_MAX_OPEN`; one more is opened to listen for changes, and one for the heartbeat.
    pub max_open: u32,
}

#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    options: PgConnectOptions,
    /// The heartbeat's own connection, so that it does not queue for the pool.
    heartbeat: tokio::sync::Mutex<Option<PgConnection>>,
}

const CHANNEL: &str = "evergate_changes";
/// How often an idle listening connection is checked, and how long the check may take. Together they stay under the second within
/// which a revoked session is refused by every replica.
const LISTENER_CHECK: Duration = Duration::from_millis(400);
const LISTENER_CHECK_TIMEOUT: Duration = Duration::from_millis(400);
/// How long LISTEN may take on a new connection: one that hangs would leave this replica without announcements.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);
/// The pauses between tries to open the listening connection grow between these.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

impl Postgres {
    pub(super) fn open(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(settings.url.expose())?.application_name("evergate").disable_statement_logging();
        let pool = Pool::new(options.clone(), settings.max_open);
        Ok(Self { pool, options, heartbeat: tokio::sync::Mutex::default() })
    }

    /// Acquires a connection of the pool.
    pub(super) async fn connection(&self) -> Result<PooledPostgres<'_>, StoreError> {
        self.pool.connection().await.map_err(StoreError::Unconnected)
    }

    /// Closes all connections that are open now: the idle ones immediately, the others when their calls end.
    pub(super) fn discard_open_connections(&self) {
        self.pool.discard_open_connections();
    }

    /// Writes the heartbeat, over a new connection if the last one fails: there may be another primary by now. If Postgres accepts
    /// no further connection, an idle one of the pool is taken over.
    pub(super) async fn beat(&self, replica: &str, keys: &str) -> Result<(), StoreError> {
        self.pool.close_expired();
        // Taken out, so that a connection on which a heartbeat hangs is not used again.
        let mut own = self.heartbeat.lock().await;
        if let Some(mut connection) = own.take() {
            if Connection::Postgres(&mut connection).write_heartbeat(replica, keys).await.is_ok() {
                *own = Some(connection);
                return Ok(());
            }
            self.discard_open_connections();
        }
        match PgConnection::connect_with(&self.options).await {
            Ok(mut connection) => {
                Connection::Postgres(&mut connection).write_heartbeat(replica, keys).await?;
                *own = Some(connection);
                Ok(())
            }
            Err(error) => {
                let mut idle = self.pool.take_idle().ok_or(StoreError::Unconnected(error))?;
                Connection::Postgres(&mut idle.connection).write_heartbeat(replica, keys).await?;
                *own = Some(idle.connection);
                Ok(())
            }
        }
    }

    /// Whether the database answers at all.
    pub(super) async fn can_be_read(&self) -> bool {
        let Ok(mut connection) = PgConnection::connect_with(&self.options).await else { return false };
        sqlx::query("SELECT 1").execute(&mut connection).await.is_ok()
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let migration = |version, name: &'static str, text: &'static str| {
            Migration::new(version, name.into(), MigrationType::Simple, sqlx::SqlSafeStr::into_sql_str(text), false)
        };
        let migrations = vec![
            migration(1, "grants and sessions", include_str!("../../migrations/postgres/0001_grants_and_sessions.sql")),
            migration(
                2,
                "history and shared grants",
                include_str!("../../migrations/postgres/0002_history_and_shared_grants.sql"),
            ),
            migration(3, "replicas and knowledge", include_str!("../../migrations/postgres/0003_replicas_and_knowledge.sql")),
            migration(
                4,
                "logins, revocations and keys",
                include_str!("../../migrations/postgres/0004_logins_revocations_and_keys.sql"),
            ),
        ];
        // A newer replica may have migrated already; what it added, this one does not miss.
        let migrator = Migrator { migrations: migrations.into(), ignore_missing: true, ..Migrator::DEFAULT };
        migrator.run(&self.pool.separate()).await?;
        self.warn_of_lost_commits().await
    }

    /// Warns if commits can be lost: an intent that is lost in a crash of the server is a refresh token that may be presented
    /// twice.
    async fn warn_of_lost_commits(&self) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT current_setting('synchronous_commit') AS level").fetch_one(&self.pool.separate()).await?;
        if row.try_get::<&str, _>("level")? == "off" {
            tracing::warn!(
                "synchronous_commit is off in this Postgres: after a crash of it, a refresh token that was spent may be presented again, \
                 and a provider that rotates strictly ends that grant"
            );
        }
        Ok(())
    }

    pub(super) async fn listen(&self, announce: impl Fn(Change), connected: impl Fn(bool)) {
        let failures = AtomicU32::new(0);
        loop {
            let notify = |hears: bool| {
                if hears {
                    failures.store(0, Ordering::Relaxed);
                }
                connected(hears);
            };
            let error = self.listen_once(&announce, &notify).await.err();
            connected(false);
            tracing::debug!(
                error = error.as_ref().map(tracing::field::display),
                "the connection that listens for changes was lost"
            );
            let failed = failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            tokio::time::sleep(back_off(failed, RECONNECT.0, RECONNECT.1)).await;
        }
    }

    /// Announces changes until the connection is lost.
    async fn listen_once(&self, announce: &impl Fn(Change), connected: &impl Fn(bool)) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool.separate()).await?;
        listener.eager_reconnect(false);
        tokio::time::timeout(LISTEN_TIMEOUT, listener.listen(CHANNEL)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        // Changes that were made while no connection listened are unknown, so the receiver of `connected` drops its cache.
        connected(true);
        loop {
            match tokio::time::timeout(LISTENER_CHECK, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => announce(parse(notification.payload())),
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_quiet) => {
                    let alive = sqlx::query("SELECT 1").execute(&mut listener);
                    tokio::time::timeout(LISTENER_CHECK_TIMEOUT, alive).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                }
            }
        }
    }
}

fn parse(payload: &str) -> Change {
    let change = || match payload.split_once(' ')? {
        ("grant", id) => Some(Change::Grant(GrantId(unhex(id)?))),
        ("session", hash) => Some(Change::Session(SessionHash(unhex(hash)?))),
        (_, _) => None,
    };
    // An unknown payload comes from a newer schema: everything may have changed.
    change().unwrap_or(Change::Everything)
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_its_record_and_an_unknown_one_means_everything() {
        let id = GrantId([0xab; 16]);
        assert_eq!(parse(&format!("grant {id}")), Change::Grant(id));
        assert_eq!(parse(&format!("session {}", "01".repeat(32))), Change::Session(SessionHash([1; 32])));
        for odd in ["", "grant", "grant xx", "session 01", "other 01"] {
            assert_eq!(parse(odd), Change::Everything, "{odd:?}");
        }
    }
}
