//! Connections that rest between two requests.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::Connection;

/// How often resting connections are looked at. None is used beyond its time, however long ago that was.
const TICK: Duration = Duration::from_secs(1);
/// So many rest at most.
const MOST_RESTING: usize = 1024;

/// Connections between two requests.
#[derive(Debug, Default)]
pub(in crate::forward) struct Resting {
    /// Those in front have rested longest.
    connections: Mutex<VecDeque<Rested>>,
}

#[derive(Debug)]
struct Rested {
    connection: Box<Connection>,
    until: Instant,
}

impl Rested {
    fn is_usable(&mut self, now: Instant) -> bool {
        now < self.until && self.connection.is_quiet()
    }
}

impl Resting {
    /// None as yet, which are looked at now and then for as long as anybody needs them.
    pub(in crate::forward) fn swept() -> Arc<Self> {
        let resting = Arc::<Self>::default();
        tokio::spawn(sweep_now_and_then(Arc::downgrade(&resting)));
        resting
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Rested>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has rested for the shortest time.
    pub(in crate::forward) fn wake(&self) -> Option<Box<Connection>> {
        loop {
            let mut rested = self.lock().pop_back()?;
            if rested.is_usable(now()) {
                return Some(rested.connection);
            }
        }
    }

    /// Closes those that have rested long enough, and those that the upstream has closed.
    fn sweep(&self) {
        let now = now();
        self.lock().retain_mut(|rested| rested.is_usable(now));
    }

    /// Takes one that bears another request within this time.
    pub(super) fn take_back(&self, connection: Box<Connection>, longest: Duration) {
        let until = now() + longest;
        let mut resting = self.lock();
        if resting.len() >= MOST_RESTING {
            resting.pop_front();
        }
        resting.push_back(Rested { connection, until });
    }
}

#[expect(clippy::disallowed_methods, reason = "how long an app lets connections rest has nothing to do with tokens' times")]
fn now() -> Instant {
    Instant::now()
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

    const SECOND: Duration = Duration::from_secs(1);

    fn connection(stream: UnixStream) -> Box<Connection> {
        Box::new(Connection::new(Stream::Unix(stream)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_for_no_longer_than_it_may() {
        let resting = Resting::default();
        let (ours, mut app) = UnixStream::pair().unwrap();
        resting.take_back(connection(ours), 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        resting.sweep();
        let rested = resting.wake().expect("it is still there");
        resting.take_back(rested, 4 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        let rested = resting.wake().expect("its time begins anew with each rest");
        resting.take_back(rested, 4 * SECOND);
        tokio::time::advance(4 * SECOND).await;
        assert!(resting.wake().is_none(), "whether or not anybody has swept");
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wakes_is_closed_by_and_by() {
        let resting = Resting::swept();
        let (ours, mut app) = UnixStream::pair().unwrap();
        resting.take_back(connection(ours), 4 * SECOND);
        assert_eq!(app.read(&mut [0]).await.unwrap(), 0, "it is closed");
        assert!(resting.lock().is_empty());
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
            resting.take_back(connection(stream), 4 * SECOND);
        }
        resting.sweep();
        assert_eq!(resting.lock().len(), 1);
        assert!(resting.wake().is_some() && resting.wake().is_none());
    }
}
