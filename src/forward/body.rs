//! A request's body on its way to the upstream, and an answer's on its way back.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::session::connections::{Connection, Watch};

/// A body without its trailers. Some servers read a trailer as one more header, so a client could say there what is
/// scrubbed from its headers; requests have no use for them (gRPC's stand in answers).
#[derive(Debug)]
pub(super) struct WithoutTrailers(pub(super) Incoming);

impl Body for WithoutTrailers {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_frame(context)) {
                Some(Ok(frame)) if frame.is_trailers() => {}
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// An answer's body. One that may take long, because nobody knows its length or it is large, breaks off when its session
/// ends; the client sees that it is not whole.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    watched: Option<Box<Watched>>,
}

#[derive(Debug)]
struct Watched {
    _connection: Connection,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
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
}

impl Answer {
    pub(super) fn new(body: Incoming, watch: &Watch) -> Self {
        let is_short = body.is_end_stream() || body.size_hint().upper().is_some_and(|length| length <= SHORT);
        let watched = (!is_short).then(|| {
            let connection = watch.open();
            let ended = Box::pin(connection.ended().clone().cancelled_owned());
            Box::new(Watched { _connection: connection, ended })
        });
        Self { body, watched }
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
        Pin::new(&mut self.body).poll_frame(context).map_err(BrokenOff::from)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
