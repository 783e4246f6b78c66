//! Postgres, for production: several replicas share one database, and nothing else.

mod connector;
mod durability;
mod encoding;
mod examination;
mod holders;
mod migrations;
mod pool;
mod url;
mod voices;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Executor, Row};
use tokio::time::{Instant, timeout};

pub use self::url::PostgresUrl;
pub(super) use self::{
    connector::BEGIN_LIMITED,
    pool::{PooledPostgres, Trust},
};
use self::{
    connector::{Connector, Line},
    pool::Pool,
    voices::Voices,
};
use super::{Change, Hearing, StoreError, connection::Connection, replica::Beat};

use crate::lock::Mutex;

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `CODER_PG_CONNECTION_URL`.
    pub url: PostgresUrl,
    /// `CODER_PG_LISTEN_URL`, where notifications are listened for elsewhere.
    pub listen_url: Option<PostgresUrl>,
    /// `CODER_PG_PASSWORD_FILE`, which is read whenever a connection is opened.
    pub password_file: Option<PathBuf>,
    /// `CODER_PG_CONN_MAX_OPEN`; two more are opened to hear of changes, and one for the heartbeat.
    pub max_open: u32,
    /// How many connections stay open while they are idle; `None` for all of them.
    pub max_idle: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool,
    connector: Arc<Connector>,
    voices: Voices,
    /// The heartbeat's own connection, so that it does not queue for the pool.
    heartbeat: tokio::sync::Mutex<Option<Heartbeat>>,
    /// How often the server was left, to which connections that are open for long may still lead.
    moves: Arc<AtomicU64>,
    /// When the server started that heartbeats were written to last, which no other has in common with it.
    server: Mutex<Option<String>>,
}

/// The heartbeat's connection.
#[derive(Debug)]
struct Heartbeat {
    line: Line,
    opened_at: Instant,
    /// The number of moves when it was opened.
    moves: u64,
}

/// The heartbeat's connection is made anew this often. A name or a proxy may lead to another server meanwhile, while the one before goes on:
/// nothing else would ever tell.
const HEARTBEAT_LIFETIME: Duration = Duration::from_secs(10);
/// How long that may take: a server or a network that takes no new connections at the moment is no outage while the old ones work.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long connecting may take at the start, and each question before anything is changed. How long migrations take depends on the
/// tables' sizes: one that is cut off begins anew, and never ends.
const START_TIMEOUT: Duration = Duration::from_secs(5);
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

impl Postgres {
    pub(super) fn open(settings: &PostgresSettings) -> Self {
        let connector = |url: &PostgresUrl| Arc::new(Connector::new(url.clone(), settings.password_file.clone()));
        let main = connector(&settings.url);
        let listener = settings.listen_url.as_ref().map(connector);
        let moves = Arc::<AtomicU64>::default();
        Self {
            pool: Pool::new(Arc::clone(&main), settings.max_open, settings.max_idle),
            voices: Voices::new(Arc::clone(&main), listener, Arc::clone(&moves)),
            connector: main,
            heartbeat: tokio::sync::Mutex::default(),
            moves,
            server: Mutex::default(),
        }
    }

    /// Acquires a connection of the pool.
    pub(super) async fn connection(&self, trust: Trust) -> Result<PooledPostgres<'_>, StoreError> {
        self.pool.connection(trust).await.map_err(StoreError::Unconnected)
    }

    /// Closes all connections that are open now: the idle ones immediately, the others when their calls end.
    pub(super) fn discard_open_connections(&self) {
        self.pool.discard_open_connections();
    }

    /// Leaves the server that connections lead to, because it may not be the one that others write to: all of them are made anew.
    pub(super) fn leave_server(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
        self.discard_open_connections();
    }

    /// Leaves the server before, if this is another one.
    fn arrive_at(&self, there: String) {
        let mut server = self.server.lock();
        let is_another = server.as_ref().is_some_and(|before| *before != there);
        *server = Some(there);
        drop(server);
        if is_another {
            tracing::info!("the database's address leads to another server, or to one that was started anew");
            self.leave_server();
        }
    }

    /// Writes the heartbeat, over a new connection if the last one fails or is old: there may be another primary by now. An old one that
    /// works is used on where there is no new one. If Postgres accepts no further connection, an idle one of the pool is taken over.
    pub(super) async fn beat(&self, replica: &str, keys: &str) -> Result<Beat, StoreError> {
        self.pool.close_expired();
        // Taken out, so that a connection on which a heartbeat hangs is not used again.
        let mut own = self.heartbeat.lock().await;
        let moves = self.moves.load(Ordering::Acquire);
        let mut newer = None;
        if let Some(mut before) = own.take().filter(|before| before.moves == moves) {
            if before.opened_at.elapsed() >= HEARTBEAT_LIFETIME {
                newer = timeout(RENEWAL_TIMEOUT, self.connector.connect()).await.ok().and_then(Result::ok);
                before.opened_at = now();
            }
            if newer.is_none() {
                if let Ok(beat) = write_heartbeat(&mut before.line, replica, keys).await {
                    *own = Some(before);
                    return Ok(beat);
                }
                self.discard_open_connections();
            }
        }
        let mut line = match newer {
            Some(line) => line,
            None => match self.connector.connect().await {
                Ok(line) => line,
                Err(error) => self.pool.take_idle().ok_or(StoreError::Unconnected(error))?.line,
            },
        };
        if let Some(there) = started_at(&mut line).await {
            self.arrive_at(there);
        }
        let beat = write_heartbeat(&mut line, replica, keys).await?;
        *own = Some(Heartbeat { line, opened_at: now(), moves: self.moves.load(Ordering::Acquire) });
        Ok(beat)
    }

    /// Whether the database answers at all.
    pub(super) async fn can_be_read(&self) -> bool {
        self.connector.connect().await.is_ok()
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let connected = timeout(START_TIMEOUT, self.connector.connect()).await;
        let connected = connected.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let mut connection = connected.map_err(StoreError::Unconnected)?.connection;
        let encoding = timeout(START_TIMEOUT, encoding::read(&mut connection)).await;
        let encoding = encoding.map_err(|_| StoreError::TimedOut(START_TIMEOUT))??;
        let state = timeout(START_TIMEOUT, migrations::state(&mut connection)).await;
        let state = state.map_err(|_| StoreError::TimedOut(START_TIMEOUT))??;
        if !encoding::holds_every_name(&encoding) {
            let error = StoreError::Encoding(encoding);
            if state.pending == migrations::count() {
                return Err(error);
            }
            // It has served so, and those whose names it holds are to be served on.
            tracing::error!(%error, "the database cannot hold every name (docs/postgres.md)");
        }
        if !state.leftovers.is_empty() {
            return Err(StoreError::Leftovers(state.leftovers.join(", ")));
        }
        if state.pending > 0 {
            tracing::info!("the database is brought up to date, which takes minutes where its tables are large");
            let migrated = timeout(MIGRATION_TIMEOUT, migrations::migrate(&mut connection)).await;
            migrated.map_err(|_| StoreError::TimedOut(MIGRATION_TIMEOUT))??;
        }
        let _warned = timeout(START_TIMEOUT, durability::warn(&mut connection)).await;
        Ok(())
    }

    /// Announces changes that others make, forever.
    pub(super) async fn listen(&self, announce: impl Fn(Change) + Sync, heard: impl Fn(Hearing) + Sync) {
        self.voices.listen(announce, heard).await;
    }
}

/// When the server was started, if it tells.
async fn started_at(line: &mut Line) -> Option<String> {
    let sql = "SELECT extract(epoch FROM pg_postmaster_start_time())::TEXT AS started_at";
    line.connection.fetch_one(sqlx::raw_sql(sql)).await.ok()?.try_get("started_at").ok()
}

#[expect(clippy::disallowed_methods, reason = "the age of a connection has nothing to do with tokens' times")]
fn now() -> Instant {
    Instant::now()
}

/// In a transaction, which a pooler gives one server process.
async fn write_heartbeat(line: &mut Line, replica: &str, keys: &str) -> Result<Beat, StoreError> {
    let mut connection = Connection::postgres(&mut line.connection, line.is_direct);
    let mut transaction = connection.begin().await?;
    let beat = transaction.connection().write_heartbeat(replica, keys).await?;
    transaction.commit().await?;
    Ok(beat)
}
