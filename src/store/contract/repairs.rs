//! A database that went back in time: noticed, put right from what this replica saw committed, and no refresh token presented until
//! the other replicas have done the same.
//!
//! It is noticed by this replica's heartbeat, whose count falls, before any other call passes the gate after an outage; by each intent,
//! which is not written if the last heartbeat is missing; and by each row that is older than what this replica knows.

use std::time::Duration;

use futures_util::{
    future,
    stream::{self, StreamExt},
};

use super::Store;
use crate::{
    clock::Timestamp,
    grant::GrantId,
    history::ENDED_AGAIN,
    reading::Reading,
    session::{SessionHash, UserName},
    store::{
        Change, EndedSession, StoreError,
        committed::Lost,
        operation::{Read, Write},
        rollbacks::{Direction, LastBeat},
    },
    telemetry::metrics::Record,
};

/// How many grants are put right concurrently.
const CONCURRENCY: usize = 4;
/// How often what could not be put right is tried again while the database takes writes, and how long after. Whoever reads a grant
/// puts it right all the same.
const MAX_ROUNDS: u32 = 10;
const ROUND_PAUSE: Duration = Duration::from_millis(250);

/// What a replica remembers that a database may have forgotten.
struct Remembered {
    grants: Vec<GrantId>,
    sessions: Vec<SessionHash>,
    users: Vec<(UserName, Timestamp)>,
}

impl Store {
    /// Takes the count of a heartbeat that was just written.
    pub(super) fn compare_beat(&self, beat: i64) {
        match self.rollbacks.observe(beat) {
            Direction::Back => self.notice_rollback(),
            Direction::Onward => {}
        }
    }

    /// What the database must know of this replica's heartbeats; a count of 0 is nothing.
    pub(super) fn last_beat(&self) -> LastBeat<'_> {
        LastBeat { replica: &self.replica, count: self.rollbacks.last_beat() }
    }

    /// Begins to hold back refresh tokens and to put right what is remembered.
    pub(super) fn notice_rollback(&self) {
        if self.rollbacks.notice() {
            self.metrics.store_rollback();
            // It may be another database, to which not all connections lead.
            self.backend.leave_server();
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
            self.write(Write::PutRight, |connection| Box::pin(connection.put_right(id, lost, &self.replica))).await?;
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
            let mut failed = self.remembered();
            let (grants, mut rounds) = (failed.grants.len(), 0);
            while rounds < MAX_ROUNDS {
                self.until_writable().await;
                failed = self.repair(failed).await;
                if failed.grants.is_empty() && failed.sessions.is_empty() && failed.users.is_empty() {
                    break;
                }
                // An outage is waited for, however long it takes and often it comes.
                rounds += u32::from(self.is_writable());
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            let [put_right, ended_again, users_ended_again] = self.rollbacks.end_repair();
            tracing::error!(
                grants.put_right = put_right,
                grants.remembered = grants,
                grants.failed = failed.grants.len(),
                sessions.ended_again = ended_again,
                sessions.failed = failed.sessions.len(),
                users.ended_again = users_ended_again,
                users.failed = failed.users.len(),
                "what this replica remembered of an older database is put right; what no living replica remembers stays as it is"
            );
        }
    }

    fn remembered(&self) -> Remembered {
        let (grants, sessions) = self.committed.all();
        Remembered { users: self.committed.users(), grants, sessions }
    }

    /// Puts grants right and ends sessions and users again, and returns those with which the database failed. One that it refuses is
    /// left. Users come first: whoever was ended must not log in meanwhile.
    async fn repair(&self, remembered: Remembered) -> Remembered {
        let has_failed = |error: StoreError| !error.is_refusal();
        let end = stream::iter(remembered.users)
            .map(|(name, at)| async move { self.end_user_again(name, at).await.is_err_and(has_failed).then_some((name, at)) });
        let users = end.buffer_unordered(CONCURRENCY).filter_map(future::ready).collect().await;
        let read =
            stream::iter(remembered.grants).map(|id| async move { self.grant(id).await.is_err_and(has_failed).then_some(id) });
        let grants = read.buffer_unordered(CONCURRENCY).filter_map(future::ready).collect().await;
        let end = stream::iter(remembered.sessions).map(|hash| async move {
            let ended = self.end_session(hash).await;
            if let Ok(Some(ended)) = &ended {
                self.rollbacks.count(Record::Session);
                self.metrics.put_right(Record::Session);
                self.record_ended_again(hash, ended).await;
            }
            ended.is_err_and(has_failed).then_some(hash)
        });
        Remembered { users, grants, sessions: end.buffer_unordered(CONCURRENCY).filter_map(future::ready).collect().await }
    }

    /// Records the end of a session that was ended again: that of its first end may have gone with the database's last moments.
    async fn record_ended_again(&self, hash: SessionHash, ended: &EndedSession) {
        if let Ok(now) = self.now().await {
            ended.events(hash, ENDED_AGAIN, now).for_each(|event| self.enqueue_event(event));
        }
    }

    /// Finds out, for as long as it runs, which of the announced sessions have ended, to end them again should the database forget
    /// it.
    pub async fn run_end_memory(&self) {
        loop {
            let heard = self.rollbacks.heard().await;
            let unknown = heard.into_iter().filter(|hash| !self.committed.has_ended(hash));
            let mut looked_up = stream::iter(unknown)
                .map(
                    |hash| async move { (hash, self.read(Read::Session, |connection| Box::pin(connection.session(hash))).await) },
                )
                .buffer_unordered(CONCURRENCY);
            let mut in_doubt = Vec::new();
            while let Some((hash, session)) = looked_up.next().await {
                match session {
                    Ok(Reading::Current(None)) => self.committed.session_ended(hash),
                    Ok(Reading::Current(Some(_))) => {}
                    Ok(Reading::PerhapsOld(_)) => in_doubt.push(hash),
                    Err(error) if error.is_refusal() => {}
                    Err(_) => in_doubt.push(hash),
                }
            }
            self.rollbacks.looked_up(&in_doubt);
            if !in_doubt.is_empty() {
                tokio::time::sleep(ROUND_PAUSE).await;
                self.until_writable().await;
            }
        }
    }
}
