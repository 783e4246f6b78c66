//! The task that serves a stream of HTTP/2.
//!
//! While a client keeps the stream's window shut, hyper listens to nothing but the client, and the response holds its connection
//! to the app and all else. This task therefore looks at the response whenever something of it waits for the client, and ends the
//! stream when its body is to end, or when the client takes nothing of it for too long: h2 resets a stream that is dropped
//! (CANCEL), and drops what it holds of it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::{
    task,
    time::{Instant, Sleep},
};

use super::{CutBody, activity::ConnectionActivity, stream_body::StreamProgress};

use crate::lock::Mutex;

/// Spawns the tasks of one connection.
#[derive(Debug)]
pub(super) struct StreamExecutor<B> {
    next: Arc<Mutex<Option<NextStream<B>>>>,
    activity: Arc<ConnectionActivity>,
    stall_timeout: Duration,
}

/// A stream whose task is about to be spawned, and the task of the connection, which does that. Others spawn as well.
#[derive(Debug)]
struct NextStream<B> {
    progress: Arc<StreamProgress<B>>,
    connection: Option<task::Id>,
}

impl<B> StreamExecutor<B> {
    /// Ends streams of which the client takes nothing for `stall_timeout` at least, and a quarter more at most.
    pub(super) fn new(activity: Arc<ConnectionActivity>, stall_timeout: Duration) -> Self {
        Self { next: Arc::default(), activity, stall_timeout }
    }

    /// The progress of the stream whose request hyper hands over now: its task is what hyper spawns next in the same task.
    pub(super) fn begin_stream(&self) -> Arc<StreamProgress<B>> {
        let progress = Arc::new(StreamProgress::new(Arc::clone(&self.activity)));
        let next = NextStream { progress: Arc::clone(&progress), connection: task::try_id() };
        *self.next.lock() = Some(next);
        progress
    }

    fn take_next(&self) -> Option<Arc<StreamProgress<B>>> {
        let mut next = self.next.lock();
        next.take_if(|next| next.connection == task::try_id()).map(|next| next.progress)
    }
}

impl<B> Clone for StreamExecutor<B> {
    fn clone(&self) -> Self {
        Self { next: Arc::clone(&self.next), activity: Arc::clone(&self.activity), stall_timeout: self.stall_timeout }
    }
}

impl<B, F> Executor<F> for StreamExecutor<B>
where
    B: CutBody + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        match self.take_next() {
            Some(progress) => {
                tokio::spawn(StreamTask { task, progress, stall: StallTimer::new(self.stall_timeout) });
            }
            // What writes to a WebSocket, whose tunnel sees how far that comes.
            None => {
                tokio::spawn(task);
            }
        }
    }
}

pin_project! {
    /// Serves a stream for as long as its response may last.
    struct StreamTask<F, B> {
        #[pin]
        task: F,
        progress: Arc<StreamProgress<B>>,
        stall: StallTimer,
    }
}

impl<F: Future<Output = ()>, B: CutBody> Future for StreamTask<F, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.task.poll(context).is_ready() {
            return Poll::Ready(());
        }
        // What waits for the app alone may wait forever.
        if !this.progress.waits_for_client() {
            return Poll::Pending;
        }
        if this.progress.poll_cut(context).is_ready() {
            return Poll::Ready(());
        }
        this.stall.poll_stalled(this.progress, context)
    }
}

/// Tells when nothing was written for long though there was something to write. It is looked at only then.
#[derive(Debug)]
struct StallTimer {
    tick: Option<Pin<Box<Sleep>>>,
    interval: Duration,
    written: u64,
    /// So many ticks have seen no more than that, though the stream did not wait for its turn.
    ticks: u32,
}

/// The time limit is told in so many ticks, because a timer that is set for each write costs more.
const TICKS: u32 = 4;

impl StallTimer {
    fn new(limit: Duration) -> Self {
        Self { tick: None, interval: limit / TICKS, written: 0, ticks: 0 }
    }

    /// Ready when nothing more was written for all of the time limit. That nothing had to be written in between changes the number of
    /// bytes as well, because something was written then. A tick at which the stream waits for its turn leaves those before it as they
    /// are: the connection has a limit of its own.
    #[expect(clippy::disallowed_methods, reason = "how long a client takes nothing has nothing to do with tokens' times")]
    fn poll_stalled<B>(&mut self, progress: &StreamProgress<B>, context: &mut Context<'_>) -> Poll<()> {
        let interval = self.interval;
        let tick = self.tick.get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        loop {
            ready!(tick.as_mut().poll(context));
            let written = progress.written();
            // Some time has passed between the last write and the first tick that sees it, which is not counted.
            if written != self.written {
                (self.written, self.ticks) = (written, 0);
            } else if !progress.waits_for_turn() {
                self.ticks += 1;
            }
            if self.ticks >= TICKS {
                return Poll::Ready(());
            }
            tick.as_mut().reset(Instant::now() + interval);
        }
    }
}

#[cfg(test)]
mod tests;
