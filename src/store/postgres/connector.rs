//! Opens connections: to the host that takes writes, with the password of this moment, and knowing whether a pooler is in between.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use sqlx::{
    ConnectOptions, Connection as _, Executor, PgConnection, Row,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::time::{sleep, timeout};

use super::url::{PostgresUrl, Target};
use crate::secret::{Secret, random_text};

/// Opens connections to one Postgres, which may have several hosts.
#[derive(Debug)]
pub(super) struct Connector {
    url: PostgresUrl,
    password_file: Option<PathBuf>,
    /// The host that was connected to last, which is tried first.
    preferred: AtomicUsize,
    /// Whether the server, or a pooler before it, has refused the parameter by which a direct connection is recognised.
    refuses_options: AtomicBool,
    /// Whether it has been told that connections are pooled.
    has_told: AtomicBool,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) connection: PgConnection,
    /// Whether it leads to one server process for as long as it is open. A pooler in transaction mode gives each transaction another
    /// one, so that neither a named statement nor anything else of the session's may be relied upon.
    pub(super) is_direct: bool,
    /// Whether the server takes writes, as it said when it was asked last. Behind a pooler there may be another one by now.
    pub(super) is_writable: bool,
    /// Whether the URL wants another server, none of which accepted a connection. Such a connection is not kept.
    pub(super) is_makeshift: bool,
    /// The host, by its number.
    host: usize,
}

impl Line {
    /// Asks whether the connection still works, and of a server that took no writes whether it still takes none.
    ///
    /// # Errors
    /// It does not work any more.
    pub(super) async fn still_works(&mut self) -> Result<(), sqlx::Error> {
        if self.is_writable {
            return self.connection.ping().await;
        }
        let row =
            self.connection.fetch_one(sqlx::raw_sql("SELECT current_setting('transaction_read_only') AS read_only")).await?;
        self.is_writable = takes_writes(&row)?;
        Ok(())
    }
}

/// What a server says of itself.
fn takes_writes(row: &PgRow) -> Result<bool, sqlx::Error> {
    Ok(row.try_get::<&str, _>("read_only")? != "on")
}

/// How long connecting to one of several hosts may take if the URL does not say, and after how long without an answer the next one is tried beside it.
const HOST_TIMEOUT: Duration = Duration::from_secs(1);
const STAGGER: Duration = Duration::from_millis(300);
/// A parameter of our own. A server sets it when the session begins, with the value that this connection was opened with. What is
/// between does not know it, and gives it to no other connection.
const PROBE: &str = "evergate.connection";
/// How long the server works on a statement at most, in milliseconds: a little longer than anybody here waits for it. A statement that
/// waits for a lock does not notice that its client has gone, and would hold its place among the server's connections.
const STATEMENT_TIMEOUT: &str = "6000";
/// Begins a transaction with that limit, where a connection does not have it from its beginning.
pub(in crate::store) const BEGIN_LIMITED: &str = "BEGIN; SET LOCAL statement_timeout = 6000";

impl Connector {
    pub(super) fn new(url: PostgresUrl, password_file: Option<PathBuf>) -> Self {
        Self {
            url,
            password_file,
            preferred: AtomicUsize::new(0),
            refuses_options: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        }
    }

    /// Connects to the first host that is as the URL wants it, or else to any that accepts a connection.
    ///
    /// # Errors
    /// No host accepted a connection; the error is one host's.
    pub(super) async fn connect(&self) -> Result<Line, sqlx::Error> {
        let password = self.password().await?;
        let count = self.url.hosts.len();
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut hosts = (0..count).map(|offset| (preferred + offset) % count);
        let mut attempts = FuturesUnordered::new();
        attempts.extend(hosts.next().map(|host| self.connect_to(host, password.as_ref())));
        let (mut standby, mut failure) = (None, sqlx::Error::PoolTimedOut);
        loop {
            let next = tokio::select! {
                Some((host, connected)) = attempts.next() => {
                    match connected {
                        Ok(line) if line.is_writable || self.url.target == Target::Any => {
                            self.preferred.store(host, Ordering::Relaxed);
                            return Ok(line);
                        }
                        Ok(line) => standby = standby.or(Some(Line { is_makeshift: true, ..line })),
                        Err(error) => failure = error,
                    }
                    hosts.next()
                }
                () = sleep(STAGGER), if hosts.len() > 0 => hosts.next(),
                else => return standby.ok_or(failure),
            };
            attempts.extend(next.map(|host| self.connect_to(host, password.as_ref())));
        }
    }

    /// The options by which a connection was opened, for what opens its connections by itself.
    pub(super) async fn options_of(&self, line: &Line) -> Result<PgConnectOptions, sqlx::Error> {
        let password = self.password().await?;
        self.url.with_password(line.host, password.as_ref()).ok_or(sqlx::Error::PoolTimedOut)
    }

    /// The password of the file, which whoever rotates it may have written a moment ago.
    async fn password(&self) -> Result<Option<Secret>, sqlx::Error> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = tokio::fs::read_to_string(path).await.map_err(|error| {
            sqlx::Error::Configuration(format!("the password file {} cannot be read: {error}", path.display()).into())
        })?;
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
    }

    async fn connect_to(&self, host: usize, password: Option<&Secret>) -> (usize, Result<Line, sqlx::Error>) {
        let Some(options) = self.url.with_password(host, password) else { return (host, Err(sqlx::Error::PoolTimedOut)) };
        let limit = self.url.connect_timeout.or((self.url.hosts.len() > 1).then_some(HOST_TIMEOUT));
        let opened = match limit {
            Some(limit) => timeout(limit, self.open(host, options)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut)),
            None => self.open(host, options).await,
        };
        (host, opened)
    }

    async fn open(&self, host: usize, options: PgConnectOptions) -> Result<Line, sqlx::Error> {
        let mark = random_text::<12>();
        if !self.refuses_options.load(Ordering::Relaxed) {
            let has_own_limit = options.get_options().is_some_and(|own| own.contains("statement_timeout"));
            let limit = (!has_own_limit).then_some(("statement_timeout", STATEMENT_TIMEOUT));
            match options.clone().options([(PROBE, mark.as_str())].into_iter().chain(limit)).connect().await {
                Ok(connection) => return self.examine(host, connection, &mark).await,
                Err(error) if is_about_parameters(&error) => self.refuses_options.store(true, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        self.examine(host, options.connect().await?, &mark).await
    }

    /// Finds out what has been connected to, by a statement without a name.
    async fn examine(&self, host: usize, mut connection: PgConnection, mark: &str) -> Result<Line, sqlx::Error> {
        const SQL: &str = "SELECT current_setting('evergate.connection', true) AS mark, \
                           current_setting('transaction_read_only') AS read_only";
        let row = connection.fetch_one(sqlx::raw_sql(SQL)).await?;
        let is_direct = row.try_get::<Option<&str>, _>("mark")? == Some(mark);
        if !is_direct && !self.has_told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "connections to Postgres may be pooled on their way; each call is one transaction, without named statements"
            );
        }
        let is_writable = takes_writes(&row)?;
        Ok(Line { connection, is_direct, is_writable, is_makeshift: false, host })
    }
}

/// Whether a connection was refused for its parameters: by a pooler (08P01), or by a database that does not know them.
fn is_about_parameters(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["08P01", "0A000", "22023", "42601", "42704"].contains(&&*code))
}
