//! How this replica hears of changes that others make: by notifications where they arrive, or else by polling the table `changes`.
//!
//! That notifications arrive is proved, not assumed: a notification to oneself, sent over the way by which changes are written, must
//! come back. An answer to a statement proves nothing, because a pooler answers it from another server process than the one that
//! listens. Behind a pooler there is no `LISTEN` at all, unless an address is named for it: it would stay with a server process, and
//! disturb whoever has that next.

mod payload;
mod poll;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Executor, PgConnection, Row,
    error::DatabaseError,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, timeout, timeout_at};

use self::{payload::parse, poll::Poll};
use super::connector::Connector;
use crate::{
    backoff::back_off,
    secret::random_text,
    store::{Change, Hearing},
    telemetry::logs::causes,
};

/// How changes of others are heard of.
#[derive(Debug)]
pub(super) struct Voices {
    /// Leads to the database by the way by which changes are written, through a pooler or not.
    connector: Arc<Connector>,
    /// Leads to where notifications are listened for, if that is elsewhere.
    listener: Option<Arc<Connector>>,
    /// Whether listening was found to be of no use, behind a pooler.
    never_listens: AtomicBool,
    /// How often the server was left: what was opened before hears of nothing that is written since.
    moves: Arc<AtomicU64>,
}

/// The channel of announced changes.
const CHANNEL: &str = "evergate_changes";
/// How often a quiet listener is checked, and how long the check may take. Together they stay under the second within which a revoked
/// session is refused by every replica.
const CHECK: Duration = Duration::from_millis(400);
const CHECK_TIMEOUT: Duration = Duration::from_millis(400);
/// How long opening the connections may take, and the first check of a listener.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the table is polled, and how long that may take.
const POLL: Duration = Duration::from_millis(400);
const POLL_TIMEOUT: Duration = Duration::from_millis(400);
/// For how long the table is polled before notifications are listened for again.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);
/// The pauses between tries grow between these.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How many tries fail before that is told: an outage of the database has a line of its own.
const FAILURES_TOLD: u32 = 5;

/// Why listening ended.
enum Ended {
    /// Notifications do not arrive.
    Deaf,
    /// The connection was lost, or could not be made.
    Lost(sqlx::Error),
}

impl From<sqlx::Error> for Ended {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        // A database without LISTEN or NOTIFY, or a role that may not.
        let lacks_them = code.is_some_and(|code| ["0A000", "42501", "42601", "42883"].contains(&&*code));
        if lacks_them { Self::Deaf } else { Self::Lost(error) }
    }
}

/// An attempt to listen, which goes on for as long as it succeeds.
struct Attempt<'a> {
    ended: Pin<Box<dyn Future<Output = Result<Infallible, Ended>> + Send + 'a>>,
    /// Whether it has heard its own notification.
    is_heard: Arc<AtomicBool>,
}

impl Voices {
    pub(super) fn new(connector: Arc<Connector>, listener: Option<Arc<Connector>>, moves: Arc<AtomicU64>) -> Self {
        Self { connector, listener, never_listens: AtomicBool::new(false), moves }
    }

    /// Fails once the server has been left since `moves`.
    fn check_server(&self, moves: u64) -> Result<(), sqlx::Error> {
        if self.moves.load(Ordering::Acquire) == moves { Ok(()) } else { Err(sqlx::Error::PoolClosed) }
    }

    /// Announces changes, forever. `heard` is told by which voice, whenever that changes.
    pub(super) async fn listen(&self, announce: impl Fn(Change) + Sync, heard: impl Fn(Hearing) + Sync) {
        let mut failures = 0_u32;
        let mut listening = None;
        loop {
            let Attempt { ended, is_heard } = listening.take().unwrap_or_else(|| self.begin_to_listen(&announce, &heard));
            let Err(ended) = ended.await;
            // At once: what was heard last was heard up to a second ago.
            heard(Hearing::Nothing);
            let was_heard = is_heard.load(Ordering::Relaxed);
            let error = match ended {
                // It heard before: the connections are made anew first.
                Ended::Deaf if was_heard => sqlx::Error::PoolTimedOut,
                Ended::Lost(error) if was_heard || failures == 0 => error,
                Ended::Deaf | Ended::Lost(_) => match self.poll_until_notified(&announce, &heard).await {
                    Ok(attempt) => {
                        (listening, failures) = (Some(attempt), 0);
                        continue;
                    }
                    Err(error) => error,
                },
            };
            heard(Hearing::Nothing);
            failures = if was_heard { 1 } else { failures.saturating_add(1) };
            if failures == FAILURES_TOLD {
                tracing::warn!(
                    error = causes(&error),
                    "changes of other replicas are not heard of; each session is looked up every half second instead"
                );
            }
            tracing::debug!(error = causes(&error), failures, "the connection that hears of changes was lost");
            tokio::time::sleep(back_off(failures, RECONNECT.0, RECONNECT.1)).await;
        }
    }

    /// Begins to listen, which goes on until the connection is lost or found to be deaf.
    fn begin_to_listen<'a>(
        &'a self,
        announce: &'a (impl Fn(Change) + Sync),
        heard: &'a (impl Fn(Hearing) + Sync),
    ) -> Attempt<'a> {
        let is_heard = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&is_heard);
        let on_heard = move || {
            flag.store(true, Ordering::Relaxed);
            heard(Hearing::Notifications);
        };
        Attempt { ended: Box::pin(self.listen_for(announce, on_heard)), is_heard }
    }

    /// Announces what is notified of.
    async fn listen_for(&self, announce: &(impl Fn(Change) + Sync), heard: impl Fn() + Send) -> Result<Infallible, Ended> {
        if self.never_listens.load(Ordering::Relaxed) {
            return Err(Ended::Deaf);
        }
        let (own_channel, moves) = (format!("evergate_{}", random_text::<9>()), self.moves.load(Ordering::Acquire));
        let opened = timeout(CONNECT_TIMEOUT, async {
            // Connecting finds the host that takes writes; a standby has no notifications.
            let speaker = self.connector.connect().await?;
            let line = match &self.listener {
                Some(listener) => &listener.connect().await?,
                None => &speaker,
            };
            if !line.is_direct && self.listener.is_none() {
                self.never_listens.store(true, Ordering::Relaxed);
                return Err(Ended::Deaf);
            }
            let options = self.listener.as_ref().unwrap_or(&self.connector).options_of(line).await?;
            let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with(options);
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.eager_reconnect(false);
            listener.listen_all([CHANNEL, &own_channel]).await?;
            Ok::<_, Ended>((line.is_direct, speaker.connection, listener))
        });
        let (is_direct, mut speaker, mut listener) = opened.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let checked = check(&mut speaker, &mut listener, &own_channel, announce, CONNECT_TIMEOUT).await;
        if !is_direct && matches!(checked, Err(Ended::Deaf)) {
            self.never_listens.store(true, Ordering::Relaxed);
        }
        checked?;
        // What changed while nothing was heard is unknown, so that whoever is told of this drops what it knows.
        heard();
        loop {
            self.check_server(moves)?;
            match timeout(CHECK, listener.try_recv()).await {
                Ok(Ok(Some(notification))) if notification.channel() == CHANNEL => announce(parse(notification.payload())),
                Ok(Ok(Some(_own))) => {}
                Ok(Ok(None)) => return Err(Ended::Lost(sqlx::Error::PoolClosed)),
                Ok(Err(error)) => return Err(error.into()),
                Err(_quiet) => check(&mut speaker, &mut listener, &own_channel, announce, CHECK_TIMEOUT).await?,
            }
        }
    }

    /// Announces what is in the table, until notifications arrive again, which is tried from time to time, or the database fails.
    #[expect(clippy::disallowed_methods, reason = "how long the table is polled has nothing to do with tokens' times")]
    async fn poll_until_notified<'a>(
        &'a self,
        announce: &'a (impl Fn(Change) + Sync),
        heard: &'a (impl Fn(Hearing) + Sync),
    ) -> Result<Attempt<'a>, sqlx::Error> {
        let moves = self.moves.load(Ordering::Acquire);
        let begun = timeout(CONNECT_TIMEOUT, async { Poll::begin(self.connector.connect().await?).await });
        let mut poll = begun.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        heard(Hearing::Polling);
        let mut next_poll = Instant::now() + POLL;
        let mut next_attempt = Instant::now() + LISTEN_AGAIN;
        let mut attempt: Option<Attempt<'a>> = None;
        loop {
            match &mut attempt {
                Some(listening) => {
                    if timeout_at(next_poll, &mut listening.ended).await.is_ok() {
                        (attempt, next_attempt) = (None, Instant::now() + LISTEN_AGAIN);
                        heard(Hearing::Polling);
                    }
                }
                None => tokio::time::sleep_until(next_poll).await,
            }
            match attempt.take() {
                Some(listening) if listening.is_heard.load(Ordering::Relaxed) => {
                    // What changed after the last poll, and before notifications were listened for, neither tells of.
                    announce(Change::Everything);
                    return Ok(listening);
                }
                goes_on => attempt = goes_on,
            }
            next_poll = Instant::now() + POLL;
            self.check_server(moves)?;
            timeout(POLL_TIMEOUT, poll.run(announce)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
            if attempt.is_none() && Instant::now() >= next_attempt && !self.never_listens.load(Ordering::Relaxed) {
                attempt = Some(self.begin_to_listen(announce, heard));
            }
        }
    }
}

/// Sends oneself a notification, and waits for it. The statement has no name, in whose place a pooler may put no other; and the server
/// must still take writes: one that does not is the primary no more, and has nothing to tell.
#[expect(clippy::disallowed_methods, reason = "how long a notification takes has nothing to do with tokens' times")]
async fn check(
    speaker: &mut PgConnection,
    listener: &mut PgListener,
    own: &str,
    announce: &(impl Fn(Change) + Sync),
    limit: Duration,
) -> Result<(), Ended> {
    let deadline = Instant::now() + limit;
    let sql = format!("SELECT pg_notify('{own}', '')::TEXT, current_setting('transaction_read_only') AS read_only");
    let spoken = timeout_at(deadline, speaker.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))));
    let row = spoken.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    if row.try_get::<&str, _>("read_only")? == "on" {
        return Err(Ended::Lost(sqlx::Error::PoolClosed));
    }
    loop {
        match timeout_at(deadline, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.channel() == own => return Ok(()),
            Ok(Ok(Some(notification))) => announce(parse(notification.payload())),
            Ok(Ok(None)) => return Err(Ended::Lost(sqlx::Error::PoolClosed)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_late) => return Err(Ended::Deaf),
        }
    }
}
