//! The interim responses that wait to be written to a connection.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker, ready},
};

use http::Response;

use super::raw_response;

use crate::lock::{Mutex, MutexGuard};

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
        self.queued.lock()
    }

    pub(super) fn push(&self, response: &Response<()>) {
        let mut queued = self.lock();
        if queued.bytes.len() < MAX_QUEUED_BYTES {
            raw_response::write_interim(&mut queued.bytes, response);
            self.is_waiting.store(true, Ordering::Release);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    pub(super) fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
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
