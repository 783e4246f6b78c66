//! Writes that wait for the store. What a renewal brought has no other copy, so it is kept here until it is saved: by one worker
//! for the whole process, which tries nothing while the store is known to take no writes, and pauses for longer each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream::{self, StreamExt};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::Engine;
use crate::{
    backoff::back_off,
    clock::Timestamp,
    grant::{AttemptId, EndReason, GrantId},
    identity::Identity,
    store::{Fence, Renewed, Store, StoreError},
};

/// What a renewal has to tell the store of its grant.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// What it brought, for the grant's generation.
    Save(i64, Arc<Renewed>),
    /// The request surely had no effect: the intent is given back. Not to be tried again before; refused with this code.
    Release(Option<Timestamp>, Option<String>),
    /// The outcome is unknown: the intent lapses. Not to be tried again before.
    Lapse(Option<Timestamp>),
    /// What it brought for this generation cannot be verified, since then.
    Unverified(i64, Timestamp),
    /// Who it speaks for, for this generation, verified at last.
    Identity(i64, Arc<Identity>),
    /// The grant has ended, because of this and with the provider's code.
    End(Fence, EndReason, Option<String>),
}

impl Write {
    fn describe(&self) -> &'static str {
        match self {
            Self::Save(..) => "renewed tokens",
            Self::Release(..) => "an intent that is given back",
            Self::Lapse(_) => "an unknown outcome",
            Self::Unverified(..) => "that a renewal is not verified",
            Self::Identity(..) => "that a renewal is verified",
            Self::End(..) => "the end of a grant",
        }
    }

    /// Tells the store. Whether it took effect there, for those of which that matters.
    async fn to(&self, store: &Store, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        match self {
            Self::Save(generation, renewed) => store.save_renewal(id, attempt, *generation, renewed).await,
            Self::Release(retry_at, refused) => {
                store.release_intent(id, attempt, *retry_at, refused.as_deref()).await.map(|()| true)
            }
            Self::Lapse(retry_at) => store.expire_lease(id, attempt, *retry_at).await.map(|()| true),
            Self::Unverified(generation, since) => store.mark_unverified(id, *generation, *since).await.map(|()| true),
            Self::Identity(generation, identity) => store.save_identity(id, *generation, identity).await.map(|()| true),
            Self::End(fence, reason, code) => store.end_grant(id, *fence, *reason, code.as_deref()).await,
        }
    }
}

/// The writes that wait, one for each attempt.
#[derive(Debug, Default)]
pub(super) struct Pending {
    state: Mutex<PendingState>,
    /// Something new waits.
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
    /// Is written once more: what the store had not done when we gave up waiting, it may do a little later.
    again: bool,
    told: Option<oneshot::Sender<Result<bool, StoreError>>>,
}

/// So many are written together.
const AT_ONCE: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// What the store was told is done after this, or never.
const SETTLED: Duration = Duration::from_secs(10);

impl Pending {
    fn state(&self) -> MutexGuard<'_, PendingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something of a grant has yet to be written, before which its refresh token must not be presented.
    pub(super) fn concerns(&self, id: GrantId) -> bool {
        let state = self.state();
        !state.waiting.is_empty() && state.waiting.values().any(|entry| entry.id == id && (entry.told.is_some() || entry.again))
    }
}

impl Engine {
    /// Writes, and goes on trying while the store is away. Whether it took effect.
    pub(super) async fn save_with_retry(
        self: &Arc<Self>,
        id: GrantId,
        attempt: AttemptId,
        write: Write,
    ) -> Result<bool, StoreError> {
        match write.to(&self.store, id, attempt).await {
            Err(error) if !error.is_refusal() => {
                tracing::info!(grant.id = %id, %error, "{} cannot be saved yet; it is kept until it can", write.describe());
            }
            done => return done,
        }
        let (tell, told) = oneshot::channel();
        self.enqueue(id, attempt, write, Some(tell));
        // The worker tells, or the process ends.
        told.await.unwrap_or(Ok(false))
    }

    /// Gives back, as soon as the store is there, an intent that may have been written and whose token was not presented: left
    /// to lapse, it would look like one that was.
    pub(super) fn release_intent(self: &Arc<Self>, id: GrantId, attempt: AttemptId) {
        self.enqueue(id, attempt, Write::Release(None, None), None);
    }

    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn enqueue(
        self: &Arc<Self>,
        id: GrantId,
        attempt: AttemptId,
        write: Write,
        told: Option<oneshot::Sender<Result<bool, StoreError>>>,
    ) {
        let again = told.is_none();
        let mut state = self.pending.state();
        state.waiting.insert(attempt, Entry { id, write, due: Instant::now(), failures: 0, again, told });
        self.pending.added.notify_one();
        if !std::mem::replace(&mut state.has_worker, true) {
            let engine = Arc::clone(self);
            self.tasks.spawn(async move { engine.write_pending().await });
        }
    }

    /// The one worker: writes what is due until nothing waits. What is new does not wait for what has failed.
    async fn write_pending(&self) {
        while let Some(next) = self.next_due() {
            let _due_or_new = tokio::time::timeout_at(next, self.pending.added.notified()).await;
            self.store.until_writable().await;
            let mut written = stream::iter(self.due())
                .map(|(attempt, id, write)| async move { (attempt, write.to(&self.store, id, attempt).await) })
                .buffer_unordered(AT_ONCE);
            while let Some((attempt, result)) = written.next().await {
                self.settle(attempt, result);
            }
        }
    }

    /// When the next write is due; `None`: nothing waits, and the worker is gone.
    fn next_due(&self) -> Option<Instant> {
        let mut state = self.pending.state();
        let next = state.waiting.values().map(|entry| entry.due).min();
        state.has_worker = next.is_some();
        next
    }

    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn due(&self) -> Vec<(AttemptId, GrantId, Write)> {
        let now = Instant::now();
        let state = self.pending.state();
        let due = state.waiting.iter().filter(|(_, entry)| entry.due <= now);
        due.map(|(attempt, entry)| (*attempt, entry.id, entry.write.clone())).collect()
    }

    /// Notes what became of a write.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    fn settle(&self, attempt: AttemptId, result: Result<bool, StoreError>) {
        let mut state = self.pending.state();
        let Some(mut entry) = state.waiting.remove(&attempt) else { return };
        match &result {
            Err(error) if error.is_refusal() => {
                tracing::error!(grant.id = %entry.id, %error, "the store refuses {}", entry.write.describe());
            }
            Err(_) => {
                entry.failures = entry.failures.saturating_add(1);
                entry.due = Instant::now() + back_off(entry.failures, FIRST_PAUSE, LONGEST_PAUSE);
                state.waiting.insert(attempt, entry);
                return;
            }
            Ok(_) if entry.again => {
                (entry.again, entry.failures, entry.due) = (false, 0, Instant::now() + SETTLED);
                state.waiting.insert(attempt, entry);
                return;
            }
            Ok(_) => {}
        }
        if let Some(told) = entry.told {
            // Whoever waited may have been dropped with its task.
            let _nobody = told.send(result);
        }
    }
}
