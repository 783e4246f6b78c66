//! A database that went back in time: noticed, put right from what this replica saw committed, and no refresh token presented until
//! the other replicas have done the same.
//!
//! It is noticed by this replica's heartbeat, whose count falls, before any other call passes the gate after an outage; and by each
//! row that is older than what this replica knows.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::Store;
use crate::{
    grant::GrantId,
    session::SessionHash,
    store::{Change, StoreError, committed::Lost, operation::Operation},
    telemetry::metrics::Record,
};

/// How many grants are put right concurrently.
const CONCURRENCY: usize = 4;
impl Store {
    /// Takes the count of a heartbeat that was just written.
    pub(super) fn compare_beat(&self, beat: i64) {
        if self.rollbacks.is_shown_by(beat) {
            self.notice_rollback();
        }
    }

    /// Begins to hold back refresh tokens and to put right what is remembered.
    fn notice_rollback(&self) {
        if self.rollbacks.notice() {
            self.metrics.store_rollback();
            tracing::error!(
                "the database is older than what was committed, as after a failover to a standby that lagged or a restored backup: \
                 what this replica remembers is put right, and no refresh token is presented for a few seconds"
            );
        }
    }

    /// Says in the metrics how much this replica remembers.
    pub fn measure_memory(&self) {
        let (grants, sessions) = self.committed.sizes();
        self.metrics.remembered(sessions, grants);
    }

    /// Whether refresh tokens are held back, because another replica may know of newer ones.
    pub fn holds_tokens_back(&self) -> bool {
        self.rollbacks.holds_tokens_back()
    }

    /// Puts a row right. Whether or not it still needs that is the statement's to judge.
    pub(super) async fn put_right(&self, id: GrantId, lost: &Lost) -> Result<(), StoreError> {
        let is_put_right =
            self.call(Operation::PutRight, |connection| Box::pin(connection.put_right(id, lost, &self.replica))).await?;
        if is_put_right {
            self.notice_rollback();
            self.rollbacks.count(Record::Grant);
            self.metrics.put_right(Record::Grant);
            self.announce(Change::Grant(id));
        }
        Ok(())
    }

    /// Puts right, for as long as it runs, what this replica remembers whenever the database has gone back.
    pub async fn run_repairs(&self) {
        loop {
            self.rollbacks.begin_repair().await;
            let (grants, sessions) = self.committed.all();
            loop {
                self.until_writable().await;
                if self.repair(&grants, &sessions).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            let (put_right, ended_again) = self.rollbacks.end_repair();
            tracing::error!(
                grants.put_right = put_right,
                grants.remembered = grants.len(),
                sessions.ended_again = ended_again,
                "what this replica remembered of an older database is put right; what no living replica remembers stays as it is"
            );
        }
    }

    async fn repair(&self, grants: &[GrantId], sessions: &[SessionHash]) -> Result<(), StoreError> {
        let mut read =
            stream::iter(grants.iter().copied()).map(|id| async move { self.grant(id).await }).buffer_unordered(CONCURRENCY);
        while let Some(result) = read.next().await {
            match result {
                Err(error) if !error.is_refusal() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        for hash in sessions {
            match self.end_session(*hash).await {
                Ok(Some(_)) => {
                    self.rollbacks.count(Record::Session);
                    self.metrics.put_right(Record::Session);
                }
                Err(error) if !error.is_refusal() => return Err(error),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Finds out, for as long as it runs, which of the announced sessions have ended, to end them again should the database forget
    /// it.
    pub async fn run_end_memory(&self) {
        loop {
            let heard = self.rollbacks.heard().await;
            let unknown = heard.into_iter().filter(|hash| !self.committed.has_ended(hash));
            let mut looked_up =
                stream::iter(unknown).map(|hash| async move { (hash, self.session(hash).await) }).buffer_unordered(CONCURRENCY);
            while let Some((hash, session)) = looked_up.next().await {
                if matches!(session, Ok(None)) {
                    self.committed.session_ended(hash);
                }
            }
        }
    }
}
