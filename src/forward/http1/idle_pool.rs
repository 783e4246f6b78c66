//! The connection pool: keep-alive connections that are idle between two requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::Connection,
    reaper::{now, spawn_reaper},
};

/// The most connections that are kept idle.
const MAX_IDLE: usize = 1024;

/// Idle connections to one server.
#[derive(Debug, Default)]
pub struct IdlePool {
    /// Those in front have been idle for the longest time.
    connections: Mutex<VecDeque<IdleConnection>>,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Box<Connection>,
    until: Instant,
}

/// The right of a connection to go back to the pool that it belongs to.
#[derive(Debug)]
pub(super) struct Reuse {
    pub(super) pool: Arc<IdlePool>,
    /// How long the connection may stay idle.
    pub(super) idle_limit: Duration,
}

impl IdleConnection {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.connection.is_reusable()
    }
}

impl Reuse {
    pub(super) fn release(self, connection: Box<Connection>) {
        self.pool.release(connection, self.idle_limit);
    }
}

impl IdlePool {
    /// An empty pool, with a task that closes connections which nobody uses, for as long as the pool exists.
    pub fn with_reaper() -> Arc<Self> {
        let pool = Arc::<Self>::default();
        spawn_reaper(&pool, Self::reap);
        pool
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<IdleConnection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that has been idle for the shortest time.
    pub fn checkout(&self) -> Option<Box<Connection>> {
        loop {
            let mut idle = self.lock().pop_back()?;
            if idle.is_usable(now()) {
                return Some(idle.connection);
            }
        }
    }

    /// Takes back a connection that may stay idle for so long.
    fn release(&self, connection: Box<Connection>, idle_limit: Duration) {
        let until = now() + idle_limit;
        let mut connections = self.lock();
        if connections.len() >= MAX_IDLE {
            connections.pop_front();
        }
        connections.push_back(IdleConnection { connection, until });
    }

    /// Closes the connections whose limit is over, and those that the server has closed.
    fn reap(&self) {
        let now = now();
        self.lock().retain_mut(|idle| idle.is_usable(now));
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::{super::transport::Transport, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(stream: UnixStream) -> Box<Connection> {
        Box::new(Connection::new(Transport::Unix(stream)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_for_no_longer_than_it_may() {
        let pool = IdlePool::default();
        let (client, mut server) = UnixStream::pair().unwrap();
        pool.release(connection(client), 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        pool.reap();
        let idle = pool.checkout().expect("it is still there");
        pool.release(idle, 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        let idle = pool.checkout().expect("its time begins anew with each release");
        pool.release(idle, 4 * SECOND);
        tokio::time::advance(4 * SECOND).await;
        assert!(pool.checkout().is_none(), "whether or not it was reaped");
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_uses_is_closed_by_the_reaper() {
        let pool = IdlePool::with_reaper();
        let (client, mut server) = UnixStream::pair().unwrap();
        pool.release(connection(client), 4 * SECOND);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0, "it is closed");
        assert!(pool.lock().is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_or_speaks_on_is_used_no_more() {
        let pool = IdlePool::default();
        let [(closed, gone), (quiet, _still_there), (talkative, mut server)] = [(); 3].map(|()| UnixStream::pair().unwrap());
        drop(gone);
        server.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
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
