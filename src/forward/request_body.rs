//! A request's body on its way to the upstream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    body_error::BodyError,
    cut::SessionCut,
    deadlines::{BodyTimeouts, Deadlines},
    guards::{ByteCount, RequestGuards, RequestSlot},
};
use crate::connection_slot::{InUse, OpenBody};

/// A request's body as it comes here.
#[derive(Debug)]
pub enum ClientBody {
    /// As the client sends it.
    Incoming(Incoming),
    /// All of it, which was read before.
    Whole(Full<Bytes>),
}

impl From<Bytes> for ClientBody {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Full::new(whole))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Incoming(body) => Pin::new(body).poll_frame(context),
            Self::Whole(body) => {
                Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}

/// A body without its trailers. Some servers read a trailer as one more header, so that a client could say there what is removed
/// from its headers; requests have no use for trailers (gRPC's stand in responses). The body is cut when its session ends; that of
/// a request that is not authenticated, when it pauses for too long.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Option<ClientBody>,
    cut: Option<SessionCut>,
    deadlines: Option<Box<Deadlines>>,
    _in_use: Option<InUse>,
    open: Option<OpenBody>,
    slot: Option<RequestSlot>,
    received: Option<ByteCount>,
}

impl RequestBody {
    /// A request's body. If the request is not authenticated, it may pause no longer than `max_pause`.
    pub(super) fn new(body: ClientBody, guards: &RequestGuards, max_pause: Option<Duration>) -> Self {
        let watch = guards.watch.as_ref();
        let timeouts = BodyTimeouts { idle: max_pause.filter(|_| watch.is_none()), total: None };
        Self {
            cut: SessionCut::new(&body, watch),
            deadlines: Deadlines::new(&body, timeouts),
            _in_use: (!body.is_end_stream()).then(|| guards.in_use.clone()),
            open: (!body.is_end_stream()).then(|| guards.in_use.open_body()),
            slot: None,
            received: guards.received.clone(),
            body: Some(body),
        }
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { body: None, cut: None, deadlines: None, _in_use: None, open: None, slot: None, received: None }
    }

    /// Holds the upstream's slot for as long as the body is under way, which after an early response may be longer than the
    /// response.
    pub(super) fn hold_slot(&mut self, slot: Option<RequestSlot>) {
        self.slot = slot.filter(|_| !self.is_end_stream());
    }

    /// Lets the body pause for as long as it likes, because the upstream has begun to respond: in a call with two directions a client
    /// may have nothing to say.
    pub(super) fn allow_pauses(&mut self) {
        self.deadlines = None;
    }

    /// Ready when the session has ended, also while nothing of the body is taken.
    pub(super) fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        SessionCut::poll_over(self.cut.as_mut(), context).map(|()| BodyError::SessionEnded)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.cut.as_mut().is_some_and(|cut| cut.is_over(context)) {
            return Poll::Ready(Some(Err(BodyError::SessionEnded)));
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        loop {
            let frame = Pin::new(&mut *body).poll_frame(context);
            if frame.is_pending() && this.cut.as_mut().is_some_and(|cut| cut.is_over_while_waiting(context)) {
                return Poll::Ready(Some(Err(BodyError::SessionEnded)));
            }
            if let Some(deadlines) = &mut this.deadlines
                && deadlines.is_over(context, frame.is_pending())
            {
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
            match ready!(frame) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(frame) => {
                    if let (Some(received), Ok(frame)) = (&this.received, &frame) {
                        received.add(frame.data_ref().map_or(0, Bytes::len));
                    }
                    return Poll::Ready(Some(frame.map_err(BodyError::Client)));
                }
                None => {
                    this.open = None;
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
