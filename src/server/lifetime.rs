//! What ends a connection from outside: it has been idle for too long, another needs its slot, or Evergate stops.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Peer, activity::ConnectionActivity};
use crate::connection_slot::ConnectionSlot;

/// How long a connection may be idle: no request begins, none is in progress, and all that was written has been taken. A client
/// that does not complete the head of a request begins none: it is told to end after this time, and cut after as long again.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleTimeout {
    /// Until the head of the first request has come, and until that of a later one has whose first bytes came.
    pub(super) head: Duration,
    /// Between two requests of HTTP/1 (keep-alive).
    pub(super) http1: Duration,
    /// Once requests of HTTP/2 came, whose clients keep connections for later use.
    pub(super) http2: Duration,
}

/// A connection is looked at so often, because a timer for each request costs more. It may be idle for so much longer.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same for HTTP/2, which has no parked connections.
const CHECK_INTERVAL_HTTP2: Duration = Duration::from_secs(15);
/// A connection that has been idle for so long is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// A client that connected just before Evergate began to stop may still send its first request.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);
/// A client that is told that its connection makes room for another has this time to say that it knows.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Release its memory, because the next request may be far away.
    Park,
    /// End, because Evergate stops.
    Stop,
    /// End, because it has been idle for too long.
    IdleTimeout,
    /// End, because another connection needs the slot of this one, which is idle.
    Evicted,
}

/// Watches a connection from its beginning to its end.
pub(super) struct Lifetime {
    timeout: IdleTimeout,
    activity: Arc<ConnectionActivity>,
    slot: ConnectionSlot,
    stop: CancellationToken,
    is_stopping: bool,
    is_evicted: bool,
    /// How many requests had begun when the connection was last looked at.
    requests: u64,
    idle_since: Instant,
    /// Since when the head of a request has been under way, after another request.
    head_since: Option<Instant>,
}

impl Lifetime {
    #[expect(clippy::disallowed_methods, reason = "how long a connection is idle has nothing to do with tokens' times")]
    pub(super) fn begin(timeout: IdleTimeout, peer: &Peer, stop: CancellationToken) -> Self {
        let (activity, slot) = (Arc::clone(&peer.interims.0), peer.slot.clone());
        let (is_stopping, is_evicted, idle_since) = (false, false, Instant::now());
        Self { timeout, activity, slot, stop, is_stopping, is_evicted, requests: 0, idle_since, head_since: None }
    }

    /// Notes that a part of a request's head has come.
    #[expect(clippy::disallowed_methods, reason = "how long a head takes has nothing to do with tokens' times")]
    pub(super) fn head_begins(&mut self) {
        self.head_since.get_or_insert_with(Instant::now);
    }

    /// Since when the connection has been idle in the sense of its limit, and the limit.
    fn limit(&self) -> (Instant, Duration) {
        match self.head_since {
            _ if self.activity.is_http2() => (self.idle_since, self.timeout.http2),
            Some(since) => (since, self.timeout.head),
            None if self.activity.has_begun() => (self.idle_since, self.timeout.http1),
            None => (self.idle_since, self.timeout.head),
        }
    }

    /// Waits for the next event of a connection that hyper serves. It may be parked once more requests have begun than
    /// `park_beyond`.
    pub(super) async fn next(&mut self, park_beyond: Option<u64>) -> Event {
        let (activity, slot, stop) = (Arc::clone(&self.activity), self.slot.clone(), self.stop.clone());
        let (is_stopping, is_evicted) = (self.is_stopping, self.is_evicted);
        tokio::select! {
            biased;
            () = stopping(&activity, &stop), if !is_stopping => {
                self.is_stopping = true;
                Event::Stop
            }
            () = evicted(&activity, &slot, is_evicted) => {
                self.is_evicted = true;
                Event::Evicted
            }
            event = self.idle(park_beyond) => event,
        }
    }

    /// Looks at the connection from time to time until it has been idle for long enough to park it or to end it.
    #[expect(clippy::disallowed_methods, reason = "how long a connection is idle has nothing to do with tokens' times")]
    async fn idle(&mut self, park_beyond: Option<u64>) -> Event {
        loop {
            let is_http2 = self.activity.is_http2();
            sleep(if is_http2 { CHECK_INTERVAL_HTTP2 } else { CHECK_INTERVAL }).await;
            let (now, requests) = (Instant::now(), self.activity.requests());
            if requests != self.requests || !self.slot.is_idle() || self.activity.is_writing() {
                if requests != self.requests {
                    self.head_since = None;
                }
                (self.requests, self.idle_since) = (requests, now);
                continue;
            }
            let (since, limit) = self.limit();
            if now.duration_since(since) >= limit {
                (self.idle_since, self.head_since) = (now, self.head_since.map(|_| now));
                return Event::IdleTimeout;
            }
            let may_park = park_beyond.is_some_and(|before| requests > before);
            if may_park && now.duration_since(self.idle_since) >= PARK_AFTER && self.is_between_requests() {
                return Event::Park;
            }
        }
    }

    /// Whether any request came.
    pub(super) fn has_begun(&self) -> bool {
        self.activity.has_begun()
    }

    /// Whether nothing of a request of HTTP/1 is in progress, but for what was received of the next one.
    pub(super) fn is_between_requests(&self) -> bool {
        self.slot.is_idle() && !self.slot.has_open_body() && self.activity.is_between_requests()
    }

    /// Waits until a connection that no hyper serves is to end, and says why.
    pub(super) fn ended(&self) -> impl Future<Output = Event> + use<> {
        let (activity, slot, stop) = (Arc::clone(&self.activity), self.slot.clone(), self.stop.clone());
        let (since, limit) = self.limit();
        let idle_until = since + limit;
        async move {
            tokio::select! {
                () = stopping(&activity, &stop) => Event::Stop,
                () = evicted(&activity, &slot, false) => Event::Evicted,
                () = sleep_until(idle_until) => Event::IdleTimeout,
            }
        }
    }
}

/// Waits until this connection is to make room for another; again, if it was `told` so, until it is to do so whatever its client says.
async fn evicted(activity: &ConnectionActivity, slot: &ConnectionSlot, told: bool) {
    if !told {
        return activity.evicted(slot).await;
    }
    loop {
        sleep(EVICTION_GRACE).await;
        if activity.is_idle(slot) {
            return;
        }
    }
}

/// Waits until Evergate stops and this connection is to end for it.
async fn stopping(activity: &ConnectionActivity, stop: &CancellationToken) {
    stop.cancelled().await;
    activity.stop();
    if !activity.has_begun() {
        sleep(FIRST_REQUEST_GRACE).await;
    }
}
