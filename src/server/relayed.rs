//! An answer on its way to the client, of which nothing is lost where it breaks off: the head and all that came of the body go
//! out first, and then its connection, or its stream, breaks. hyper drops what it has not written yet when a body fails.
//!
//! Over HTTP/1 the connection breaks below hyper, once that has handed over all that it had ([`super::staged`]). Over HTTP/2 the
//! failure waits until the memory of the last piece is given back, which is when it has been written, behind the head and all
//! pieces before it.

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

use super::course::{Break, Course};

/// An answer's body.
#[derive(Debug)]
pub(super) struct Relayed<B> {
    body: Option<B>,
    course: Arc<Course>,
    end: End,
    /// What has not left of an answer over HTTP/2, if it came in pieces.
    sent: Option<Arc<Sent>>,
    broken: Option<Box<Broken>>,
    patience: Duration,
}

/// In which a head leaves, where nothing says when it has.
const A_MOMENT: Duration = Duration::from_millis(100);

/// How its end is told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By its stream.
    Stream,
    /// By a length, or by chunks.
    Framing,
    /// By the end of its connection.
    Connection,
}

/// A body that broke off.
#[derive(Debug)]
struct Broken {
    error: Option<Failure>,
    sent: Arc<Sent>,
    patience: Pin<Box<Sleep>>,
}

type Failure = Box<dyn Error + Send + Sync>;

impl<B: Body> Relayed<B> {
    /// The answer to a request of this version. What came of a broken one is waited for as long as `patience` if its client does
    /// not take it.
    pub(super) fn answer(version: Version, course: Arc<Course>, patience: Duration, response: Response<B>) -> Response<Self> {
        let is_measured =
            || response.body().size_hint().exact().is_some() || response.headers().contains_key(header::CONTENT_LENGTH);
        let end = match version {
            Version::HTTP_2 => End::Stream,
            Version::HTTP_11 => End::Framing,
            _ if is_measured() => End::Framing,
            _ => End::Connection,
        };
        response.map(|body| Self { body: Some(body), course, end, sent: None, broken: None, patience })
    }
}

impl<B> Relayed<B> {
    /// A piece whose leaving is seen.
    fn follow(&mut self, data: Bytes) -> Bytes {
        let sent = self.sent.get_or_insert_default();
        sent.pieces.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Piece { data, sent: Arc::clone(sent) })
    }

    /// Fails when all that came has left. Where that is the head alone, an empty piece goes behind it, but not on and on: clients
    /// end a connection on which many come.
    fn break_stream(&mut self, error: Failure, context: &mut Context<'_>) -> Poll<Result<Frame<Bytes>, Failure>> {
        let is_head_alone = self.sent.is_none();
        let empty = is_head_alone.then(|| self.follow(Bytes::new()));
        let sent = self.sent.take().unwrap_or_default();
        let (empty, patience) = match empty {
            Some(empty) if self.course.may_send_empty() => (Some(empty), self.patience),
            Some(_) => {
                sent.pieces.fetch_add(1, Ordering::Relaxed);
                (None, A_MOMENT)
            }
            None => (None, self.patience),
        };
        let patience = Box::pin(tokio::time::sleep(patience));
        let broken = self.broken.insert(Box::new(Broken { error: Some(error), sent, patience }));
        match empty {
            Some(empty) => Poll::Ready(Ok(Frame::data(empty))),
            None => broken.poll(context).map(Err),
        }
    }
}

impl<B> Drop for Relayed<B> {
    fn drop(&mut self) {
        self.course.answer_ends();
    }
}

impl<B> Body for Relayed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Failure>,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(broken) = &mut this.broken {
            return broken.poll(context).map(|error| Some(Err(error)));
        }
        let Some(body) = &mut this.body else { return Poll::Pending };
        match ready!(Pin::new(&mut *body).poll_frame(context)) {
            Some(Err(error)) => {
                // With all that it holds.
                this.body = None;
                let how = match this.end {
                    End::Stream => return this.break_stream(error.into(), context).map(Some),
                    End::Framing => Break::InStages,
                    // To end it properly would be to say that this was all.
                    End::Connection => Break::AtOnce,
                };
                // hyper flushes whenever a body has nothing for it, and what is below it breaks off behind that.
                this.course.break_off(how);
                Poll::Pending
            }
            // Nothing breaks off behind the last piece.
            Some(Ok(frame)) if this.end == End::Stream && frame.is_data() && !body.is_end_stream() => {
                Poll::Ready(Some(Ok(frame.map_data(|data| this.follow(data)))))
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

impl Broken {
    /// The failure, when all that came before it has left, or for too long did not.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Failure> {
        self.sent.waiting.register(context.waker());
        if self.sent.pieces.load(Ordering::Acquire) > 0 {
            ready!(self.patience.as_mut().poll(context));
        }
        Poll::Ready(self.error.take().unwrap_or_else(|| "it has failed".into()))
    }
}

/// So many pieces have not left.
#[derive(Debug, Default)]
struct Sent {
    pieces: AtomicUsize,
    waiting: AtomicWaker,
}

/// The memory of a piece, which is dropped when all of it is written.
struct Piece {
    data: Bytes,
    sent: Arc<Sent>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.sent.pieces.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.sent.waiting.wake();
        }
    }
}
