//! Writes that wait for the store. New tokens have no other copy, so they are kept in memory until they are saved, by one worker
//! per process, which waits while the store is not writable and backs off exponentially.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::stream::{self, StreamExt};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::locked_out::NewNames;
use crate::{
    backoff::back_off,
    clock::Timestamp,
    grant::{AttemptId, EndReason, GrantId},
    identity::Identity,
    lock::{Mutex, MutexGuard},
    store::{Fence, Renewed, Store, StoreError, Unverified},
};

/// A write of a token refresh to its grant's row.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// Saves the new tokens, if the grant still has this generation.
    Save(i64, Arc<Renewed>),
    /// Releases the intent, because the request certainly had no effect. With the earliest time of the next attempt, and the code
    /// of a refusal.
    Release(Option<Timestamp>, Option<String>),
    /// Expires the intent's lease, because the outcome is unknown. With the earliest time of the next attempt, and how long the lease
    /// runs on, while the provider may still be processing the call.
    ExpireLease { retry_at: Option<Timestamp>, settling: Duration },
    /// Marks this generation's tokens as unverified.
    Unverified(i64, Unverified),
    /// Saves this generation's identity, which has been verified.
    Identity(i64, Arc<Identity>),
    /// Ends all sessions of the user if one of these names is locked out.
    EndIfLockedOut(Arc<NewNames>),
    /// Ends the grant, for this reason and with the provider's code.
    End(Fence, EndReason, Option<String>),
}

impl Write {
    /// Expires the intent's lease immediately, for an outcome that stays unknown.
    pub(super) const EXPIRED: Self = Self::ExpireLease { retry_at: None, settling: Duration::ZERO };

    fn describe(&self) -> &'static str {
        match self {
            Self::Save(..) => "renewed tokens",
            Self::Release(..) => "a released intent",
            Self::ExpireLease { .. } => "an unknown outcome",
            Self::Unverified(..) => "an unverified renewal",
            Self::Identity(..) => "a verified renewal",
            Self::EndIfLockedOut(..) => "whether a user is locked out",
            Self::End(..) => "the end of a grant",
        }
    }

    /// Makes the write. Returns whether it took effect, for those writes where that matters.
    async fn to(&self, store: &Store, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        match self {
            Self::Save(generation, renewed) => store.save_renewal(id, attempt, *generation, renewed).await,
            Self::Release(retry_at, refused) => {
                store.release_intent(id, attempt, *retry_at, refused.as_deref()).await.map(|()| true)
            }
            Self::ExpireLease { retry_at, settling } => {
                store.expire_lease(id, attempt, *retry_at, *settling).await.map(|()| true)
            }
            Self::Unverified(generation, unverified) => store.mark_unverified(id, *generation, *unverified).await.map(|()| true),
            Self::Identity(generation, identity) => store.save_identity(id, *generation, identity).await.map(|()| true),
            Self::EndIfLockedOut(names) => names.end_if_locked_out(store).await,
            Self::End(fence, reason, code) => store.end_grant(id, attempt, *fence, *reason, code.as_deref()).await,
        }
    }
}

/// The pending writes, one for each attempt.
#[derive(Debug)]
pub(super) struct Pending {
    store: Store,
    /// Waited for at a shutdown.
    tasks: TaskTracker,
    state: Mutex<PendingState>,
    /// Notified when a write is added.
    added: Notify,
}

#[derive(Debug, Default)]
struct PendingState {
    waiting: HashMap<AttemptId, Entry>,
    has_worker: bool,
}

#[derive(Debug)]
struct Entry {
    id: GrantId,
    write: Write,
    due: Instant,
    failures: u32,
    /// Whether it is written once more: a statement that timed out may still be executed a little later.
    is_repeated: bool,
    reply: Option<oneshot::Sender<Result<bool, StoreError>>>,
}

/// The number of concurrent writes.
const MAX_CONCURRENT_WRITES: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// A statement that timed out is executed within this time, or never.
const SETTLED: Duration = Duration::from_secs(10);

impl Pending {
    /// Writes to `store`, by a worker among `tasks`.
    pub(super) fn new(store: Store, tasks: TaskTracker) -> Self {
        Self { store, tasks, state: Mutex::default(), added: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, PendingState> {
        self.state.lock()
    }

    /// Whether a write of a grant is pending, before which its refresh token must not be presented.
    pub(super) fn has_writes_for(&self, id: GrantId) -> bool {
        let state = self.state();
        !state.waiting.is_empty()
            && state.waiting.values().any(|entry| entry.id == id && (entry.reply.is_some() || entry.is_repeated))
    }

    /// Writes, and retries while the store is unavailable. Returns whether the write took effect.
    pub(super) async fn save_with_retry(
        self: &Arc<Self>,
        id: GrantId,
        attempt: AttemptId,
        write: Write,
    ) -> Result<bool, StoreError> {
        match write.to(&self.store, id, attempt).await {
            Err(error) if !error.is_refusal() => {
                tracing::info!(grant.id = %id, %error, "{} cannot be saved yet; it is kept until it can", write.describe());
                if let Write::End(..) = write {
                    self.store.announce_doubt(id);
                }
            }
            done => return done,
        }
        let (sender, reply) = oneshot::channel();
        self.enqueue(id, attempt, write, Some(sender));
        // The sender is dropped only when the process ends.
        reply.await.unwrap_or(Ok(false))
    }

    /// Releases, as soon as the store is available, an intent that may have been written and whose token was not presented: an
    /// expired lease would suggest that it was.
    pub(super) fn release_intent(self: &Arc<Self>, id: GrantId, attempt: AttemptId) {
        self.enqueue(id, attempt, Write::Release(None, None), None);
    }

    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn enqueue(
        self: &Arc<Self>,
        id: GrantId,
        attempt: AttemptId,
        write: Write,
        reply: Option<oneshot::Sender<Result<bool, StoreError>>>,
    ) {
        let is_repeated = reply.is_none();
        let mut state = self.state();
        state.waiting.insert(attempt, Entry { id, write, due: Instant::now(), failures: 0, is_repeated, reply });
        self.added.notify_one();
        if !std::mem::replace(&mut state.has_worker, true) {
            let pending = Arc::clone(self);
            self.tasks.spawn(async move { pending.write_pending().await });
        }
    }

    /// The worker: makes due writes until none is pending. New writes do not wait for failed ones.
    async fn write_pending(&self) {
        while let Some(next) = self.next_due() {
            let _due_or_new = tokio::time::timeout_at(next, self.added.notified()).await;
            self.store.until_writable().await;
            let mut written = stream::iter(self.due())
                .map(|(attempt, id, write)| async move { (attempt, write.to(&self.store, id, attempt).await) })
                .buffer_unordered(MAX_CONCURRENT_WRITES);
            while let Some((attempt, result)) = written.next().await {
                self.settle(attempt, result);
            }
        }
    }

    /// Returns when the next write is due; `None` if none is pending, and then the worker stops.
    fn next_due(&self) -> Option<Instant> {
        let mut state = self.state();
        let next = state.waiting.values().map(|entry| entry.due).min();
        state.has_worker = next.is_some();
        next
    }

    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn due(&self) -> Vec<(AttemptId, GrantId, Write)> {
        let now = Instant::now();
        let state = self.state();
        let due = state.waiting.iter().filter(|(_, entry)| entry.due <= now);
        due.map(|(attempt, entry)| (*attempt, entry.id, entry.write.clone())).collect()
    }

    /// Handles the result of a write.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn settle(&self, attempt: AttemptId, result: Result<bool, StoreError>) {
        let mut state = self.state();
        let Some(mut entry) = state.waiting.remove(&attempt) else { return };
        match &result {
            Err(error) if error.is_refusal() => {
                tracing::error!(grant.id = %entry.id, %error, "the store rejected {}", entry.write.describe());
            }
            Err(_) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.due = Instant::now() + back_off(entry.failures, FIRST_PAUSE, MAX_PAUSE);
                state.waiting.insert(attempt, entry);
                return;
            }
            Ok(_) if entry.is_repeated => {
                (entry.is_repeated, entry.failures, entry.due) = (false, 0, Instant::now() + SETTLED);
                state.waiting.insert(attempt, entry);
                return;
            }
            Ok(_) => {}
        }
        if let Some(reply) = entry.reply {
            // The receiver may have been dropped with its task.
            let _receiver_gone = reply.send(result);
        }
    }
}
