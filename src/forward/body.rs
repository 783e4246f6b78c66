//! A request's body on its way to the upstream, and an answer's on its way back.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::session::connections::{Connection, Watch};

/// A body without its trailers. Some servers read a trailer as one more header, so a client could say there what is
/// scrubbed from its headers; requests have no use for them (gRPC's stand in answers).
#[derive(Debug)]
pub(super) struct WithoutTrailers(Option<Incoming>);

impl WithoutTrailers {
    /// All of this but its trailers.
    pub(super) fn of(body: Incoming) -> Self {
        Self(Some(body))
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self(None)
    }
}

impl Body for WithoutTrailers {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An answer's body. One that may take long, because nobody knows its length or it is large, breaks off when its session
/// ends; and any when the upstream takes longer than it may. The client sees that it is not whole.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    watched: Option<Box<Watched>>,
    timed: Option<Box<Timed>>,
}

#[derive(Debug)]
struct Watched {
    _connection: Connection,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Between two pieces.
    pub(super) idle: Option<Duration>,
    /// In all.
    pub(super) total: Option<Duration>,
}

#[derive(Debug)]
struct Timed {
    limits: Limits,
    idle: Option<Pin<Box<Sleep>>>,
    total: Option<Pin<Box<Sleep>>>,
}

/// A body of a known length up to this is over soon enough.
const SHORT: u64 = 1 << 20;

/// Why an answer's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    /// The upstream's side did.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// We did.
    #[error("the session has ended")]
    SessionEnded,
    /// We did.
    #[error("the upstream took longer than it may")]
    TooSlow,
}

impl Answer {
    pub(super) fn new(body: Incoming, watch: Option<&Watch>, limits: Limits) -> Self {
        let is_short = body.is_end_stream() || body.size_hint().upper().is_some_and(|length| length <= SHORT);
        let watched = watch.filter(|_| !is_short).map(|watch| {
            let connection = watch.open();
            let ended = Box::pin(connection.ended().clone().cancelled_owned());
            Box::new(Watched { _connection: connection, ended })
        });
        let limited = (limits.idle.is_some() || limits.total.is_some()) && !body.is_end_stream();
        let sleep = |limit: Option<Duration>| limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        let timed = limited.then(|| Box::new(Timed { limits, idle: None, total: sleep(limits.total) }));
        Self { body, watched, timed }
    }
}

impl Timed {
    /// Whether a time is over. The idle one runs only while we wait for the upstream, not while the client is slow.
    fn is_over(&mut self, context: &mut Context<'_>, waits: bool) -> bool {
        if !waits {
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = self.limits.idle.map(|limit| Box::pin(tokio::time::sleep(limit)));
        }
        let mut over =
            |sleep: &mut Option<Pin<Box<Sleep>>>| sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
        over(&mut self.total) || over(&mut self.idle)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(watched) = &mut self.watched
            && watched.ended.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(BrokenOff::SessionEnded)));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Some(timed) = &mut self.timed
            && timed.is_over(context, frame.is_pending())
        {
            return Poll::Ready(Some(Err(BrokenOff::TooSlow)));
        }
        frame.map_err(BrokenOff::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
