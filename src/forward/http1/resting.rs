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
