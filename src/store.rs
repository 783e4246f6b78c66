//! Grants and sessions in Postgres or SQLite: one contract, two databases.
//!
//! The contract is the public methods of [`Store`]: this file opens the store, follows its changes and cleans up; `sessions`,
//! `grants`, `renewals`, `attempts`, `logouts`, `event_buffer`, `revocations`, `keys` and `counts` hold the rest. The SQL is in `statements`.
//!
//! - Tokens are encrypted on their way in and decrypted on their way out here, so that no caller can forget it.
//! - Every call is bounded: a database that does not answer is a [`StoreError`], never a wait without end.
//! - A change of a grant and the end of a session are announced to all replicas (see [`Store::changes`]).
//! - Leases are judged by the database's clock; all other times are the caller's.

mod announcer;
mod attempts;
mod backend;
mod change;
mod committed;
mod connection;
mod counts;
mod error;
mod event_buffer;
mod gate;
mod grants;
mod heartbeat;
mod keys;
mod listings;
mod logouts;
mod operation;
mod postgres;
mod records;
mod renewals;
mod revocations;
mod rollback;
mod rows;
mod sessions;
mod sql;
mod sqlite;
mod statements;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tokio::sync::{broadcast, watch};

use crate::{clock::Timestamp, grant::GrantId, seal::KeyRing, secret::Secret, telemetry::metrics::Metrics};

use announcer::Announcer;
use backend::{Backend, Statements};
use committed::Committed;
use connection::Connection;
use event_buffer::EventBuffer;
use gate::Gate;
use operation::Operation;
use rollback::Rollbacks;
use statements::SweepStep;

pub use change::{Change, Hearing};
pub use counts::Counts;
pub use error::StoreError;
pub use gate::Condition;
pub use keys::{KeyUsage, Resealed};
pub use logouts::LOGOUT_RETENTION;
pub use postgres::{PostgresSettings, PostgresUrl};
pub use records::{
    EndedSession, Expired, ExpiredAttempt, Fence, IdleExpiry, Knowledge, ListPosition, ListedGrant, ListedSession, LoginSaved,
    LoginTarget, NewGrant, Renewed, SessionFilter, Sharing, Swept, Tokens, Unverified,
};
pub use revocations::{OrphanedToken, Revocation, RevocationToken};

/// Which database holds grants and sessions.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `CODER_PG_CONNECTION_URL` and its limits.
    Postgres(PostgresSettings),
    /// One file in `CODER_DATA_DIR`.
    Sqlite(PathBuf),
}

/// The store; cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
    metrics: Metrics,
    keys: KeyRing,
    /// This replica's name.
    replica: Arc<str>,
    changes: broadcast::Sender<Change>,
    announcer: Arc<Announcer>,
    hearing: watch::Sender<Hearing>,
    events: Arc<EventBuffer>,
    gate: Arc<Gate>,
    committed: Arc<Committed>,
    rollbacks: Arc<Rollbacks>,
    missing_keys: Arc<Mutex<Vec<KeyUsage>>>,
}

/// How many changes a receiver of [`Store::changes`] may lag behind.
const CHANGES_BUFFERED: usize = 4096;

impl Store {
    /// Opens the store without connecting to Postgres yet, so that a gateway can start while it is away.
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
            replica: heartbeat::replica_name(),
            changes: broadcast::channel(CHANGES_BUFFERED).0,
            announcer: Arc::default(),
            hearing: watch::Sender::new(Hearing::Nothing),
            events: Arc::default(),
            gate: Arc::default(),
            committed: Arc::default(),
            rollbacks: Arc::default(),
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

    /// Subscribes to changes as they are announced, this process's own included.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
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

    /// Reads the database's clock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        self.call(Operation::Now, |connection| Box::pin(connection.now())).await
    }

    /// Deletes a batch each of expired sessions, login attempts and events, and of grants whose last session has left them. A
    /// session that goes leaves an event.
    ///
    /// # Errors
    /// Some rows may have been deleted.
    pub async fn sweep(&self, expired: &Expired) -> Result<Swept, StoreError> {
        let mut all = Swept { removed: 0, is_done: true };
        for step in SweepStep::ALL {
            let swept =
                self.call(Operation::Sweep, |connection| Box::pin(connection.sweep(step, expired, &self.replica))).await?;
            all = Swept { removed: all.removed.saturating_add(swept.removed), is_done: all.is_done && swept.is_done };
        }
        Ok(all)
    }

    fn seal(&self, id: GrantId, tokens: &Tokens) -> Result<rows::SealedTokens, StoreError> {
        let seal = |column, token: &Secret| self.keys.seal(&sealing_context(column, id), token.expose().as_bytes());
        Ok(rows::SealedTokens {
            access: seal("access_token", &tokens.access)?,
            refresh: tokens.refresh.as_ref().map(|token| seal("refresh_token", token)).transpose()?,
            id: tokens.id.as_ref().map(|token| seal("id_token", token)).transpose()?,
        })
    }
}

/// The associated data that binds an encrypted token to its column and row: it cannot be moved to another.
fn sealing_context(column: &str, id: GrantId) -> String {
    format!("grants.{column}/{id}")
}
