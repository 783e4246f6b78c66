//! Grants and sessions in Postgres or SQLite: one contract, two stores.
//!
//! Tokens are sealed on their way in and opened on their way out here, so that no caller can forget it.
//! Every call is bounded: a store that does not answer is [`StoreError::Unavailable`], never a wait.

mod journal;
mod postgres;
mod records;
mod rows;
mod sqlite;
mod statements;

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::broadcast;

use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Grant, GrantId},
    history::Event,
    identity::Identity,
    seal::{KeyRing, SealError},
    secret::Secret,
    session::{Session, SessionHash, cache::Change},
    telemetry::metrics::Metrics,
};

pub use postgres::PostgresSettings;
pub use records::{
    Counts, Expired, Farewell, Fence, Followed, Listed, NewGrant, Renewed, Seat, Seated, Sharing, Tokens, Unverified, Whose,
};

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

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, or too slow. Whether a write took effect is unknown.
    #[error("the store is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// It did not answer in time. Whether a write took effect is unknown.
    #[error("the store did not answer within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// A row holds what we never write.
    #[error("the store holds a malformed {0}")]
    Malformed(&'static str),
    /// A token in a row cannot be opened.
    #[error("a token in the store cannot be opened")]
    Sealed(#[from] SealError),
    /// The schema could not be brought up to date.
    #[error("the migrations failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl StoreError {
    /// Whether the store is there and refuses what it was given, so that trying again is no use (SQLSTATE class 22, "data
    /// exception", and class 23, "integrity constraint violation").
    fn is_refusal(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| code.len() == 5 && (code.starts_with("22") || code.starts_with("23")))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    metrics: Metrics,
    keys: KeyRing,
    changes: broadcast::Sender<Change>,
    journal: Arc<journal::Journal>,
}

#[derive(Clone, Debug)]
enum Backend {
    Postgres(Arc<postgres::Postgres>),
    Sqlite(Arc<sqlite::Sqlite>),
}

/// Runs one call on whichever backend there is, within [`DEADLINE`].
macro_rules! on {
    ($store:expr, $backend:ident => $call:expr) => {
        match &$store.backend {
            $crate::store::Backend::Postgres($backend) => $crate::store::bounded(&$store.metrics, $call).await,
            $crate::store::Backend::Sqlite($backend) => $crate::store::bounded(&$store.metrics, $call).await,
        }
    };
}

use on;

async fn bounded<T>(metrics: &Metrics, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let timer = metrics.store_call();
    let result = tokio::time::timeout(DEADLINE, call).await.unwrap_or(Err(StoreError::TimedOut));
    timer.finish(result.is_ok());
    result
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
        Ok(Self { backend, metrics, keys, changes: broadcast::channel(4096).0, journal: Arc::default() })
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

    fn announce(&self, change: Change) {
        // Nobody listening is no error: the command line has no cache.
        let _nobody = self.changes.send(change);
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, backend => backend.ping())
    }

    /// The store's own time.
    ///
    /// # Errors
    /// Why it does not tell.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        on!(self, backend => backend.now())
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
        let kept = on!(self, backend => backend.keep_login(grant, &identity, &sealed, seat, sharing, at))?;
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
        on!(self, backend => backend.session(hash))
    }

    /// The grant of that name.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let row = on!(self, backend => backend.grant(id))?;
        row.map(|row| row.open(&self.keys)).transpose()
    }

    /// Writes the intent of `attempt` to present the refresh token of the grant's `generation`, for `lease` by the
    /// database's clock, and reads the token. `takes_over` names a lapsed attempt that may be followed, where that matters
    /// only for so long after it presented the token.
    /// `None`: somebody else holds the intent, or the grant was renewed, ended or removed.
    ///
    /// # Errors
    /// The intent may have been written; [`Store::release_renewal`] gives it back if it was.
    pub async fn begin_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        lease: Duration,
        takes_over: Option<Followed>,
    ) -> Result<Option<Secret>, StoreError> {
        let sealed = on!(self, backend => backend.begin_renewal(id, attempt, generation, lease, takes_over))?;
        sealed.map(|sealed| rows::open_text(&self.keys, &place("refresh_token", id), &sealed)).transpose()
    }

    /// Saves what `attempt` brought for the grant's `generation`, even after it was given up as unknown. `false`: the
    /// grant was removed, ended, or renewed by somebody else, and nothing was saved.
    ///
    /// # Errors
    /// Whether it was saved is unknown; asking again is safe.
    pub async fn save_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        renewed: &Renewed,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal(id, &renewed.tokens)?;
        let saved = on!(self, backend => backend.save_renewal(id, attempt, generation, renewed, &sealed))?;
        self.announce(Change::Grant(id));
        Ok(saved)
    }

    /// Gives an intent back whose request surely had no effect. `retry_at`: not to be tried again before. `refused`: the
    /// provider's code, where it refused this grant without saying that it is dead.
    ///
    /// # Errors
    /// It lapses by itself then.
    pub async fn release_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        on!(self, backend => backend.release_renewal(id, attempt, retry_at, refused))?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Marks an intent whose outcome is unknown as lapsed at once. `retry_at`: not to be followed before.
    ///
    /// # Errors
    /// It lapses by itself then.
    pub async fn lapse_renewal(&self, id: GrantId, attempt: AttemptId, retry_at: Option<Timestamp>) -> Result<(), StoreError> {
        on!(self, backend => backend.lapse_renewal(id, attempt, retry_at))?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Ends a grant whose lapsed `attempt` must not be followed by another. `false`: something else happened
    /// to it first.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn give_up_renewal(&self, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        let ended = on!(self, backend => backend.give_up_renewal(id, attempt))?;
        self.announce(Change::Grant(id));
        Ok(ended)
    }

    /// Ends a grant and wipes its refresh token. `false`: the fence did not hold, and nothing was changed.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn end_grant(&self, id: GrantId, fence: Fence, reason: EndReason, code: Option<&str>) -> Result<bool, StoreError> {
        let ended = on!(self, backend => backend.end_grant(id, fence, reason, code))?;
        self.announce(Change::Grant(id));
        Ok(ended)
    }

    /// Replaces a grant's identity by one that is verified, unless it was renewed again since `generation`.
    ///
    /// # Errors
    /// The old identity may have stayed.
    pub async fn save_identity(&self, id: GrantId, generation: i64, identity: &Identity) -> Result<(), StoreError> {
        let text = rows::identity_to_text(identity)?;
        on!(self, backend => backend.save_identity(id, generation, &text))?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Notes that what the renewal to `generation` brought cannot be verified, since `at` unless it was so before.
    ///
    /// # Errors
    /// It may not have been noted.
    pub async fn mark_unverified(&self, id: GrantId, generation: i64, at: Timestamp) -> Result<(), StoreError> {
        on!(self, backend => backend.mark_unverified(id, generation, at))?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Ends a session, and with the last session of a grant the grant.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn end_session(&self, hash: SessionHash) -> Result<Option<Farewell>, StoreError> {
        let Some(left) = on!(self, backend => backend.end_session(hash))? else { return Ok(None) };
        self.announce(Change::Session(hash));
        self.announce(Change::Grant(left.id));
        let open = |column, sealed: Option<Vec<u8>>| {
            sealed.map(|sealed| rows::open_text(&self.keys, &place(column, left.id), &sealed)).transpose()
        };
        Ok(Some(Farewell {
            grant: left.id,
            issuer: left.issuer,
            client_id: left.client_id,
            identity: rows::identity_from(&left.identity)?,
            refresh_token: open("refresh_token", left.refresh.filter(|_| left.orphaned))?,
            id_token: open("id_token", left.id_token)?,
        }))
    }

    /// The sessions of some person, or of a session of theirs at the provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn sessions_of(&self, whose: Whose<'_>) -> Result<Vec<SessionHash>, StoreError> {
        on!(self, backend => backend.sessions_of(whose))
    }

    /// All sessions with their grants, the last used first.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let rows = on!(self, backend => backend.listed())?;
        rows.into_iter().map(|(session, row)| Ok(Listed { session, grant: row.open(&self.keys)? })).collect()
    }

    /// The newest events of whoever or whatever has this name: a person (`who` or `sub`), a session or a grant; the newest
    /// first, each with the replica that wrote it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn events(&self, name: &str, grant: Option<GrantId>, most: i64) -> Result<Vec<(Event, String)>, StoreError> {
        on!(self, backend => backend.events(name, grant, most))
    }

    /// Up to `most` grants whose refresh token dies soon for want of use, though somebody uses them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn due_to_keep_alive(&self, now: Timestamp, most: i64) -> Result<Vec<GrantId>, StoreError> {
        on!(self, backend => backend.due_to_keep_alive(now, most))
    }

    /// Writes when sessions were last seen; never backwards.
    ///
    /// # Errors
    /// Some may have been written; writing them again is safe.
    pub async fn touch(&self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        on!(self, backend => backend.touch(seen))
    }

    /// Records that the login attempt, or the logout token, with this hash has returned. `false`: it had before.
    ///
    /// # Errors
    /// It may have been recorded.
    pub async fn returned(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        on!(self, backend => backend.returned(hash, expires_at))
    }

    /// Whether [`Store::returned`] was told of this hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn has_returned(&self, hash: [u8; 32]) -> Result<bool, StoreError> {
        on!(self, backend => backend.has_returned(hash))
    }

    /// Removes up to `batch` each of sessions, login attempts and events that are too old, and of grants that no session
    /// points to. Returns how many rows went. A session that goes leaves an event.
    ///
    /// # Errors
    /// Some may have been removed.
    pub async fn sweep(&self, expired: &Expired, batch: i64) -> Result<u64, StoreError> {
        let replica = self.journal.replica.as_str();
        on!(self, backend => backend.sweep(expired, batch, replica))
    }

    /// Figures for the metrics.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        on!(self, backend => backend.counts())
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
