//! The course of a connection: what is seen of it, and when it has rested for so long that it is ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;

use super::interims::Queue;

/// How long a connection may rest. It is looked at now and then, because a timer for each request costs more, so that it may
/// be up to one look longer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// How often it is looked at.
    pub(super) look: Duration,
    /// So many looks in a row: whoever sends no request has as long for its head.
    pub(super) looks: u32,
    /// The same once requests of HTTP/2 came, whose clients keep connections for what they may want later.
    pub(super) looks_http2: u32,
}

/// What is seen of a connection.
#[derive(Debug, Default)]
pub(super) struct Course {
    begun: AtomicU64,
    is_http2: AtomicBool,
    is_tunnel: AtomicBool,
    is_writing: AtomicBool,
    is_stopping: AtomicBool,
    refused: Mutex<Option<OnUpgrade>>,
    phase: AtomicU8,
    broken: AtomicU8,
    empty: AtomicU8,
    /// Interim answers.
    pub(super) queue: Queue,
}

/// h2, as a client, ends a connection for a hundred.
const MOST_EMPTY: u8 = 64;

/// Nobody has asked for what is written over HTTP/1 now.
const UNASKED: u8 = 0;
/// It belongs to an answer.
const ANSWERING: u8 = 1;
/// It belongs to one that hyper has whole, and has not written yet.
const ANSWERED: u8 = 2;

/// How a connection ends whose answer broke off, once what came of it is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// As others do: what the client still sends must not cost it what it has been sent.
    InStages,
    /// Without a word, because any would say that the answer is whole.
    AtOnce,
}

impl Course {
    /// A request came.
    pub(super) fn begin<B>(&self, request: &Request<B>) {
        let is_http2 = request.version() == Version::HTTP_2;
        self.phase.store(ANSWERING, Ordering::Relaxed);
        if self.begun.fetch_add(1, Ordering::Relaxed) == 0 {
            self.is_http2.store(is_http2, Ordering::Relaxed);
        }
        if !is_http2 && let Some(upgrade) = request.extensions().get::<OnUpgrade>() {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade.clone());
        }
    }

    /// It is answered.
    pub(super) fn answer<B>(&self, response: &Response<B>) {
        // That the protocol changes is the one answer with such a status.
        if response.status().is_informational() {
            self.is_tunnel.store(true, Ordering::Relaxed);
        }
    }

    /// hyper has all of an answer, or needs no more of it.
    pub(super) fn answer_ends(&self) {
        self.phase.store(ANSWERED, Ordering::Relaxed);
    }

    /// All that hyper had is written.
    pub(super) fn is_flushed(&self) {
        if self.phase.load(Ordering::Relaxed) == ANSWERED {
            self.phase.store(UNASKED, Ordering::Relaxed);
        }
    }

    /// Whether what hyper writes is its own, to a request that it cannot read.
    pub(super) fn is_unasked(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == UNASKED && !self.is_tunnel() && !self.is_http2.load(Ordering::Relaxed)
    }

    /// The answer broke off: the connection is to end when what came of it is out.
    pub(super) fn break_off(&self, how: Break) {
        self.broken.store(if how == Break::InStages { 1 } else { 2 }, Ordering::Relaxed);
    }

    /// Whether one did.
    pub(super) fn broken(&self) -> Option<Break> {
        match self.broken.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Break::InStages),
            _ => Some(Break::AtOnce),
        }
    }

    /// Whether another empty frame of data may be sent on this connection of HTTP/2.
    pub(super) fn may_send_empty(&self) -> bool {
        let more = |sent: u8| sent.checked_add(1).filter(|sent| *sent <= MOST_EMPTY);
        self.empty.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Whether any request came.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    /// Whether another protocol is spoken now.
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// An upgrade that a client asked for and did not get.
    pub(super) fn refused_upgrade(&self) -> Option<OnUpgrade> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|_| !self.is_tunnel())
    }

    /// The other end has taken what was written, or has not yet.
    pub(super) fn writes(&self, waits: bool) {
        if self.is_writing.load(Ordering::Relaxed) != waits {
            self.is_writing.store(waits, Ordering::Relaxed);
        }
    }

    /// We are to stop.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Whether we are.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Waits until the connection has rested for too long: no request comes, all that was written is on its way, and nobody
    /// but its `idle` holders holds `place`, as everybody does who has to do with a request that is under way.
    pub(super) async fn rested(&self, rest: Rest, place: &Arc<OwnedSemaphorePermit>, idle: usize) {
        let rests = || Arc::strong_count(place) <= idle && !self.is_writing.load(Ordering::Relaxed);
        let (mut before, mut quiet) = ((self.begun.load(Ordering::Relaxed), rests()), 0);
        loop {
            tokio::time::sleep(rest.look).await;
            let now = (self.begun.load(Ordering::Relaxed), rests());
            // From one look to the next, so that what ended just before the first of them has its full time.
            quiet = if now == before && now.1 { quiet + 1 } else { 0 };
            before = now;
            if quiet >= if self.is_http2.load(Ordering::Relaxed) { rest.looks_http2 } else { rest.looks } {
                return;
            }
        }
    }
}
