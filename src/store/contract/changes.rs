//! Announces changes to all replicas, and hears of those that others announce.
//!
//! What caches must hear of at once (the end of a session or of a grant) the database announces in the transaction that changes it.
//! The rest, above all each token refresh, is announced here, a moment later and in batches: a commit with a notification takes a
//! lock that all databases of a Postgres server share. If such an announcement is lost with its replica, other replicas use the
//! grant as they know it until its access token expires, and find the new one when they are about to refresh it.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Store;
use crate::{
    lock::Mutex,
    store::{Change, Hearing, StoreError, operation::Operation},
};

/// How long changes are gathered for one batch.
const GATHER: Duration = Duration::from_millis(3);
/// How many announcements one call deletes.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

impl Store {
    /// Announces a change that this process made: to itself immediately, and a changed grant to other replicas soon. The database
    /// itself announces the end of a session.
    pub(super) fn announce(&self, change: Change) {
        if let Change::Grant(id) = change {
            self.announcer.add(id);
        }
        self.hear(change);
    }

    pub(super) fn hear(&self, change: Change) {
        // Having no receiver is no error: the command line has no cache.
        let _no_receiver = self.changes.send(change);
    }

    /// Announces changed grants to other replicas, until `stop` and then once more.
    pub async fn run_announcer(&self, stop: CancellationToken) {
        loop {
            let is_stopped = stop.run_until_cancelled(self.announcer.added()).await.is_none();
            tokio::time::sleep(GATHER).await;
            loop {
                let batch = self.announcer.take();
                if batch.is_empty() {
                    break;
                }
                let announced = self.call(Operation::Announce, |connection| Box::pin(connection.announce_grants(&batch))).await;
                // Others drop all that they know when they hear again after an outage, so nothing is announced twice.
                if let Err(error) = announced {
                    tracing::debug!(%error, grants = batch.len(), "changed grants could not be announced");
                }
            }
            if is_stopped {
                return;
            }
        }
    }

    /// Deletes old announcements.
    ///
    /// # Errors
    /// Some may have been deleted.
    pub async fn forget_announcements(&self) -> Result<(), StoreError> {
        let forget = || self.call(Operation::ForgetAnnouncements, |connection| Box::pin(connection.forget_announcements()));
        // Until one call finds few, because others may come all the time.
        while forget().await? >= FORGOTTEN_AT_ONCE {}
        Ok(())
    }

    /// Listens forever for changes that other processes make. `heard` is told how they are heard of, whenever that changes.
    pub async fn run_listener(&self, heard: impl Fn(Hearing) + Send + Sync) {
        let told = Mutex::new(None);
        self.metrics.store_voice(Hearing::Nothing.name());
        let heard = |hearing| {
            // Only a change is told: SQLite says at each look that it hears.
            self.hearing.send_if_modified(|last| std::mem::replace(last, hearing) != hearing);
            self.metrics.store_voice(hearing.name());
            heard(hearing);
            if hearing != Hearing::Nothing {
                tell(&mut told.lock(), hearing, self.backend.is_postgres());
            }
        };
        let announce = |change| {
            if let Change::Session(hash) = change {
                self.rollbacks.hear(hash);
            }
            self.hear(change);
        };
        self.backend.listen(announce, heard).await;
    }

    /// Tells whenever this replica hears of changes in another way than at the call, also if it has come back to that one. What others have
    /// changed in between may be unheard.
    pub fn watch_hearing(&self) -> watch::Receiver<Hearing> {
        self.hearing.subscribe()
    }

    /// How this replica hears of changes that others make.
    pub fn hearing(&self) -> Hearing {
        *self.hearing.borrow()
    }
}

/// Logs by which voice changes are heard of, if it is not the one that was told of last.
fn tell(told: &mut Option<Hearing>, hearing: Hearing, is_postgres: bool) {
    if told.replace(hearing) == Some(hearing) || !is_postgres {
        return;
    }
    if hearing == Hearing::Polling {
        tracing::warn!(
            "notifications of Postgres (LISTEN, NOTIFY) do not arrive, as behind a pooler; changes are polled for instead. \
             CODER_PG_LISTEN_URL may name an address at which they do"
        );
    } else {
        tracing::info!("notifications of Postgres arrive");
    }
}
