//! What is observed of a connection, from the requests above hyper and from the bytes below it.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use http::{Request, Response, Version};
use hyper::upgrade::OnUpgrade;
use tokio::sync::Notify;

use super::{chunk_queue::ChunkQueue, interim_queue::InterimQueue};

use crate::{connection_slot::ConnectionSlot, lock::Mutex};

/// The state of a connection that hyper does not tell.
#[derive(Debug, Default)]
pub(super) struct ConnectionActivity {
    requests: AtomicU64,
    is_http2: AtomicBool,
    is_tunnel: AtomicBool,
    is_writing: AtomicBool,
    is_closing: AtomicBool,
    is_stopping: AtomicBool,
    requested_upgrade: Mutex<Option<OnUpgrade>>,
    response: AtomicU8,
    abort: OnceLock<Abort>,
    empty_frames: AtomicU8,
    is_evicted: AtomicBool,
    evicted: Notify,
    /// What h2 has of responses.
    pub(super) chunks: ChunkQueue,
    /// Interim responses that are not written yet.
    pub(super) interim: InterimQueue,
}

/// h2, as a client, ends a connection for a hundred.
const MAX_EMPTY_FRAMES: u8 = 64;

/// No request of HTTP/1 is in progress: what hyper writes now is its own.
const NO_RESPONSE: u8 = 0;
/// A request of HTTP/1 is in progress, and hyper does not have all of its response.
const RESPONDING: u8 = 1;
/// hyper has all of the response, and has not written all of it.
const FLUSHING: u8 = 2;

/// How a connection ends whose response failed, once everything received of that has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// By a lingering close: what the client still sends must not cost it what it has been sent.
    AfterLingering,
    /// Without an orderly close, which would tell the client that the response is complete.
    Immediate,
}

impl ConnectionActivity {
    /// Notes that a request came.
    pub(super) fn request_begins<B>(&self, request: &Request<B>) {
        let is_http2 = request.version() == Version::HTTP_2;
        self.response.store(RESPONDING, Ordering::Relaxed);
        if self.requests.fetch_add(1, Ordering::Relaxed) == 0 {
            self.is_http2.store(is_http2, Ordering::Relaxed);
        }
        if !is_http2 && let Some(upgrade) = request.extensions().get::<OnUpgrade>() {
            *self.requested_upgrade.lock() = Some(upgrade.clone());
        }
    }

    /// Notes the head of the response that hyper is given.
    pub(super) fn response_begins<B>(&self, response: &Response<B>) {
        // 101 is the only such status that a final response has.
        if response.status().is_informational() {
            self.is_tunnel.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that hyper has all of a response, or needs no more of it.
    pub(super) fn response_ends(&self) {
        self.response.store(FLUSHING, Ordering::Relaxed);
    }

    /// Notes that everything hyper had is written.
    pub(super) fn flushed(&self) {
        if self.response.load(Ordering::Relaxed) == FLUSHING {
            self.response.store(NO_RESPONSE, Ordering::Relaxed);
        }
    }

    /// Whether what hyper writes is its own response to a request that it cannot parse.
    pub(super) fn writes_own_response(&self) -> bool {
        self.response.load(Ordering::Relaxed) == NO_RESPONSE && !self.is_tunnel() && !self.is_http2()
    }

    /// Whether a connection of HTTP/1 is between two requests: the last response is written, and nothing ends the connection. Part
    /// of the next request may have been received.
    pub(super) fn is_between_requests(&self) -> bool {
        self.has_begun()
            && self.writes_own_response()
            && !self.is_writing()
            && !self.is_closing.load(Ordering::Relaxed)
            && self.aborted().is_none()
            && !self.interim.is_waiting()
    }

    /// Has the connection end when everything received of the failed response is written.
    pub(super) fn abort(&self, how: Abort) {
        // The first has decided it.
        let _is_first = self.abort.set(how);
    }

    /// How the connection is to end because a response failed, if one did.
    pub(super) fn aborted(&self) -> Option<Abort> {
        self.abort.get().copied()
    }

    /// Whether another empty DATA frame may be sent on this connection of HTTP/2.
    pub(super) fn may_send_empty_frame(&self) -> bool {
        let more = |sent: u8| sent.checked_add(1).filter(|sent| *sent <= MAX_EMPTY_FRAMES);
        self.empty_frames.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// How many requests came.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether any request came.
    pub(super) fn has_begun(&self) -> bool {
        self.requests() > 0
    }

    /// Whether requests of HTTP/2 came.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Whether the connection has been upgraded to another protocol.
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Takes the upgrade that a client asked for and was not granted.
    pub(super) fn take_refused_upgrade(&self) -> Option<OnUpgrade> {
        self.requested_upgrade.lock().take().filter(|_| !self.is_tunnel())
    }

    /// Whether nothing is in progress on the connection, which has this slot, and all of every response is written.
    pub(super) fn is_idle(&self, slot: &ConnectionSlot) -> bool {
        let has_unwritten =
            if self.is_http2() { !self.chunks.is_empty() } else { self.response.load(Ordering::Relaxed) != NO_RESPONSE };
        slot.is_idle() && !slot.has_open_body() && !self.is_writing() && !has_unwritten
    }

    /// Has the connection make room for another if it is idle.
    pub(super) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Waits until the connection is to make room for another, and is idle.
    pub(super) async fn evicted(&self, slot: &ConnectionSlot) {
        loop {
            self.evicted.notified().await;
            if self.is_idle(slot) {
                return;
            }
            self.is_evicted.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the connection is to make room for another.
    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Notes whether a write waits for the client to read.
    pub(super) fn set_writing(&self, is_writing: bool) {
        if self.is_writing() != is_writing {
            self.is_writing.store(is_writing, Ordering::Relaxed);
        }
    }

    /// Whether a write waits for the client to read.
    pub(super) fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::Relaxed)
    }

    /// Notes that our half of the connection is being closed.
    pub(super) fn closes(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Notes that Evergate is stopping.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether a client is not waited for any longer than it must: Evergate is stopping, or another waits for the slot.
    pub(super) fn is_in_a_hurry(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed) || self.is_evicted()
    }
}
