//! A response's body on its way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::{
    body_error::BodyError,
    cut::SessionCut,
    deadlines::{BodyTimeouts, Deadlines},
    drain::{ScheduledEnd, ScheduledEndFuture},
    edits::Edits,
    guards::{RequestGuards, RequestSlot},
    hop_by_hop,
    http1::Http1ResponseBody,
    http2::Http2ResponseBody,
    injection::Injector,
    outgoing::Outgoing,
};
use crate::connection_slot::InUse;

/// A response's body. It is cut when its session ends, and when the upstream takes longer than it may; the client sees that it is
/// not complete.
#[derive(Debug)]
pub struct ResponseBody {
    body: UpstreamBody,
    cut: Option<SessionCut>,
    draining: Option<ScheduledEndFuture>,
    deadlines: Option<Box<Deadlines>>,
    injector: Option<Box<Injector>>,
    trailer_edits: Option<Arc<Edits>>,
    _in_use: Option<InUse>,
    _slot: Option<RequestSlot>,
}

/// Where a response's body comes from.
#[derive(Debug)]
pub(super) enum UpstreamBody {
    /// A connection of HTTP/1.1.
    Http1(Http1ResponseBody<Outgoing>),
    /// A stream of HTTP/2.
    Http2(Http2ResponseBody),
    /// Nowhere: another protocol is spoken on the connection, or the response has no content.
    Empty,
}

/// What ends a response's body before its own end.
pub(super) struct BodyEnds {
    /// When a drain ends it, if one does.
    pub(super) scheduled_end: Option<ScheduledEnd>,
    /// How long it may take.
    pub(super) timeouts: BodyTimeouts,
}

impl ResponseBody {
    /// An upstream's body, which holds the `slot` while it lasts.
    pub(super) fn new(
        body: UpstreamBody,
        trailer_edits: Option<Arc<Edits>>,
        guards: RequestGuards,
        slot: Option<RequestSlot>,
        ends: BodyEnds,
    ) -> Self {
        let cut = SessionCut::new(&body, guards.watch.as_ref());
        let draining = ends.scheduled_end.map(ScheduledEnd::into_future);
        let deadlines = Deadlines::new(&body, ends.timeouts);
        let in_use = Some(guards.in_use);
        Self { body, cut, draining, deadlines, injector: None, trailer_edits, _in_use: in_use, _slot: slot }
    }

    /// No body, where another protocol is spoken on the connection.
    pub(super) fn empty() -> Self {
        Self {
            body: UpstreamBody::Empty,
            cut: None,
            draining: None,
            deadlines: None,
            injector: None,
            trailer_edits: None,
            _in_use: None,
            _slot: None,
        }
    }

    /// Ready when the body is to end, also while nothing of it is taken.
    pub fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        if SessionCut::poll_over(self.cut.as_mut(), context).is_ready() {
            return Poll::Ready(BodyError::SessionEnded);
        }
        if self.draining.as_mut().is_some_and(|draining| draining.poll(context).is_ready()) {
            return Poll::Ready(BodyError::Draining);
        }
        if self.deadlines.as_mut().is_some_and(|deadlines| deadlines.is_over(context, false)) {
            return Poll::Ready(BodyError::TooSlow);
        }
        Poll::Pending
    }

    /// Has the body, which is a page, get a script on its way.
    pub(super) fn inject(&mut self, injector: Injector) {
        self.injector = Some(Box::new(injector));
    }

    /// What of trailers is for the client, if anything is left.
    fn clean_trailers(&self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let mut trailers = match frame.into_trailers() {
            Ok(trailers) => trailers,
            Err(data) => return Some(data),
        };
        hop_by_hop::clean_trailers(&mut trailers);
        if let Some(edits) = &self.trailer_edits {
            edits.remove_named(&mut trailers);
        }
        (!trailers.is_empty()).then(|| Frame::trailers(trailers))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.cut.as_mut().is_some_and(|cut| cut.is_over(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        if self.draining.as_mut().is_some_and(|draining| draining.poll(context).is_ready()) {
            return Poll::Ready(Some(Err(BodyError::Draining)));
        }
        let this = &mut *self;
        let frame = match &mut this.injector {
            Some(injector) => injector.poll_frame(&mut this.body, context),
            None => Pin::new(&mut this.body).poll_frame(context),
        };
        if frame.is_pending() && self.cut.as_mut().is_some_and(|cut| cut.is_over_while_waiting(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        if let Some(deadlines) = &mut self.deadlines
            && deadlines.is_over(context, frame.is_pending())
        {
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        }
        match frame {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(self.clean_trailers(frame).map(Ok)),
            other @ (Poll::Ready(_) | Poll::Pending) => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.injector.as_ref().is_some_and(|injector| injector.holds_something())
    }

    fn size_hint(&self) -> SizeHint {
        if self.injector.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Http1(body) => Pin::new(body).poll_frame(context).map_err(BodyError::from),
            Self::Http2(body) => Pin::new(body).poll_frame(context),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
