//! A client connection's slot among those that may be open at the same time, which also tells a connection in use from an idle
//! one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::lock::Mutex;

/// The slot of a connection. It stays taken until the connection and everything in progress on it have ended.
#[derive(Clone, Debug)]
pub struct ConnectionSlot(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    in_use: AtomicUsize,
    open_bodies: AtomicUsize,
    taken: Instant,
    /// Nanoseconds from then until the last guard was dropped.
    idle_since: AtomicU64,
    is_of_reserve: AtomicBool,
    /// The slots that are not of the reserve.
    others: Option<Arc<Semaphore>>,
    permit: Mutex<OwnedSemaphorePermit>,
}

impl ConnectionSlot {
    /// A slot of a connection on which nothing is in progress.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self::taken(permit, None)
    }

    /// A slot of the reserve, which is left for one of the `others` as soon as one of them is free.
    pub fn of_reserve(permit: OwnedSemaphorePermit, others: Arc<Semaphore>) -> Self {
        Self::taken(permit, Some(others))
    }

    fn taken(permit: OwnedSemaphorePermit, others: Option<Arc<Semaphore>>) -> Self {
        Self(Arc::new(Slot {
            in_use: AtomicUsize::default(),
            open_bodies: AtomicUsize::default(),
            taken: now(),
            idle_since: AtomicU64::default(),
            is_of_reserve: AtomicBool::new(others.is_some()),
            others,
            permit: Mutex::new(permit),
        }))
    }

    /// Whether the slot is one of the reserve, and no other is free.
    pub fn is_of_reserve(&self) -> bool {
        if !self.0.is_of_reserve.load(Ordering::Relaxed) {
            return false;
        }
        let free = self.0.others.as_ref().and_then(|others| Arc::clone(others).try_acquire_owned().ok());
        let Some(free) = free else { return true };
        *self.0.permit.lock() = free;
        self.0.is_of_reserve.store(false, Ordering::Relaxed);
        false
    }

    /// Whether the slot was one of the reserve when that was last asked for.
    pub fn is_held_in_reserve(&self) -> bool {
        self.0.is_of_reserve.load(Ordering::Relaxed)
    }

    /// Marks the connection as in use until the guard and all its clones are dropped. Whatever belongs to a request holds one,
    /// also where it outlives the serving of requests, as a tunnel does.
    pub fn in_use(&self) -> InUse {
        self.0.in_use.fetch_add(1, Ordering::Relaxed);
        InUse(Arc::clone(&self.0))
    }

    /// Whether nothing is in progress on the connection.
    pub fn is_idle(&self) -> bool {
        self.0.in_use.load(Ordering::Relaxed) == 0
    }

    /// Since when nothing has been in progress on the connection, if nothing is.
    pub fn idle_since(&self) -> Instant {
        self.0.taken + Duration::from_nanos(self.0.idle_since.load(Ordering::Relaxed))
    }

    /// Whether the slot was taken less than so long ago.
    pub fn is_young(&self, age: Duration) -> bool {
        now().duration_since(self.0.taken) < age
    }

    /// Whether somebody still reads a request's body from the connection. That alone does not make it in use, so that a client
    /// that sends no more of an upload whose response is complete does not hold it forever; but what comes next on it belongs to
    /// that body, and to no other request.
    pub fn has_open_body(&self) -> bool {
        self.0.open_bodies.load(Ordering::Relaxed) > 0
    }
}

/// Keeps a connection from being idle.
#[derive(Debug)]
pub struct InUse(Arc<Slot>);

impl InUse {
    /// Marks that a request's body is read from the connection, until the guard is dropped.
    pub fn open_body(&self) -> OpenBody {
        self.0.open_bodies.fetch_add(1, Ordering::Relaxed);
        OpenBody(Arc::clone(&self.0))
    }
}

/// A request's body that is read from the connection.
#[derive(Debug)]
pub struct OpenBody(Arc<Slot>);

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.open_bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Clone for InUse {
    fn clone(&self) -> Self {
        ConnectionSlot(Arc::clone(&self.0)).in_use()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.0.in_use.fetch_sub(1, Ordering::Relaxed) == 1 {
            let since = u64::try_from(now().duration_since(self.0.taken).as_nanos());
            self.0.idle_since.store(since.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a connection is idle has nothing to do with tokens' times")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_of_the_reserve_is_given_back_once_another_is_free() {
        let (others, reserve) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let other = ConnectionSlot::new(Arc::clone(&others).acquire_owned().await.unwrap());
        let reserved = ConnectionSlot::of_reserve(Arc::clone(&reserve).acquire_owned().await.unwrap(), Arc::clone(&others));
        assert!(reserved.is_of_reserve() && !other.is_of_reserve());
        drop(other);
        assert!(!reserved.is_of_reserve());
        assert_eq!((others.available_permits(), reserve.available_permits()), (0, 1));
    }

    #[tokio::test]
    async fn a_connection_is_idle_once_every_guard_is_dropped_and_open_until_then() {
        let slots = Arc::new(Semaphore::new(1));
        let slot = ConnectionSlot::new(Arc::clone(&slots).acquire_owned().await.unwrap());
        assert!(slot.is_idle());
        let request = slot.in_use();
        let tunnel = request.clone();
        drop(request);
        assert!(!slot.is_idle());
        let body = tunnel.open_body();
        assert!(slot.has_open_body());
        drop(body);
        assert!(!slot.has_open_body());
        let before = slot.idle_since();
        drop(slot.in_use());
        assert_eq!(slot.idle_since(), before, "another guard is left");
        drop(slot);
        assert_eq!(slots.available_permits(), 0, "a tunnel keeps the slot");
        drop(tunnel);
        assert_eq!(slots.available_permits(), 1);
    }
}
