//! Grants and sessions in Postgres or SQLite: one contract, two stores.
//!
//! Tokens are sealed on their way in and opened on their way out here, so that no caller can forget it.
//! Every call is bounded: a store that does not answer is [`StoreError::Unavailable`], never a wait.

mod change;
mod error;
mod farewells;
mod gate;
mod heartbeat;
mod journal;
mod keys;
mod postgres;
mod records;
mod renewals;
mod revocations;
mod rows;
mod sqlite;
mod statements;

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::broadcast;

use crate::{
    clock::Timestamp,
    grant::{Grant, GrantId},
    history::Event,
    seal::KeyRing,
    secret::Secret,
    session::{Session, SessionHash},
    telemetry::metrics::Metrics,
};

use gate::{Access, Gate};

pub use change::Change;
pub use error::StoreError;
pub use farewells::REMEMBERED as LOGOUTS_REMEMBERED;
pub use gate::Condition;
pub use keys::{Resealed, SealedUnder};
pub use postgres::PostgresSettings;
pub use records::{
    Counts, Expired, Farewell, Fence, Followed, Knowledge, Listed, NewGrant, Renewed, Seat, Seated, Sharing, Tokens, Unverified,
    Whose,
};
pub use revocations::{Revocation, Token, Unkept};

/// Where grants and sessions are kept.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `CODER_PG_CONNECTION_URL` and its limits.
    Postgres(PostgresSettings),
    /// One file in `CODER_DATA_DIR`.
    Sqlite(PathBuf),
}

/// How long one call may take, waiting for a connection included.
const DEADLINE: Duration = Duration::from_secs(5);
/// So often a call is asked again on another connection.
const MOST_REPEATS: u32 = 2;

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    metrics: Metrics,
    keys: KeyRing,
    changes: broadcast::Sender<Change>,
    journal: Arc<journal::Journal>,
    gate: Arc<Gate>,
    missing_keys: Arc<Mutex<Vec<SealedUnder>>>,
}

#[derive(Clone, Debug)]
enum Backend {
    Postgres(Arc<postgres::Postgres>),
    Sqlite(Arc<sqlite::Sqlite>),
}

/// Runs one call on a connection of whichever backend there is, within [`DEADLINE`], and again on another connection where
/// the first one was at fault. What a failure shows of the store's health is told to the gate.
macro_rules! on {
    ($store:expr, $access:expr, $call:ident($($argument:expr),*)) => {
        match &$store.backend {
            $crate::store::Backend::Postgres(backend) => {
                $crate::store::on!(@ $store, $access, backend, $crate::store::postgres::Postgres, $call($($argument),*))
            }
            $crate::store::Backend::Sqlite(backend) => {
                $crate::store::on!(@ $store, $access, backend, $crate::store::sqlite::Sqlite, $call($($argument),*))
            }
        }
    };
    (@ $store:expr, $access:expr, $backend:ident, $Backend:ty, $call:ident($($argument:expr),*)) => {{
        let access: $crate::store::Access = $access;
        let call = async {
            let (deadline, mut repeats) = ($crate::store::deadline(), 0..$crate::store::MOST_REPEATS);
            loop {
                let Ok(connected) = tokio::time::timeout_at(deadline, $backend.connection()).await else {
                    break Err($crate::store::StoreError::Unconnected(sqlx::Error::PoolTimedOut));
                };
                let mut connection = connected?;
                // Within the connection's life: one on which a call hangs must not go back to the pool.
                let done = tokio::time::timeout_at(deadline, <$Backend>::$call(&mut connection, $($argument),*)).await;
                let done = done.unwrap_or(Err($crate::store::StoreError::TimedOut($crate::store::DEADLINE)));
                connection.settle(&done);
                let Err(error) = &done else { break done };
                if error.condemns_all() {
                    $backend.condemn();
                }
                let is_late = matches!(error, $crate::store::StoreError::TimedOut(_));
                if is_late || !access.may_repeat(error.fault()) || repeats.next().is_none() {
                    break done;
                }
            }
        };
        $store.passed(access, call).await
    }};
}

use on;

/// When a call that begins now must be done.
#[expect(clippy::disallowed_methods, reason = "how long a call may take has nothing to do with tokens' times")]
fn deadline() -> tokio::time::Instant {
    tokio::time::Instant::now() + DEADLINE
}

fn place(column: &str, id: GrantId) -> String {
    format!("grants.{column}/{id}")
}

impl Store {
    /// Opens the store; for Postgres this does not connect yet, so that a gateway can start without it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the settings name no usable database.
    pub fn open(settings: &Settings, keys: KeyRing, metrics: Metrics) -> Result<Self, StoreError> {
        let backend = match settings {
            Settings::Postgres(settings) => Backend::Postgres(Arc::new(postgres::Postgres::open(settings)?)),
            Settings::Sqlite(path) => Backend::Sqlite(Arc::new(sqlite::Sqlite::open(path)?)),
        };
        Ok(Self {
            backend,
            metrics,
            keys,
            changes: broadcast::channel(4096).0,
            journal: Arc::default(),
            gate: Arc::default(),
            missing_keys: Arc::default(),
        })
    }

    /// Brings the schema up to date. Replicas that start together take turns.
    ///
    /// # Errors
    /// [`StoreError::Migration`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Postgres(postgres) => postgres.migrate().await,
            Backend::Sqlite(sqlite) => sqlite.migrate().await,
        }
    }

    /// Changes as they are announced, this process's own included.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Listens for changes that other processes make, for ever. `heard` is told whether they can be heard.
    pub async fn watch(&self, heard: impl Fn(bool) + Send + Sync) {
        let announce = |change| self.announce(change);
        match &self.backend {
            Backend::Postgres(postgres) => postgres.watch(announce, heard).await,
            Backend::Sqlite(sqlite) => sqlite.watch(announce, heard).await,
        }
    }

    /// Runs a call that the gate lets pass.
    async fn passed<T>(&self, access: Access, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.gate.enter(access)?;
        let timer = self.metrics.store_call();
        let result = call.await;
        timer.finish(result.is_ok());
        if let Err(error) = &result {
            self.gate.called(error);
        }
        result
    }

    /// Announces, in this process alone, that a session has ended whose row is still there.
    pub fn announce_end(&self, hash: SessionHash) {
        self.announce(Change::Session(hash));
    }

    /// This replica's name.
    fn replica(&self) -> &str {
        &self.journal.replica
    }

    fn announce(&self, change: Change) {
        // Nobody listening is no error: the command line has no cache.
        let _nobody = self.changes.send(change);
    }

    /// The store's own time.
    ///
    /// # Errors
    /// Why it does not tell.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        on!(self, Access::Read, now())
    }

    /// Keeps a login: its grant, and the session that it is for. `None`: that session was ended meanwhile, and nothing
    /// was kept. What it brings may be left out in favour of the user's grant, if the provider keeps one in all.
    ///
    /// # Errors
    /// Nothing was kept.
    pub async fn keep_login(
        &self,
        grant: &NewGrant,
        seat: &Seat,
        sharing: Sharing,
        at: Timestamp,
    ) -> Result<Option<Seated>, StoreError> {
        let sealed = self.seal(grant.id, &grant.tokens)?;
        let identity = rows::identity_to_text(&grant.identity)?;
        let kept = on!(self, Access::Once, keep_login(grant, &identity, &sealed, seat, sharing, at))?;
        let Some((seated, taken_over)) = kept else { return Ok(None) };
        match seat {
            Seat::New { replaces, .. } => replaces.iter().for_each(|hash| self.announce(Change::Session(*hash))),
            Seat::Kept(hash) => self.announce(Change::Session(*hash)),
        }
        taken_over.into_iter().for_each(|hash| self.announce(Change::Session(hash)));
        if seated.grant != grant.id {
            self.announce(Change::Grant(seated.grant));
        }
        Ok(Some(seated))
    }

    /// The session of that name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn session(&self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        on!(self, Access::Read, session(hash))
    }

    /// The grant of that name.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let row = on!(self, Access::Read, grant(id))?;
        row.map(|row| row.open(&self.keys)).transpose()
    }

    /// The last ID token of a grant, for `id_token_hint`.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn id_token(&self, id: GrantId) -> Result<Option<Secret>, StoreError> {
        let sealed = on!(self, Access::Read, id_token(id))?;
        sealed.map(|sealed| rows::open_text(&self.keys, &place("id_token", id), &sealed)).transpose()
    }

    /// Ends a session, and with the last session of a grant the grant.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn end_session(&self, hash: SessionHash) -> Result<Option<Farewell>, StoreError> {
        let Some(left) = on!(self, Access::Once, end_session(hash))? else { return Ok(None) };
        self.announce(Change::Session(hash));
        self.announce(Change::Grant(left.id));
        // One that cannot be read any more keeps nobody from signing out.
        let open = |column, sealed: Option<Vec<u8>>| rows::open_text(&self.keys, &place(column, left.id), &sealed?).ok();
        Ok(Some(Farewell {
            grant: left.id,
            issuer: left.issuer,
            client_id: left.client_id,
            identity: rows::identity_from(&left.identity)?,
            id_token: open("id_token", left.id_token),
        }))
    }

    /// The sessions of some person, or of a session of theirs at the provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn sessions_of(&self, whose: Whose<'_>) -> Result<Vec<SessionHash>, StoreError> {
        on!(self, Access::Read, sessions_of(whose))
    }

    /// All sessions with their grants, the last used first.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let rows = on!(self, Access::Read, listed())?;
        let read = |(session, row): (Session, rows::GrantRow)| {
            // One row that nobody can read must not hide the others.
            let grant = row.open(&self.keys).inspect_err(|error| {
                tracing::error!(session = session.hash.short(), %error, "a session's grant cannot be read, and is left out");
            });
            Some(Listed { session, grant: grant.ok()? })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// The newest events of whoever or whatever has this name: a person (`who` or `sub`), a session or a grant; the newest
    /// first, each with the replica that wrote it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn events(&self, name: &str, grant: Option<GrantId>, most: i64) -> Result<Vec<(Event, String)>, StoreError> {
        on!(self, Access::Read, events(name, grant, most))
    }

    /// Up to `most` grants whose refresh token dies soon for want of use, though somebody uses them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn due_to_keep_alive(&self, now: Timestamp, most: i64) -> Result<Vec<GrantId>, StoreError> {
        on!(self, Access::Read, due_to_keep_alive(now, most))
    }

    /// Writes when sessions were last seen; never backwards.
    ///
    /// # Errors
    /// Some may have been written; writing them again is safe.
    pub async fn touch(&self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        on!(self, Access::Repeatable, touch(seen))
    }

    /// Records that the login attempt, or the logout token, with this hash has returned. `false`: it had before.
    ///
    /// # Errors
    /// It may have been recorded.
    pub async fn returned(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        on!(self, Access::Once, returned(hash, expires_at))
    }

    /// Keeps a sealed address for a login attempt, unless `most` are kept already: `false`.
    ///
    /// # Errors
    /// It may have been kept, which does no harm.
    pub async fn park(&self, name: [u8; 32], sealed: &[u8], expires_at: Timestamp, most: i64) -> Result<bool, StoreError> {
        on!(self, Access::Repeatable, park(name, sealed, expires_at, most))
    }

    /// The address that [`Store::park`] was given under this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn parked(&self, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        on!(self, Access::Read, parked(name))
    }

    /// Whether [`Store::returned`] was told of this hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn has_returned(&self, hash: [u8; 32]) -> Result<bool, StoreError> {
        on!(self, Access::Read, has_returned(hash))
    }

    /// Removes up to `batch` each of sessions, login attempts and events that are too old, and of grants that no session
    /// points to. Returns how many rows went. A session that goes leaves an event.
    ///
    /// # Errors
    /// Some may have been removed.
    pub async fn sweep(&self, expired: &Expired, batch: i64) -> Result<u64, StoreError> {
        on!(self, Access::Once, sweep(expired, batch, self.replica()))
    }

    /// Figures for the metrics.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        on!(self, Access::Read, counts())
    }

    fn seal(&self, id: GrantId, tokens: &Tokens) -> Result<rows::SealedTokens, StoreError> {
        let seal = |column, token: &Secret| self.keys.seal(&place(column, id), token.expose().as_bytes());
        Ok(rows::SealedTokens {
            access: seal("access_token", &tokens.access)?,
            refresh: tokens.refresh.as_ref().map(|token| seal("refresh_token", token)).transpose()?,
            id: tokens.id.as_ref().map(|token| seal("id_token", token)).transpose()?,
        })
    }
}
