//! Connections of HTTP/1.1 to one upstream, each used for one request at a time and rested in between.
//!
//! A request is sent again only if nothing of it was sent, on a connection that had rested: the upstream may have closed that
//! in the same moment.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    ForwardError, Outgoing,
    connect::Connector,
    http1::{Answered, Broken, Connection, Failed, Rest, Sending, TakesBack},
    upstream::Undelivered,
};

/// Connections rest for this many [`TICK`]s at most: for less than common servers keep idle ones, so that we seldom use one
/// that is just being closed.
const LONGEST_REST: u32 = 6;
/// How often resting connections are looked at.
const TICK: Duration = Duration::from_secs(5);
/// So many rest at most.
const MOST_RESTING: usize = 1024;

/// The connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    resting: Arc<Resting>,
}

#[derive(Debug, Default)]
struct Resting {
    /// With the tick of when it was given back. Those in front have rested longest.
    connections: Mutex<VecDeque<(Box<Connection>, u32)>>,
    now: AtomicU32,
}

impl Resting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Box<Connection>, u32)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has rested for the shortest time.
    fn wake(&self) -> Option<Box<Connection>> {
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
}

impl TakesBack for Resting {
    fn take_back(&self, connection: Box<Connection>) {
        let now = self.now.load(Ordering::Relaxed);
        let mut resting = self.lock();
        if resting.len() >= MOST_RESTING {
            resting.pop_front();
        }
        resting.push_back((connection, now));
    }
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        let resting = Arc::<Resting>::default();
        tokio::spawn(sweep_now_and_then(Arc::downgrade(&resting)));
        Self { connector, resting }
    }

    /// Sends a request. The head of its answer must come `within` a time from when all of it was sent.
    pub(super) async fn send(&self, outgoing: Outgoing, within: Option<Duration>) -> Result<Answered, Undelivered> {
        let mut sending = Box::new(Sending::new(outgoing));
        while let Some(rested) = self.resting.wake() {
            match rested.ask(sending, within, Arc::clone(&self.resting) as Rest).await {
                // It was just being closed.
                Err(Failed::Unsent(unsent, _)) => sending = unsent,
                answered => return answered.map_err(Undelivered::from),
            }
        }
        // Boxed, as what few requests need: all of them carry the rest.
        Box::pin(self.send_anew(sending, within)).await
    }

    /// The same on a new connection. One that takes nothing says that there is no app.
    async fn send_anew(&self, sending: Box<Sending>, within: Option<Duration>) -> Result<Answered, Undelivered> {
        let stream = match self.connector.connect().await {
            Ok(stream) => stream,
            Err(error) => return Err(Undelivered::unreachable(*sending, error)),
        };
        let new = Box::new(Connection::new(stream));
        Ok(new.ask(sending, within, Arc::clone(&self.resting) as Rest).await?)
    }
}

impl Undelivered {
    fn unreachable(sending: Sending, error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { error: ForwardError::Unreachable(error), outgoing: sending.into_outgoing().map(Box::new) }
    }
}

impl From<Failed> for Undelivered {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unsent(sending, error) => Self::unreachable(*sending, error.into()),
            Failed::Broken(Broken::Request(error)) => ForwardError::Incomplete(error).into(),
            Failed::Broken(error) => ForwardError::Broken(error.into()).into(),
            Failed::TimedOut => ForwardError::TimedOut.into(),
        }
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
