//! How long a body may take.

use std::{future::Future, pin::Pin, task::Context, time::Duration};

use hyper::body::Body;
use tokio::time::Sleep;

/// How long a body may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyTimeouts {
    /// Between two pieces.
    pub(super) idle: Option<Duration>,
    /// In all.
    pub(super) total: Option<Duration>,
}

/// The times that run while a body is under way.
#[derive(Debug)]
pub(super) struct Deadlines {
    timeouts: BodyTimeouts,
    idle: Option<Pin<Box<Sleep>>>,
    total: Option<Pin<Box<Sleep>>>,
}

impl Deadlines {
    /// Starts the times of a body; `None` if it has no limit, or is empty.
    pub(super) fn new(body: &impl Body, timeouts: BodyTimeouts) -> Option<Box<Self>> {
        let is_limited = (timeouts.idle.is_some() || timeouts.total.is_some()) && !body.is_end_stream();
        let total = |timeout: Option<Duration>| timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        is_limited.then(|| Box::new(Self { timeouts, idle: None, total: total(timeouts.total) }))
    }

    /// Whether a time is over. The idle time runs only while the sender of the body `is_waited_for`, not while its receiver is
    /// slow.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>, is_waited_for: bool) -> bool {
        if !is_waited_for {
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = self.timeouts.idle.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        }
        let mut is_ready =
            |sleep: &mut Option<Pin<Box<Sleep>>>| sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
        is_ready(&mut self.total) || is_ready(&mut self.idle)
    }
}
