//! A response body over HTTP/1 that, when it fails, aborts the connection only after the head and everything received of the body
//! have been sent. hyper alone drops what it has not written yet when a body fails. The connection is therefore aborted below
//! hyper, once hyper has written all that it had ([`super::client_stream`]). [`super::stream_body`] is the same over HTTP/2.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, Version, header};
use hyper::body::{Body, Frame, SizeHint};

use super::{
    activity::{Abort, ConnectionActivity},
    shared_body::{SharedBody, Taken},
};

/// The body of a response.
#[derive(Debug)]
pub(super) struct AbortAfterFlush<B> {
    body: Arc<SharedBody<B>>,
    activity: Arc<ConnectionActivity>,
    delimiter: Delimiter,
}

/// How the client tells where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    /// By its length or chunked coding.
    Framing,
    /// By the end of the connection.
    ConnectionClose,
}

impl<B: Body> AbortAfterFlush<B> {
    /// Wraps the body of the response to a request of this version, which is `shared` from now on.
    pub(super) fn wrap(
        response: Response<B>,
        version: Version,
        shared: Arc<SharedBody<B>>,
        activity: Arc<ConnectionActivity>,
    ) -> Response<Self> {
        let has_length =
            || response.body().size_hint().exact().is_some() || response.headers().contains_key(header::CONTENT_LENGTH);
        let is_framed = version == Version::HTTP_11 || has_length();
        let delimiter = if is_framed { Delimiter::Framing } else { Delimiter::ConnectionClose };
        response.map(|body| {
            shared.begin(body);
            Self { body: shared, activity, delimiter }
        })
    }
}

impl<B> Drop for AbortAfterFlush<B> {
    fn drop(&mut self) {
        self.body.end();
        self.activity.response_ends();
    }
}

impl<B> Body for AbortAfterFlush<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match ready!(self.body.poll_next(context)) {
            Taken::Frame(frame) | Taken::Last(frame) => Poll::Ready(Some(Ok(frame))),
            Taken::End => Poll::Ready(None),
            Taken::Failed(_) => {
                self.activity.abort(match self.delimiter {
                    Delimiter::Framing => Abort::AfterLingering,
                    // An orderly close would tell the client that the body is complete.
                    Delimiter::ConnectionClose => Abort::Immediate,
                });
                // hyper flushes whenever a body is pending, and the stream below it aborts behind that.
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
