//! What ends the parts of the process, one after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::forward::Drain;

/// What ends the parts of the process, in the order of the fields. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    /// Whether the process reports itself unready, so that load balancers send it no more connections.
    pub(super) draining: Arc<AtomicBool>,
    /// Ends the accepting of connections, and of further requests on those that there are.
    pub(super) stop: CancellationToken,
    /// Ends tunnels and event streams, one after the other.
    pub(super) drain: Drain,
    pub(super) tunnels: TaskTracker,
    /// Ends background work. As long as a tunnel is open, this replica must learn of the end of its session.
    pub(super) background: CancellationToken,
    /// Background work, and what requests have begun that must be finished.
    pub(super) work: TaskTracker,
    /// Stops the heartbeat, which goes on until the last token refresh is saved.
    pub(super) heartbeat: CancellationToken,
}

impl Shutdown {
    /// Nothing is to end yet. Tunnels and event streams will end within `drain_deadline`.
    pub(super) fn new(drain_deadline: Duration) -> Self {
        Self {
            draining: Arc::default(),
            stop: CancellationToken::new(),
            drain: Drain::new(drain_deadline),
            tunnels: TaskTracker::new(),
            background: CancellationToken::new(),
            work: TaskTracker::new(),
            heartbeat: CancellationToken::new(),
        }
    }

    /// Reports the process unready.
    pub(super) fn begin(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Lets requests finish, and ends everything but the heartbeat. `serving` ends when all connections have.
    pub(super) async fn finish(&self, serving: tokio::task::JoinHandle<()>) {
        let _served = serving.await;
        self.tunnels.close();
        self.tunnels.wait().await;
        self.background.cancel();
        self.work.close();
        self.work.wait().await;
    }
}
