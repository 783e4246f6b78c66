//! Connections that rest between two requests.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::Connection;

/// Connections rest for this many [`TICK`]s at most: for less than common servers keep idle ones, so that we seldom use one
/// that is just being closed.
const LONGEST_REST: u32 = 6;
/// How often resting connections are looked at.
const TICK: Duration = Duration::from_secs(5);
/// So many rest at most.
const MOST_RESTING: usize = 1024;

/// Connections between two requests.
#[derive(Debug, Default)]
pub(in crate::forward) struct Resting {
    /// With the tick of when it was given back. Those in front have rested longest.
    connections: Mutex<VecDeque<(Box<Connection>, u32)>>,
    now: AtomicU32,
}

impl Resting {
    /// None as yet, which are looked at now and then for as long as anybody needs them.
    pub(in crate::forward) fn swept() -> Arc<Self> {
        let resting = Arc::<Self>::default();
        tokio::spawn(sweep_now_and_then(Arc::downgrade(&resting)));
        resting
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Box<Connection>, u32)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has rested for the shortest time.
    pub(in crate::forward) fn wake(&self) -> Option<Box<Connection>> {
        loop {
            let (mut connection, _) = self.lock().pop_back()?;
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Closes those that have rested long enough, and those that the upstream has closed.
    fn sweep(&self) {
        let now = self.now.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.lock().retain_mut(|(connection, since)| now.wrapping_sub(*since) < LONGEST_REST && connection.is_quiet());
    }

    /// Takes one that bears another request.
    pub(super) fn take_back(&self, connection: Box<Connection>) {
        let now = self.now.load(Ordering::Relaxed);
        let mut resting = self.lock();
        if resting.len() >= MOST_RESTING {
            resting.pop_front();
        }
        resting.push_back((connection, now));
    }
}

async fn sweep_now_and_then(resting: Weak<Resting>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(resting) = resting.upgrade() else { return };
        resting.sweep();
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

    fn connection(stream: UnixStream) -> Box<Connection> {
        Box::new(Connection::new(Stream::Unix(stream)))
    }

    #[tokio::test]
    async fn a_connection_rests_for_no_longer_than_it_may() {
        let resting = Resting::default();
        let (ours, mut app) = UnixStream::pair().unwrap();
        resting.take_back(connection(ours));
        for _ in 1..LONGEST_REST {
            resting.sweep();
        }
        let rested = resting.wake().expect("it is still there");
        resting.take_back(rested);
        for _ in 0..LONGEST_REST {
            resting.sweep();
        }
        assert!(resting.wake().is_none());
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test]
    async fn one_that_the_app_has_closed_or_speaks_on_is_used_no_more() {
        let resting = Resting::default();
        let [(closed, gone), (quiet, _still_there), (talkative, mut app)] = [(); 3].map(|()| UnixStream::pair().unwrap());
        drop(gone);
        app.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
        for heard in [&closed, &talkative] {
            heard.readable().await.unwrap();
        }
        for stream in [closed, quiet, talkative] {
            resting.take_back(connection(stream));
        }
        resting.sweep();
        assert_eq!(resting.lock().len(), 1);
        assert!(resting.wake().is_some() && resting.wake().is_none());
    }
}
