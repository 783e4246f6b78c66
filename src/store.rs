//! Grants and sessions in Postgres or SQLite: one contract, two stores.
//!
//! Tokens are sealed on their way in and opened on their way out here, so that no caller can forget it.
//! Every call is bounded: a store that does not answer is [`StoreError::Unavailable`], never a wait.

mod backend;
mod change;
mod connection;
mod error;
mod farewells;
mod gate;
mod heartbeat;
mod journal;
mod keys;
mod operation;
mod postgres;
mod records;
mod renewals;
mod revocations;
mod rows;
mod sql;
mod sqlite;
mod statements;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
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

use backend::{Backend, Statements};
use connection::Connection;
use gate::Gate;
use operation::Operation;
use statements::Login;

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

fn place(column: &str, id: GrantId) -> String {
    format!("grants.{column}/{id}")
}

impl Store {
    /// Opens the store; for Postgres this does not connect yet, so that a gateway can start without it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the settings name no usable database.
    pub fn open(settings: &Settings, keys: KeyRing, metrics: Metrics) -> Result<Self, StoreError> {
        let backend = Backend::open(settings)?;
        metrics.store_operations(Operation::ALL.iter().map(|operation| operation.name()));
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
        self.backend.migrate().await
    }

    /// Changes as they are announced, this process's own included.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Listens for changes that other processes make, for ever. `heard` is told whether they can be heard.
    pub async fn watch(&self, heard: impl Fn(bool) + Send + Sync) {
        let heard = |is_connected| {
            self.metrics.store_listener_connected(is_connected);
            heard(is_connected);
        };
        self.backend.listen(|change| self.announce(change), heard).await;
    }

    /// Runs `statements` on a connection, if the gate lets the operation pass, and tells the gate and the metrics how it went.
    async fn call<'a, T>(
        &'a self,
        operation: Operation,
        statements: impl for<'c> Fn(&'c mut Connection<'a>) -> Statements<'c, T>,
    ) -> Result<T, StoreError> {
        self.gate.enter(operation.access())?;
        let timer = self.metrics.store_call(operation.name());
        let result = self.backend.call(operation.access(), statements).await;
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
        self.call(Operation::Now, |connection| Box::pin(connection.now())).await
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
        let login = Login { grant, identity: &identity, sealed: &sealed, target: seat, sharing, at };
        let kept = self.call(Operation::SaveLogin, |connection| Box::pin(connection.save_login(login))).await?;
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
        self.call(Operation::Session, |connection| Box::pin(connection.session(hash))).await
    }

    /// The grant of that name.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let row = self.call(Operation::Grant, |connection| Box::pin(connection.grant(id))).await?;
        row.map(|row| row.open(&self.keys)).transpose()
    }

    /// The last ID token of a grant, for `id_token_hint`.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn id_token(&self, id: GrantId) -> Result<Option<Secret>, StoreError> {
        let sealed = self.call(Operation::IdToken, |connection| Box::pin(connection.id_token(id))).await?;
        sealed.map(|sealed| rows::open_text(&self.keys, &place("id_token", id), &sealed)).transpose()
    }

    /// Ends a session, and with the last session of a grant the grant.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn end_session(&self, hash: SessionHash) -> Result<Option<Farewell>, StoreError> {
        let Some(left) = self.call(Operation::EndSession, |connection| Box::pin(connection.end_session(hash))).await? else {
            return Ok(None);
        };
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
        self.call(Operation::FindSessions, |connection| Box::pin(connection.sessions_of(whose))).await
    }

    /// All sessions with their grants, the last used first.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn listed(&self) -> Result<Vec<Listed>, StoreError> {
        let rows = self.call(Operation::ListSessions, |connection| Box::pin(connection.listed())).await?;
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
        self.call(Operation::Events, |connection| Box::pin(connection.events(name, grant, most))).await
    }

    /// Up to `most` grants whose refresh token dies soon for want of use, though somebody uses them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn due_to_keep_alive(&self, now: Timestamp, most: i64) -> Result<Vec<GrantId>, StoreError> {
        self.call(Operation::DueBeforeIdleExpiry, |connection| Box::pin(connection.due_to_keep_alive(now, most))).await
    }

    /// Writes when sessions were last seen; never backwards.
    ///
    /// # Errors
    /// Some may have been written; writing them again is safe.
    pub async fn touch(&self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        self.call(Operation::TouchSessions, |connection| Box::pin(connection.touch(seen))).await
    }

    /// Records that the login attempt, or the logout token, with this hash has returned. `false`: it had before.
    ///
    /// # Errors
    /// It may have been recorded.
    pub async fn returned(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        self.call(Operation::ConsumeOnce, |connection| Box::pin(connection.returned(hash, expires_at))).await
    }

    /// Keeps a sealed address for a login attempt, unless `most` are kept already: `false`.
    ///
    /// # Errors
    /// It may have been kept, which does no harm.
    pub async fn park(&self, name: [u8; 32], sealed: &[u8], expires_at: Timestamp, most: i64) -> Result<bool, StoreError> {
        self.call(Operation::SaveReturnTo, |connection| Box::pin(connection.park(name, sealed, expires_at, most))).await
    }

    /// The address that [`Store::park`] was given under this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn parked(&self, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(Operation::ReturnTo, |connection| Box::pin(connection.parked(name))).await
    }

    /// Whether [`Store::returned`] was told of this hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn has_returned(&self, hash: [u8; 32]) -> Result<bool, StoreError> {
        self.call(Operation::IsConsumed, |connection| Box::pin(connection.has_returned(hash))).await
    }

    /// Removes up to `batch` each of sessions, login attempts and events that are too old, and of grants that no session
    /// points to. Returns how many rows went. A session that goes leaves an event.
    ///
    /// # Errors
    /// Some may have been removed.
    pub async fn sweep(&self, expired: &Expired, batch: i64) -> Result<u64, StoreError> {
        self.call(Operation::Sweep, |connection| Box::pin(connection.sweep(expired, batch, self.replica()))).await
    }

    /// Figures for the metrics.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.call(Operation::Counts, |connection| Box::pin(connection.counts())).await
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
