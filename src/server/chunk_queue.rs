//! The chunks of responses over HTTP/2 that h2 has not written yet, of all streams of a connection.
//!
//! h2 serves the streams that have something to send, and a window for it, in turn, a frame each. A chunk that comes after a stream has
//! begun to wait is therefore not written before that stream has had its turn. Where it is, the stream's own window is shut.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The chunks of a connection. The tasks of its streams bring them, and its own task writes them.
#[derive(Debug, Default)]
pub(super) struct ChunkQueue {
    /// How many have come.
    newest: AtomicU64,
    /// The newest of those whose writing has begun.
    begun: AtomicU64,
    unwritten: AtomicUsize,
}

impl ChunkQueue {
    /// Takes in a chunk, which has this number.
    pub(super) fn push(&self) -> u64 {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        self.newest.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the first bytes of a chunk are written.
    pub(super) fn begin(&self, number: u64) {
        self.begun.fetch_max(number, Ordering::Relaxed);
    }

    /// Notes that a chunk is written, or will never be.
    pub(super) fn release(&self) {
        self.unwritten.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number of the newest chunk.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Whether any chunk with a higher number is being written, or has been.
    pub(super) fn has_begun_beyond(&self, number: u64) -> bool {
        self.begun.load(Ordering::Relaxed) > number
    }

    /// Whether every chunk has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.unwritten.load(Ordering::Relaxed) == 0
    }
}
