//! A client connection's slot among those that may be open at the same time, which also tells a connection in use from an idle
//! one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::OwnedSemaphorePermit;

/// The slot of a connection. It stays taken until the connection and everything in progress on it have ended.
#[derive(Clone, Debug)]
pub struct ConnectionSlot(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    in_use: AtomicUsize,
    open_bodies: AtomicUsize,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    /// A slot of a connection on which nothing is in progress.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Slot { in_use: AtomicUsize::new(0), open_bodies: AtomicUsize::new(0), _permit: permit }))
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
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

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
        drop(slot);
        assert_eq!(slots.available_permits(), 0, "a tunnel keeps the slot");
        drop(tunnel);
        assert_eq!(slots.available_permits(), 1);
    }
}
