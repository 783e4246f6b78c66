//! The course of a connection: what is seen of it, and when it has rested for so long that it is ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;

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
}

impl Course {
    /// A request came.
    pub(super) fn begin<B>(&self, request: &Request<B>) {
        let is_http2 = request.version() == Version::HTTP_2;
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
