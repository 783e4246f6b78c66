//! Connections that rest between two requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::Connection;

/// How often pool connections are looked at. None is used guards its time, however long ago that was.
const TICK: Duration = Duration::from_secs(1);
/// So many rest at most.
const MAX_IDLE: usize = 1024;

/// Connections between two requests.
#[derive(Debug, Default)]
pub(in crate::forward) struct IdlePool {
    /// Those in front have rested idle_limit.
    connections: Mutex<VecDeque<IdleConnection>>,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Box<Connection>,
    until: Instant,
}

impl IdleConnection {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.connection.is_reusable()
    }
}

impl IdlePool {
    /// None as yet, which are looked at now and then for as long as anybody needs them.
    pub(in crate::forward) fn with_reaper() -> Arc<Self> {
        let pool = Arc::<Self>::default();
        tokio::spawn(reap_periodically(Arc::downgrade(&pool)));
        pool
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<IdleConnection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has rested for the shortest time.
    pub(in crate::forward) fn checkout(&self) -> Option<Box<Connection>> {
        loop {
            let mut rested = self.lock().pop_back()?;
            if rested.is_usable(now()) {
                return Some(rested.connection);
            }
        }
    }

    /// Closes those that have rested long enough, and those that the upstream has closed.
    fn reap(&self) {
        let now = now();
        self.lock().retain_mut(|rested| rested.is_usable(now));
    }

    /// Takes one that bears another request within this time.
    pub(super) fn release(&self, connection: Box<Connection>, idle_limit: Duration) {
        let until = now() + idle_limit;
        let mut pool = self.lock();
        if pool.len() >= MAX_IDLE {
            pool.pop_front();
        }
        pool.push_back(IdleConnection { connection, until });
    }
}

#[expect(clippy::disallowed_methods, reason = "how long an app lets connections rest has nothing to do with tokens' times")]
fn now() -> Instant {
    Instant::now()
}

async fn reap_periodically(pool: Weak<IdlePool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.reap();
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;
    use crate::forward::http1::Stream;

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(stream: UnixStream) -> Box<Connection> {
        Box::new(Connection::new(Stream::Unix(stream)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_for_no_longer_than_it_may() {
        let pool = IdlePool::default();
        let (near, mut app) = UnixStream::pair().unwrap();
        pool.release(connection(near), 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        pool.reap();
        let rested = pool.checkout().expect("it is still there");
        pool.release(rested, 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        let rested = pool.checkout().expect("its time begins anew with each rest");
        pool.release(rested, 4 * SECOND);
        tokio::time::advance(4 * SECOND).await;
        assert!(pool.checkout().is_none(), "whether or not anybody has with_reaper");
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wakes_is_closed_by_and_by() {
        let pool = IdlePool::with_reaper();
        let (near, mut app) = UnixStream::pair().unwrap();
        pool.release(connection(near), 4 * SECOND);
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "it is closed");
        assert!(pool.lock().is_empty());
    }

    #[tokio::test]
    async fn one_that_the_app_has_closed_or_speaks_on_is_used_no_more() {
        let pool = IdlePool::default();
        let [(closed, gone), (quiet, _still_there), (talkative, mut app)] = [(); 3].map(|()| UnixStream::pair().unwrap());
        drop(gone);
        app.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
        for heard in [&closed, &talkative] {
            heard.readable().await.unwrap();
        }
        for stream in [closed, quiet, talkative] {
            pool.release(connection(stream), 4 * SECOND);
        }
        pool.reap();
        assert_eq!(pool.lock().len(), 1);
        assert!(pool.checkout().is_some() && pool.checkout().is_none());
    }
}
