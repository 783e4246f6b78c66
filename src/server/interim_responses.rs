//! Interim responses (RFC 9110 section 15.2) to clients of HTTP/1.1. hyper cannot send any, so they are written below it while it
//! has nothing of its own to write: the sender waits until they are written before it gives hyper the final response.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use http::Response;

use super::{activity::ConnectionActivity, raw_response};

/// Sends interim responses to the client of a connection.
#[derive(Clone, Debug, Default)]
pub struct InterimResponses(pub(super) Arc<ConnectionActivity>);

impl InterimResponses {
    /// Queues one, to a client of HTTP/1.1 that waits for the response to its request. Drops it when too many bytes are queued,
    /// as RFC 9110 lets a proxy do.
    pub fn send(&self, response: &Response<()>) {
        self.0.interim.push(response);
    }

    /// Whether any of them is not written yet.
    pub fn are_waiting(&self) -> bool {
        self.0.interim.is_waiting()
    }

    /// Ready when all of them are written.
    pub fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.interim.poll_sent(context)
    }
}

/// No more interim responses are queued beyond so many bytes.
const MAX_QUEUED_BYTES: usize = 256 * 1024;

/// Interim responses that are not written yet.
#[derive(Debug, Default)]
pub(super) struct InterimQueue {
    is_waiting: AtomicBool,
    queued: Mutex<Queued>,
}

#[derive(Debug, Default)]
struct Queued {
    bytes: Vec<u8>,
    written: usize,
    sender: Option<Waker>,
}

impl InterimQueue {
    fn lock(&self) -> MutexGuard<'_, Queued> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, response: &Response<()>) {
        let mut queued = self.lock();
        if queued.bytes.len() < MAX_QUEUED_BYTES {
            raw_response::write_interim(&mut queued.bytes, response);
            self.is_waiting.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut queued = self.lock();
        if !self.is_waiting() {
            return Poll::Ready(());
        }
        queued.sender = Some(context.waker().clone());
        Poll::Pending
    }

    /// Writes everything queued with `write`, then wakes the sender.
    pub(super) fn poll_write(&self, mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>) -> Poll<io::Result<()>> {
        let mut queued = self.lock();
        while let Some(rest) = queued.bytes.get(queued.written..).filter(|rest| !rest.is_empty()) {
            match ready!(write(rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => queued.written += written,
            }
        }
        let Queued { sender, .. } = std::mem::take(&mut *queued);
        self.is_waiting.store(false, Ordering::Release);
        if let Some(sender) = sender {
            sender.wake();
        }
        Poll::Ready(Ok(()))
    }
}
