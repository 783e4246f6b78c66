//! What goes with the parts of a request that outlive it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{connection_slot::InUse, session::live::Watch};

/// What goes with the parts of a request that outlive it: a tunnel, or a body.
#[derive(Debug)]
pub struct RequestGuards {
    /// Registers with its session what lasts for long; `None` if the request is not authenticated.
    pub watch: Option<Watch>,
    /// Keeps the client's connection from being taken for an idle one.
    pub in_use: InUse,
    /// Counts the bytes of the request's body, if it has one.
    pub received: Option<ByteCount>,
}

/// A count of bytes that goes on while others read it. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct ByteCount(Arc<AtomicU64>);

impl ByteCount {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The bytes so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many requests an upstream may have at the same time.
#[derive(Debug)]
pub(super) struct RequestLimit(Option<Slots>);

#[derive(Debug)]
struct Slots {
    free: Arc<Semaphore>,
    max: usize,
}

/// One of the requests that an upstream may have, held by whatever is under way of it.
#[derive(Clone, Debug)]
pub(super) struct RequestSlot(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

impl RequestLimit {
    /// So many, or any number.
    pub(super) fn new(max: Option<usize>) -> Self {
        Self(max.map(|max| Slots { free: Arc::new(Semaphore::new(max)), max }))
    }

    /// Takes a slot, if there is a limit.
    ///
    /// # Errors
    /// The upstream has as many requests as it may have.
    pub(super) fn try_acquire(&self) -> Result<Option<RequestSlot>, TryAcquireError> {
        let Some(slots) = &self.0 else { return Ok(None) };
        Arc::clone(&slots.free).try_acquire_owned().map(|slot| Some(RequestSlot(Arc::new(slot))))
    }

    /// Whether a slot is taken. Without a limit, none ever is.
    pub(super) fn has_requests(&self) -> bool {
        self.0.as_ref().is_some_and(|slots| slots.free.available_permits() < slots.max)
    }
}
