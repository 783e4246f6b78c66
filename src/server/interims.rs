//! Interim answers (RFC 9110 section 15.2) to a client of HTTP/1.1. hyper sends none, so they are written below it, while it has
//! nothing of its own to write: whoever sends some waits until they are out before they give hyper the answer itself.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use http::Response;

use super::{course::Course, written};

/// Interim answers on their way to the client of a connection.
#[derive(Clone, Debug, Default)]
pub struct Interims(pub(super) Arc<Course>);

impl Interims {
    /// Sends one, to a client that speaks HTTP/1.1 and waits for the answer to its request. One too many is dropped, as any may
    /// be.
    pub fn send(&self, response: &Response<()>) {
        self.0.queue.push(response);
    }

    /// Whether some are not out yet.
    pub fn are_waiting(&self) -> bool {
        self.0.queue.is_waiting()
    }

    /// Ready when all of them are out.
    pub fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.queue.poll_sent(context)
    }
}

/// An app that sends more than this before its answer has its interim answers dropped.
const MOST_BYTES: usize = 256 * 1024;

/// What is still to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    is_waiting: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    written: usize,
    sender: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, response: &Response<()>) {
        let mut waiting = self.lock();
        if waiting.bytes.len() < MOST_BYTES {
            written::interim(&mut waiting.bytes, response);
            self.is_waiting.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.lock();
        if !self.is_waiting() {
            return Poll::Ready(());
        }
        waiting.sender = Some(context.waker().clone());
        Poll::Pending
    }

    /// Writes what waits with `write`, to its end.
    pub(super) fn poll_write(&self, mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<()>> {
        let mut waiting = self.lock();
        while let Some(rest) = waiting.bytes.get(waiting.written..).filter(|rest| !rest.is_empty()) {
            match ready!(write(rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => waiting.written += written,
            }
        }
        let Waiting { sender, .. } = std::mem::take(&mut *waiting);
        self.is_waiting.store(false, Ordering::Release);
        if let Some(sender) = sender {
            sender.wake();
        }
        Poll::Ready(Ok(()))
    }
}
