//! How many connections to apps are open. Each needs a file descriptor, and a client of HTTP/2 may have a hundred requests on one
//! connection of its own, each of which needs another to its app.
//!
//! Where no more may be open, one makes room that has served its app's requests and waits for the next one, whatever app that is.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, interval, timeout},
};

use super::http1::reaper::now;
use crate::lock::Mutex;

/// Limits the connections to all apps together, whatever routes lead to them. Cloning shares it.
#[derive(Clone, Debug)]
pub struct UpstreamConnections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    slots: Arc<Semaphore>,
    pools: Mutex<Vec<Weak<dyn Pool>>>,
}

/// The connections to one app, of which some may be idle.
pub(super) trait Pool: fmt::Debug + Send + Sync {
    /// Since when the one is idle that has been so for the longest time.
    fn longest_idle_since(&self) -> Option<Instant>;

    /// Closes that one.
    fn close_longest_idle(&self);
}

/// One of the connections that may be open, held by whatever holds the connection.
#[derive(Debug)]
pub(super) struct UpstreamConnectionSlot {
    _permit: OwnedSemaphorePermit,
}

/// No connection may be opened.
#[derive(Debug, thiserror::Error)]
#[error("as many connections to apps are in use as the limit of open files allows")]
pub struct TooManyConnections;

/// Whoever waits looks so often for a connection that makes room.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// One that was used a moment ago is about to be used again, by its own app's requests.
const MIN_IDLE: Duration = Duration::from_millis(100);

impl UpstreamConnections {
    /// So many may be open at the same time.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Shared { slots: Arc::new(Semaphore::new(max)), pools: Mutex::default() }))
    }

    /// Has idle connections of `pool` make room for others, for as long as it exists.
    pub(super) fn register<P: Pool + 'static>(&self, pool: &Arc<P>) {
        let pool: Weak<P> = Arc::downgrade(pool);
        let mut pools = self.0.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Takes a slot, for which an idle connection makes room if it must.
    ///
    /// # Errors
    /// None has within the time.
    pub(super) async fn acquire(&self, within: Duration) -> Result<UpstreamConnectionSlot, TooManyConnections> {
        let slots = || Arc::clone(&self.0.slots);
        if let Ok(permit) = slots().try_acquire_owned() {
            return Ok(UpstreamConnectionSlot { _permit: permit });
        }
        let (mut acquired, mut looks) = (pin!(timeout(within, slots().acquire_owned())), interval(LOOK_INTERVAL));
        loop {
            tokio::select! {
                biased;
                permit = &mut acquired => return match permit {
                    Ok(Ok(permit)) => Ok(UpstreamConnectionSlot { _permit: permit }),
                    Ok(Err(_)) | Err(_) => Err(TooManyConnections),
                },
                _ = looks.tick() => self.close_longest_idle(),
            }
        }
    }

    fn close_longest_idle(&self) {
        let pools: Vec<_> = self.0.pools.lock().iter().filter_map(Weak::upgrade).collect();
        let idle = pools.iter().filter_map(|pool| Some((pool.longest_idle_since()?, pool)));
        if let Some((since, pool)) = idle.min_by_key(|(since, _)| *since)
            && now().duration_since(since) >= MIN_IDLE
        {
            pool.close_longest_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::forward::ForwardError;

    /// A pool of connections that have been idle since these moments.
    #[derive(Debug, Default)]
    struct Idle(Mutex<Vec<(Instant, UpstreamConnectionSlot)>>, AtomicUsize);

    impl Pool for Idle {
        fn longest_idle_since(&self) -> Option<Instant> {
            self.0.lock().first().map(|(since, _)| *since)
        }

        fn close_longest_idle(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.lock().remove(0);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_connection_makes_room_that_has_been_idle_longest_whatever_app_it_leads_to() {
        let open = UpstreamConnections::new(3);
        let pools = [Arc::new(Idle::default()), Arc::new(Idle::default())];
        pools.iter().for_each(|pool| open.register(pool));
        for pool in [0, 1, 0] {
            let slot = open.acquire(SECOND).await.unwrap();
            pools[pool].0.lock().push((now(), slot));
            tokio::time::sleep(SECOND).await;
        }
        let mut in_use = Vec::new();
        for closed in [(1, 0), (1, 1), (2, 1)] {
            in_use.push(open.acquire(SECOND).await.unwrap());
            assert_eq!((pools[0].1.load(Ordering::Relaxed), pools[1].1.load(Ordering::Relaxed)), closed);
        }
        let error = ForwardError::of_connecting(open.acquire(SECOND).await.unwrap_err().into());
        assert!(matches!(error, ForwardError::NoConnection(_)), "{error}");
        drop(in_use.pop());
        assert!(open.acquire(SECOND).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_used_a_moment_ago_is_left_to_its_app() {
        let open = UpstreamConnections::new(1);
        let pool = Arc::new(Idle::default());
        open.register(&pool);
        let slot = open.acquire(SECOND).await.unwrap();
        pool.0.lock().push((now(), slot));
        assert!(open.acquire(MIN_IDLE / 2).await.is_err());
        assert!(open.acquire(SECOND).await.is_ok(), "it is idle by then");
    }
}
