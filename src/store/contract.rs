//! The contract: what the store does, as the methods of [`Store`], whichever database is behind it.

mod attempts;
mod changes;
mod clients;
mod clocks;
mod counts;
mod ended_users;
mod events;
mod examination;
mod grants;
mod heartbeat;
mod kept_posts;
mod keys;
mod listings;
mod logouts;
mod personal_tokens;
mod provider_hours;
mod renewals;
mod repairs;
mod revocations;
mod scim_users;
mod sessions;

use std::sync::{Arc, atomic::AtomicU64};

use tokio::sync::{Notify, broadcast, watch};
use tracing::{Instrument, field::Empty};

use super::{
    Change, Expired, Hearing, KeyUsage, Settings, StoreError, Swept,
    announcer::Announcer,
    backend::{Backend, Statements},
    clock_jumps::ClockJumps,
    committed::Committed,
    connection::Connection,
    event_buffer::EventBuffer,
    gate::{Access, Gate},
    operation::{self, Read, Write},
    origin::Origin,
    provider_hours::HourBuffer,
    replica::replica_name,
    rollbacks::Rollbacks,
    statements::SweepStep,
};
use crate::{
    lock::Mutex,
    reading::Reading,
    seal::KeyRing,
    telemetry::{
        metrics::Metrics,
        traces::{SPANS, fail},
    },
};

pub use counts::Counts;
pub use ended_users::END_RETENTION;
pub use logouts::LOGOUT_RETENTION;
pub use revocations::{OrphanedToken, Revocation, RevocationId, RevocationToken, TokenEnd};

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
    hours: Arc<HourBuffer>,
    gate: Arc<Gate>,
    committed: Arc<Committed>,
    rollbacks: Arc<Rollbacks>,
    clock_jumps: Arc<ClockJumps>,
    missing_keys: Arc<Mutex<Vec<KeyUsage>>>,
    /// Notified when the end of a session has enqueued a refresh token to be revoked.
    revocations: Arc<Notify>,
    /// How many milliseconds this machine's clock and the database's are apart, as they were last compared.
    clock_skew: Arc<AtomicU64>,
    /// Whether grants are read with their ID tokens.
    reads_id_tokens: bool,
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
        metrics.store_operations(operation::names());
        Ok(Self {
            backend,
            keys,
            replica: replica_name(),
            changes: broadcast::channel(CHANGES_BUFFERED).0,
            announcer: Arc::default(),
            hearing: watch::Sender::new(Hearing::Nothing),
            events: Arc::default(),
            hours: Arc::default(),
            gate: Arc::new(Gate::new(metrics.clone())),
            committed: Arc::default(),
            rollbacks: Arc::default(),
            clock_jumps: Arc::default(),
            missing_keys: Arc::default(),
            revocations: Arc::default(),
            clock_skew: Arc::default(),
            reads_id_tokens: false,
            metrics,
        })
    }

    /// Reads grants with their ID tokens, if apps get them (`wanted`). They are as large as all the rest of a grant.
    pub fn reading_id_tokens(self, wanted: bool) -> Self {
        Self { reads_id_tokens: wanted, ..self }
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

    /// Reads. Whoever calls says what an old reading would do.
    async fn read<'a, T>(
        &'a self,
        read: Read,
        statements: impl for<'c> Fn(&'c mut Connection<'a>) -> Statements<'c, T>,
    ) -> Result<Reading<T>, StoreError> {
        let (value, origin) = self.call(read.access(), read.name(), statements).await?;
        Ok(if self.gate.has_everything(origin) { Reading::Current(value) } else { Reading::PerhapsOld(value) })
    }

    /// Writes.
    async fn write<'a, T>(
        &'a self,
        write: Write,
        statements: impl for<'c> Fn(&'c mut Connection<'a>) -> Statements<'c, T>,
    ) -> Result<T, StoreError> {
        self.call(write.access(), write.name(), statements).await.map(|(value, _)| value)
    }

    /// Runs `statements` on a connection, if the gate lets the operation pass, and tells the gate and the metrics how it went.
    async fn call<'a, T>(
        &'a self,
        access: Access,
        name: &'static str,
        statements: impl for<'c> Fn(&'c mut Connection<'a>) -> Statements<'c, T>,
    ) -> Result<(T, Origin), StoreError> {
        self.gate.enter(access)?;
        let timer = self.metrics.store_call(name);
        let span = tracing::trace_span!(
            target: SPANS,
            "store",
            otel.name = name,
            otel.kind = "client",
            otel.failed = Empty,
            db.system.name = self.backend.name(),
            db.operation.name = name,
            error.type = Empty,
        );
        let result = self.backend.call(access, statements).instrument(span.clone()).await;
        timer.finish(result.is_ok());
        if result.is_err() {
            fail(&span, "store_failed");
        }
        if let Err(error) = &result {
            self.gate.called(error);
        }
        result
    }

    /// Deletes a batch each of expired sessions, login attempts and events, and of grants whose last session has left them. A
    /// session that goes leaves an event.
    ///
    /// # Errors
    /// Some rows may have been deleted.
    pub async fn sweep(&self, expired: &Expired) -> Result<Swept, StoreError> {
        let mut all = Swept { removed: 0, is_done: true };
        for step in SweepStep::ALL {
            let swept = self.write(Write::Sweep, |connection| Box::pin(connection.sweep(step, expired, &self.replica))).await?;
            all = Swept { removed: all.removed.saturating_add(swept.removed), is_done: all.is_done && swept.is_done };
        }
        Ok(all)
    }
}
