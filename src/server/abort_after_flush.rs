//! A response body that, when it fails, aborts the response only after the head and everything received of the body have been
//! sent. hyper alone drops what it has not written yet when a body fails.
//!
//! Over HTTP/1 the connection is aborted below hyper, once hyper has written all that it had ([`super::client_stream`]). Over
//! HTTP/2 the failure is held back until the memory of the last chunk is released, which happens when that chunk has been written
//! behind the head and all chunks before it.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Response, Version, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::activity::{Abort, ConnectionActivity};

/// The body of a response.
#[derive(Debug)]
pub(super) struct AbortAfterFlush<B> {
    body: Option<B>,
    activity: Arc<ConnectionActivity>,
    delimiter: Delimiter,
    /// The chunks of a response over HTTP/2 that are not written yet.
    unwritten: Option<Arc<Unwritten>>,
    failed: Option<Box<Failed>>,
    flush_timeout: Duration,
}

/// In which a head is written where nothing tells when it has been.
const HEAD_FLUSH_TIME: Duration = Duration::from_millis(100);

/// How the client tells where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    /// By the end of its stream of HTTP/2.
    StreamEnd,
    /// By its length or chunked coding.
    Framing,
    /// By the end of the connection.
    ConnectionClose,
}

/// A body that has failed, while what came of it is being written.
#[derive(Debug)]
struct Failed {
    error: Option<BoxError>,
    unwritten: Arc<Unwritten>,
    flush_timeout: Pin<Box<Sleep>>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<B: Body> AbortAfterFlush<B> {
    /// Wraps the body of the response to a request of this version. When the body fails, what came of it is given `flush_timeout`
    /// to be written.
    pub(super) fn wrap(
        response: Response<B>,
        version: Version,
        activity: Arc<ConnectionActivity>,
        flush_timeout: Duration,
    ) -> Response<Self> {
        let has_length =
            || response.body().size_hint().exact().is_some() || response.headers().contains_key(header::CONTENT_LENGTH);
        let delimiter = match version {
            Version::HTTP_2 => Delimiter::StreamEnd,
            Version::HTTP_11 => Delimiter::Framing,
            _ if has_length() => Delimiter::Framing,
            _ => Delimiter::ConnectionClose,
        };
        response.map(|body| Self { body: Some(body), activity, delimiter, unwritten: None, failed: None, flush_timeout })
    }
}

impl<B> AbortAfterFlush<B> {
    /// Counts a chunk as unwritten until its memory is released.
    fn track(&mut self, data: Bytes) -> Bytes {
        let unwritten = self.unwritten.get_or_insert_default();
        unwritten.chunks.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Chunk { data, unwritten: Arc::clone(unwritten) })
    }

    /// Fails the stream when everything received has been written. Where that is the head alone, an empty chunk follows it, whose
    /// writing is seen; but not without limit, because clients end a connection on which many empty frames come.
    fn abort_stream(&mut self, error: BoxError, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, BoxError>> {
        let is_head_alone = self.unwritten.is_none();
        let empty = is_head_alone.then(|| self.track(Bytes::new()));
        let unwritten = self.unwritten.take().unwrap_or_default();
        let (empty, flush_timeout) = match empty {
            Some(empty) if self.activity.may_send_empty_frame() => (Some(empty), self.flush_timeout),
            Some(_) => {
                unwritten.chunks.fetch_add(1, Ordering::Relaxed);
                (None, HEAD_FLUSH_TIME)
            }
            None => (None, self.flush_timeout),
        };
        let flush_timeout = Box::pin(tokio::time::sleep(flush_timeout));
        let failed = self.failed.insert(Box::new(Failed { error: Some(error), unwritten, flush_timeout }));
        match empty {
            Some(empty) => Poll::Ready(Ok(Frame::data(empty))),
            None => failed.poll(context).map(Err),
        }
    }
}

impl<B> Drop for AbortAfterFlush<B> {
    fn drop(&mut self) {
        self.activity.response_ends();
    }
}

impl<B> Body for AbortAfterFlush<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(failed) = &mut this.failed {
            return failed.poll(context).map(|error| Some(Err(error)));
        }
        let Some(body) = &mut this.body else { return Poll::Pending };
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Err(error)) => {
                // The body's connection to the app, and what else it holds, is released now.
                this.body = None;
                let abort = match this.delimiter {
                    Delimiter::StreamEnd => return this.abort_stream(error.into(), context).map(Some),
                    Delimiter::Framing => Abort::AfterLingering,
                    // An orderly close would tell the client that the body is complete.
                    Delimiter::ConnectionClose => Abort::Immediate,
                };
                // hyper flushes whenever a body is pending, and the stream below it aborts behind that.
                this.activity.abort(abort);
                Poll::Pending
            }
            // No failure can follow the last chunk.
            Some(Ok(frame)) if this.delimiter == Delimiter::StreamEnd && frame.is_data() && !body.is_end_stream() => {
                Poll::Ready(Some(Ok(frame.map_data(|data| this.track(data)))))
            }
            frame => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Failed {
    /// The error, when everything before it has been written, or was not within the time limit.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        self.unwritten.waker.register(context.waker());
        if self.unwritten.chunks.load(Ordering::Acquire) > 0 {
            ready!(self.flush_timeout.as_mut().poll(context));
        }
        Poll::Ready(self.error.take().unwrap_or_else(|| "the body has failed before".into()))
    }
}

/// Counts the chunks that are not written yet.
#[derive(Debug, Default)]
struct Unwritten {
    chunks: AtomicUsize,
    waker: AtomicWaker,
}

/// The memory of a chunk, which h2 drops when all of it is written.
struct Chunk {
    data: Bytes,
    unwritten: Arc<Unwritten>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.unwritten.chunks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.unwritten.waker.wake();
        }
    }
}
