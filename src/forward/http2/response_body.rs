//! The body of a response over HTTP/2.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use hyper::body::{Body, Frame, SizeHint};

use super::{pool::Place, upload::ResponseEnd};
use crate::forward::body_error::BodyError;

/// The body of a response.
#[derive(Debug)]
pub(in crate::forward) struct Http2ResponseBody {
    stream: RecvStream,
    /// What is left of the length that the head says.
    left: Option<u64>,
    has_data: bool,
    /// Who still sends the request.
    request: Option<ResponseEnd>,
    _place: Arc<Place>,
}

impl Http2ResponseBody {
    /// The body that `stream` brings, of the `length` that the head says.
    pub(super) fn new(length: Option<u64>, stream: RecvStream, request: Option<ResponseEnd>, place: Arc<Place>) -> Self {
        Self { stream, left: length, has_data: true, request, _place: place }
    }

    fn failed(error: h2::Error) -> BodyError {
        match error.reason() {
            // A reset that claims to be no error (RFC 9113 section 8.1) ends no response that is not complete.
            Some(Reason::NO_ERROR) => BodyError::Unfinished,
            _ => BodyError::from_http2(error),
        }
    }
}

impl Drop for Http2ResponseBody {
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            // An upstream that has responded to all may still want the rest of what it is sent. If nobody wants the response, nobody
            // wants the request.
            if self.stream.is_end_stream() { request.complete.cancel() } else { request.given_up.cancel() }
        }
    }
}

impl Body for Http2ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_data {
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // The window is the client's: it opens as the client takes what came. A stream that is closed has none.
                    let _closed = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Self::failed(error)))),
                None => self.has_data = false,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(context)) {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(Self::failed(error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.stream.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
