//! A request's body on its way to the upstream, and an answer's on its way back.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::{
    ForwardError, RequestGuards,
    cut::{self, SessionCut},
    drain::{ScheduledEnd, ScheduledEndFuture},
    http1::{self, Http1ResponseBody},
    upstream::{Http2Failure, UpstreamSlot},
};
use crate::connection_slot::InUse;

/// A body without its trailers. Some servers read a trailer as one more header, so a client could say there what is
/// scrubbed from its headers; requests have no use for them (gRPC's stand in answers). It breaks off when its session ends; that of somebody whom we do not know, when they pause for too long.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Option<Incoming>,
    watched: Option<SessionCut>,
    deadlines: Option<Box<Deadlines>>,
    whole: Option<CancellationToken>,
    in_use: Option<InUse>,
    slot: Option<UpstreamSlot>,
}

impl RequestBody {
    /// All of this but its trailers. Who sends it unwatched is nobody that we know, and may pause no longer than `pause`.
    pub(super) fn of(body: Incoming, guards: &RequestGuards, pause: Option<Duration>) -> Self {
        let watch = guards.watch.as_ref();
        let limits = BodyTimeouts { idle: pause.filter(|_| watch.is_none()), total: None };
        Self {
            watched: SessionCut::new(&body, watch),
            deadlines: Deadlines::new(&body, limits),
            whole: None,
            in_use: (!body.is_end_stream()).then(|| guards.in_use.clone()),
            slot: None,
            body: Some(body),
        }
    }

    /// Keeps its place with an upstream for as long as it is under way, which an early answer may not be any more.
    pub(super) fn hold_slot(&mut self, slot: Option<UpstreamSlot>) {
        self.slot = slot.filter(|_| !self.is_end_stream());
    }

    /// Gives back what it holds, which its answer holds as well.
    pub(super) fn release_guards(&mut self) {
        (self.in_use, self.slot) = (None, None);
    }

    /// What is cancelled when all of it has gone; nothing, if there is nothing to go.
    pub(super) fn whole(&mut self) -> Option<CancellationToken> {
        (!self.is_end_stream()).then(|| self.whole.get_or_insert_default().clone())
    }

    /// Ready when its session has ended, also while nobody takes any of it.
    pub(super) fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        cut::poll_cut(self.watched.as_mut(), context).map(|()| BodyError::SessionEnded)
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self { body: None, watched: None, deadlines: None, whole: None, in_use: None, slot: None }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(whole) = &self.whole {
            whole.cancel();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.watched.as_mut().is_some_and(|watched| watched.is_over(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        loop {
            let frame = Pin::new(&mut *body).poll_frame(context);
            if frame.is_pending() && this.watched.as_mut().is_some_and(|watched| watched.waits(context)) {
                return Poll::Ready(Some(Err(BodyError::SessionEnded)));
            }
            if let Some(deadlines) = &mut this.deadlines
                && deadlines.is_over(context, frame.is_pending())
            {
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
            match ready!(frame) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(frame) => return Poll::Ready(Some(frame.map_err(BodyError::Client))),
                None => {
                    if let Some(whole) = &this.whole {
                        whole.cancel();
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// Waits for the head of an answer, so long from when the request was `whole`.
pub(super) async fn within<T>(
    timeout: Option<Duration>,
    whole: Option<CancellationToken>,
    sent: impl Future<Output = Result<T, ForwardError>>,
) -> Result<T, ForwardError> {
    let Some(timeout) = timeout else { return sent.await };
    let over = async {
        if let Some(whole) = whole {
            whole.cancelled().await;
        }
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        answered = sent => answered,
        () = over => Err(ForwardError::TimedOut),
    }
}

/// An answer's body. It breaks off when its session ends, and when the upstream takes longer than it may. The client sees that
/// it is not whole.
#[derive(Debug)]
pub struct ResponseBody {
    body: Source,
    watched: Option<SessionCut>,
    draining: Option<ScheduledEndFuture>,
    deadlines: Option<Box<Deadlines>>,
    _in_use: Option<InUse>,
    _room: Option<UpstreamSlot>,
}

/// How long a body may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BodyTimeouts {
    /// Between two pieces.
    pub(super) idle: Option<Duration>,
    /// In all.
    pub(super) total: Option<Duration>,
}

#[derive(Debug)]
struct Deadlines {
    limits: BodyTimeouts,
    idle: Option<Pin<Box<Sleep>>>,
    total: Option<Pin<Box<Sleep>>>,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client did.
    #[error(transparent)]
    Client(hyper::Error),
    /// An upstream of HTTP/1.1 did, or what was to be sent to it.
    #[error(transparent)]
    Upstream(#[from] http1::Http1Error),
    /// An upstream of HTTP/2 reset the stream. Its code is passed on with the cause.
    #[error(transparent)]
    Reset(hyper::Error),
    /// An upstream of HTTP/2 left its connection. What it said of that is not about this stream.
    #[error("the upstream left the connection: {0}")]
    GoAway(String),
    /// The connection to an upstream of HTTP/2 broke.
    #[error("the connection to the upstream broke off: {0}")]
    Connection(String),
    /// An upstream of HTTP/2 stopped before the end of its answer, as if that were nothing.
    #[error("the upstream stopped before the end of its answer")]
    Unfinished,
    /// We did.
    #[error("the session has ended")]
    SessionEnded,
    /// We did.
    #[error("the gateway drains")]
    Draining,
    /// We did.
    #[error("it took longer than it may")]
    TooSlow,
}

impl BodyError {
    /// Why the answer ended, in a word, for the access line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Client(_) | Self::Upstream(http1::Http1Error::Request(_)) => "request_incomplete",
            Self::Upstream(
                http1::Http1Error::Connection(_)
                | http1::Http1Error::Ended
                | http1::Http1Error::Malformed(_)
                | http1::Http1Error::AmbiguousFraming(_),
            )
            | Self::Connection(_)
            | Self::Unfinished => "upstream_broken",
            Self::Reset(_) => "upstream_reset",
            Self::GoAway(_) => "goaway",
            Self::SessionEnded => "session_ended",
            Self::Draining => "draining",
            Self::TooSlow => "too_slow",
        }
    }

    /// By an upstream of HTTP/2.
    fn http2(error: hyper::Error) -> Self {
        match Http2Failure::of(&error) {
            Http2Failure::Reset | Http2Failure::Refused => Self::Reset(error),
            Http2Failure::GoAway => Self::GoAway(causes(&error)),
            Http2Failure::Request => Self::Client(error),
            Http2Failure::Ended | Http2Failure::Other => Self::Connection(causes(&error)),
        }
    }
}

/// An error and its causes as one text.
fn causes(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl ResponseBody {
    /// One from an upstream, whose `slot` it keeps while it lasts. If it has a `turn`, a drain ends it.
    pub(super) fn new(
        body: Source,
        guards: RequestGuards,
        slot: Option<UpstreamSlot>,
        turn: Option<ScheduledEnd>,
        limits: BodyTimeouts,
    ) -> Self {
        let watched = SessionCut::new(&body, guards.watch.as_ref());
        let draining = turn.map(ScheduledEnd::into_future);
        let deadlines = Deadlines::new(&body, limits);
        Self { body, watched, draining, deadlines, _in_use: Some(guards.in_use), _room: slot }
    }

    /// None, where the connection speaks another protocol now.
    pub(super) fn nothing() -> Self {
        Self { body: Source::Nothing, watched: None, draining: None, deadlines: None, _in_use: None, _room: None }
    }
}

/// Where an answer's body comes from.
#[derive(Debug)]
pub(super) enum Source {
    Http1(Http1ResponseBody),
    Http2(Incoming),
    /// The connection speaks another protocol now.
    Nothing,
}

impl Body for Source {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Http1(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
            Self::Http2(body) => match ready!(Pin::new(&mut *body).poll_frame(context)) {
                Some(frame) => Poll::Ready(Some(frame.map_err(BodyError::http2))),
                // A reset that claims to be no error (RFC 9113 section 8.1) ends no answer that is not whole.
                None if body.is_end_stream() => Poll::Ready(None),
                None => Poll::Ready(Some(Err(BodyError::Unfinished))),
            },
            Self::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Nothing => SizeHint::with_exact(0),
        }
    }
}

impl Deadlines {
    fn new(body: &impl Body, limits: BodyTimeouts) -> Option<Box<Self>> {
        let limited = (limits.idle.is_some() || limits.total.is_some()) && !body.is_end_stream();
        let sleep = |limit: Option<Duration>| limit.map(|limit| Box::pin(tokio::time::sleep(limit)));
        limited.then(|| Box::new(Self { limits, idle: None, total: sleep(limits.total) }))
    }

    /// Whether a time is over. The idle one runs only while we wait for whom it comes from, not while the other side is slow.
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

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.watched.as_mut().is_some_and(|watched| watched.is_over(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        if self.draining.as_mut().is_some_and(|draining| draining.poll(context).is_ready()) {
            return Poll::Ready(Some(Err(BodyError::Draining)));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.watched.as_mut().is_some_and(|watched| watched.waits(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        if let Some(deadlines) = &mut self.deadlines
            && deadlines.is_over(context, frame.is_pending())
        {
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
