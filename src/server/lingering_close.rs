//! Lingering close (RFC 9112, section 9.6). A client that still sends what nobody will read, as the rest of an upload that was
//! answered early, would lose the response to the reset that a closed socket sends. So our half is closed first, and what still
//! comes is read and dropped for a while.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Sleep, sleep},
};

/// How long the client may take to close its half.
#[derive(Clone, Copy, Debug)]
pub(super) struct LingerTimeouts {
    /// Without sending anything.
    pub(super) idle: Duration,
    /// In all.
    pub(super) total: Duration,
    /// In all, once Evergate is stopping or another client waits for the slot.
    pub(super) hurried: Duration,
}

/// The wait for a client to close its half.
#[derive(Debug)]
pub(super) struct LingeringClose {
    timeouts: LingerTimeouts,
    /// Set when the client is found not to have closed its half.
    timers: Option<Box<Timers>>,
}

#[derive(Debug)]
struct Timers {
    idle: Pin<Box<Sleep>>,
    total: Pin<Box<Sleep>>,
    is_hurried: bool,
}

impl LingeringClose {
    pub(super) fn new(timeouts: LingerTimeouts) -> Self {
        Self { timeouts, timers: None }
    }

    /// Reads and drops what comes. Ready once the client has closed its half, or a time is over.
    pub(super) fn poll<S: AsyncRead + Unpin>(&mut self, context: &mut Context<'_>, stream: &mut S, is_hurried: bool) -> Poll<()> {
        let mut dropped = [MaybeUninit::uninit(); 4096];
        let timeouts = self.timeouts;
        loop {
            let mut dropped = ReadBuf::uninit(&mut dropped);
            let is_idle = match Pin::new(&mut *stream).poll_read(context, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => false,
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => true,
            };
            let timers = self.timers.get_or_insert_with(|| {
                let (idle, total) = (Box::pin(sleep(timeouts.idle)), Box::pin(sleep(timeouts.total)));
                Box::new(Timers { idle, total, is_hurried: false })
            });
            if is_hurried && !timers.is_hurried {
                timers.is_hurried = true;
                timers.total.set(sleep(timeouts.hurried));
            }
            if timers.total.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            if is_idle {
                return timers.idle.as_mut().poll(context);
            }
            timers.idle.set(sleep(timeouts.idle));
        }
    }
}
