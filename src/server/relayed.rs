//! An answer on its way to the client, of which nothing is lost where it breaks off: the head and all that came of the body go
//! out first, and then its connection, or its stream, breaks. hyper drops what it has not written yet when a body fails.
//!
//! Over HTTP/1 the connection breaks below hyper, once that has handed over all that it had ([`super::staged`]). Over HTTP/2 an
//! empty frame of data is sent behind the others, and the failure waits until that has left.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
    broken: Option<Box<Broken>>,
    patience: Duration,
}

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
        response.map(|body| Self { body: Some(body), course, end, broken: None, patience })
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
        match ready!(Pin::new(body).poll_frame(context)) {
            Some(Err(error)) => {
                // With all that it holds.
                this.body = None;
                let how = match this.end {
                    End::Stream => {
                        let sent = Arc::<Sent>::default();
                        let last = Bytes::from_owner(Last(Arc::clone(&sent)));
                        let patience = Box::pin(tokio::time::sleep(this.patience));
                        this.broken = Some(Box::new(Broken { error: Some(error.into()), sent, patience }));
                        return Poll::Ready(Some(Ok(Frame::data(last))));
                    }
                    End::Framing => Break::InStages,
                    // To end it properly would be to say that this was all.
                    End::Connection => Break::AtOnce,
                };
                // hyper flushes whenever a body has nothing for it, and what is below it breaks off behind that.
                this.course.break_off(how);
                Poll::Pending
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
        if !self.sent.is_over.load(Ordering::Acquire) {
            ready!(self.patience.as_mut().poll(context));
        }
        Poll::Ready(self.error.take().unwrap_or_else(|| "it has failed".into()))
    }
}

/// Whether the last frame has left.
#[derive(Debug, Default)]
struct Sent {
    is_over: AtomicBool,
    waiting: AtomicWaker,
}

/// The memory of an empty frame, which is dropped when that is written, behind all frames before it.
struct Last(Arc<Sent>);

impl AsRef<[u8]> for Last {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.waiting.wake();
    }
}
