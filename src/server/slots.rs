//! How many connections may be open at the same time, and which of them make room.
//!
//! Whoever holds connections and sends nothing would lock everybody out. When all slots are taken, the next connection takes that of one
//! on which nothing is in progress, as nginx does: of the one whose last request is longest ago, or, where many have never sent a request, of
//! the oldest of those. No request, tunnel or response is ever cut for it: a client of HTTP/2 is told to open no more streams, and what it
//! has sent meanwhile is served.
//!
//! Where nothing can make room, a few slots of a reserve are left. Whoever gets one is told that all others are in use, but for probes and
//! the administration: an orchestrator that gets no answer would kill the process with all that is in use.

use std::{
    collections::HashMap,
    fmt,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::activity::ConnectionActivity;
use crate::{connection_slot::ConnectionSlot, lock::Mutex};

/// Connections that may be open at the same time, at one listener or several.
pub struct ConnectionSlots {
    max: usize,
    free: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    warned: Mutex<Option<Instant>>,
    open: Mutex<HashMap<u64, OpenConnection>>,
    accepted: AtomicU64,
}

/// A connection that is served.
#[derive(Debug)]
struct OpenConnection {
    activity: Arc<ConnectionActivity>,
    slot: ConnectionSlot,
}

/// Keeps a connection among the open ones.
#[derive(Debug)]
pub(super) struct Registered {
    slots: Arc<ConnectionSlots>,
    number: u64,
}

/// Of which slots one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Those of the reserve. One on which no request has come yet is left to send it for a moment, because it is there to be answered.
    Reserve,
    /// All others.
    Others,
}

/// One that was to make room and has not yet, because a request came in that moment or its client is far away, leaves it to another
/// after this time.
const EVICTION_TIME: Duration = Duration::from_millis(250);
/// One in so many slots may be held by connections without a request before those make room first.
const MANY_SILENT: usize = 8;
/// One in so many idle connections makes room at a time, and so many at most: those of nginx (`ngx_drain_connections`).
const IDLE_PER_EVICTED: usize = 8;
const MOST_EVICTED: usize = 32;
/// One in so many slots is of the reserve, and so many at most.
const SLOTS_PER_RESERVED: usize = 8;
const MOST_RESERVED: usize = 16;
/// That all are in use is a warning so often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

impl ConnectionSlots {
    /// So many, none of which is of a reserve.
    pub fn new(max: usize) -> Arc<Self> {
        Self::of(max, 0)
    }

    /// So many with a reserve.
    pub fn with_reserve(max: usize) -> Arc<Self> {
        Self::of(max, (max / SLOTS_PER_RESERVED).min(MOST_RESERVED))
    }

    fn of(max: usize, reserved: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            free: Arc::new(Semaphore::new(max - reserved)),
            reserve: Arc::new(Semaphore::new(reserved)),
            warned: Mutex::default(),
            open: Mutex::default(),
            accepted: AtomicU64::new(0),
        })
    }

    /// The most connections that may be open.
    pub fn max(&self) -> usize {
        self.max
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.lock().len()
    }

    /// Takes a slot, for which a connection makes room if it must, or one of the reserve where none can.
    pub(super) async fn take(&self) -> ConnectionSlot {
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                return ConnectionSlot::new(permit);
            }
            let one_ends = self.evict(Share::Others);
            if !one_ends {
                self.warn();
                if let Ok(permit) = Arc::clone(&self.reserve).try_acquire_owned() {
                    return ConnectionSlot::of_reserve(permit, Arc::clone(&self.free));
                }
                self.evict(Share::Reserve);
            }
            // Nobody closes the semaphores. If somebody did, there would never be a slot.
            tokio::select! {
                permit = Arc::clone(&self.free).acquire_owned() => match permit {
                    Ok(permit) => return ConnectionSlot::new(permit),
                    Err(_closed) => return pending().await,
                },
                permit = Arc::clone(&self.reserve).acquire_owned(), if !one_ends => match permit {
                    Ok(permit) => return ConnectionSlot::of_reserve(permit, Arc::clone(&self.free)),
                    Err(_closed) => return pending().await,
                },
                () = sleep(EVICTION_TIME) => {}
            }
        }
    }

    /// Registers a connection that is served.
    pub(super) fn register(self: &Arc<Self>, activity: Arc<ConnectionActivity>, slot: ConnectionSlot) -> Registered {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(number, OpenConnection { activity, slot });
        Registered { slots: Arc::clone(self), number }
    }

    /// Tells that all connections are in use.
    #[expect(clippy::disallowed_methods, reason = "how often it is told has nothing to do with tokens' times")]
    fn warn(&self) {
        let (now, mut warned) = (Instant::now(), self.warned.lock());
        if warned.is_none_or(|warned| now.duration_since(warned) >= WARNING_INTERVAL) {
            *warned = Some(now);
            tracing::warn!(connections.most = self.max, "all client connections are in use; others wait or are turned away");
        }
    }

    /// Has the connections of a share end that are needed least, of those that are not in use: one where there are few, more where there are many, so that
    /// a flood of newcomers does not look through all of them for each one. Whether any is about to end.
    fn evict(&self, share: Share) -> bool {
        let open = self.open.lock();
        let of_share = || open.iter().filter(|(_, connection)| connection.share() == share);
        let idle = || of_share().filter(|(_, connection)| connection.may_be_evicted());
        let silent = idle().filter(|(_, connection)| !connection.activity.has_begun()).count();
        // A few are newcomers, which are about to send their first request.
        let are_silent_first = silent > self.max / MANY_SILENT;
        let key = |number: u64, connection: &OpenConnection| {
            (connection.activity.has_begun() == are_silent_first, connection.slot.idle_since(), number)
        };
        let mut least: Vec<_> = idle().map(|(number, connection)| (key(*number, connection), connection)).collect();
        let evicted = (least.len() / IDLE_PER_EVICTED).clamp(1, MOST_EVICTED).min(least.len());
        if evicted < least.len() {
            least.select_nth_unstable_by_key(evicted, |(key, _)| *key);
        }
        for (_, connection) in least.iter().take(evicted) {
            connection.activity.evict();
        }
        evicted > 0 || of_share().any(|(_, connection)| connection.activity.is_evicted())
    }
}

impl OpenConnection {
    fn share(&self) -> Share {
        if self.slot.is_held_in_reserve() { Share::Reserve } else { Share::Others }
    }

    fn may_be_evicted(&self) -> bool {
        let is_awaited = self.share() == Share::Reserve && !self.activity.has_begun() && self.slot.is_young(EVICTION_TIME);
        !is_awaited && !self.activity.is_evicted() && self.activity.is_idle(&self.slot)
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
