//! A timer that runs on from request to request.

use std::{future::Future, pin::Pin, task::Context};

use tokio::time::{Instant, Sleep};

/// A timer of a connection. It runs on after a request, because setting it anew costs more than finding out, now and then, that
/// it is not time yet.
#[derive(Debug, Default)]
pub(super) struct ReusableTimer(Option<Pin<Box<Sleep>>>);

impl ReusableTimer {
    /// Whether `deadline` is over. If not, the task is woken no later than then.
    pub(super) fn poll_elapsed(&mut self, deadline: Instant, context: &mut Context<'_>) -> bool {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                self.0 = None;
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }

    /// Stops it, and releases what it holds.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }
}
