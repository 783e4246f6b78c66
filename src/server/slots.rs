//! How many connections may be open at the same time, and which of them make room.
//!
//! Whoever holds connections and sends nothing would lock everybody out. When all slots are taken, the next connection takes that of one
//! on which nothing is in progress, as nginx does: of the one whose last request is longest ago, or, where many have never sent a request, of
//! the oldest of those. No request, tunnel or response is ever cut for it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::activity::ConnectionActivity;
use crate::{connection_slot::ConnectionSlot, lock::Mutex};

/// Connections that may be open at the same time, at one listener or several.
pub struct ConnectionSlots {
    max: usize,
    free: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<OpenConnection>>>,
    accepted: AtomicU64,
}

/// A connection that is served.
#[derive(Debug)]
pub(super) struct OpenConnection {
    opened: Instant,
    activity: Arc<ConnectionActivity>,
    slot: ConnectionSlot,
    evicted: Notify,
}

/// Keeps a connection among the open ones.
#[derive(Debug)]
pub(super) struct Registered {
    slots: Arc<ConnectionSlots>,
    number: u64,
    pub(super) connection: Arc<OpenConnection>,
}

/// One that was to make room and did not, because a request came in that moment, leaves it to another after this time.
const EVICTION_TIME: Duration = Duration::from_millis(50);
/// One in so many slots may be held by connections without a request before those make room first.
const MANY_SILENT: usize = 8;
/// One in so many idle connections makes room at a time, and so many at most: those of nginx (`ngx_drain_connections`).
const IDLE_PER_EVICTED: usize = 8;
const MOST_EVICTED: usize = 32;

impl ConnectionSlots {
    /// So many.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, free: Arc::new(Semaphore::new(max)), open: Mutex::default(), accepted: AtomicU64::new(0) })
    }

    /// Takes a slot, for which a connection makes room if it must. `None` if there are no slots any more, which is never the case.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
                return Some(slot);
            }
            self.evict();
            if let Ok(slot) = timeout(EVICTION_TIME, Arc::clone(&self.free).acquire_owned()).await {
                return slot.ok();
            }
        }
    }

    /// Registers a connection that is served.
    #[expect(clippy::disallowed_methods, reason = "how long a connection has been idle has nothing to do with tokens' times")]
    pub(super) fn register(self: &Arc<Self>, activity: Arc<ConnectionActivity>, slot: ConnectionSlot) -> Registered {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(OpenConnection { opened: Instant::now(), activity, slot, evicted: Notify::new() });
        self.open.lock().insert(number, Arc::clone(&connection));
        Registered { slots: Arc::clone(self), number, connection }
    }

    /// Has the connections end that are needed least, of those that are not in use: one where there are few, more where there are many, so that
    /// a flood of newcomers does not look through all of them for each one.
    fn evict(&self) {
        let open = self.open.lock();
        let idle = || open.iter().filter(|(_, connection)| connection.is_idle());
        let silent = idle().filter(|(_, connection)| !connection.activity.has_begun()).count();
        // A few are newcomers, which are about to send their first request.
        let are_silent_first = silent > self.max / MANY_SILENT;
        let key = |number: u64, connection: &OpenConnection| {
            let activity = &connection.activity;
            (activity.has_begun() == are_silent_first, activity.idle_since().unwrap_or(connection.opened), number)
        };
        let mut least: Vec<_> = idle().map(|(number, connection)| (key(*number, connection), connection)).collect();
        let evicted = (least.len() / IDLE_PER_EVICTED).clamp(1, MOST_EVICTED).min(least.len());
        if evicted < least.len() {
            least.select_nth_unstable_by_key(evicted, |(key, _)| *key);
        }
        for (_, connection) in least.iter().take(evicted) {
            connection.evicted.notify_one();
        }
    }
}

impl OpenConnection {
    fn is_idle(&self) -> bool {
        self.slot.is_idle() && !self.slot.has_open_body() && !self.activity.is_writing()
    }

    /// Waits until the connection is to make room, with nothing in progress on it.
    pub(super) async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            if self.is_idle() {
                return;
            }
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.slots.open.lock().remove(&self.number);
    }
}

impl fmt::Debug for ConnectionSlots {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConnectionSlots").field("free", &self.free).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
