//! A response body over HTTP/2, which tells how far it has come.
//!
//! hyper alone drops what it has not written yet when a body fails. A failure is therefore held back until the memory of the last
//! chunk is released, which happens when that chunk has been written behind the head and all chunks before it.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::{
    CutBody,
    activity::ConnectionActivity,
    shared_body::{SharedBody, Taken},
};

/// The body of a response over HTTP/2.
#[derive(Debug)]
pub(super) struct StreamBody<B> {
    progress: Arc<StreamProgress<B>>,
    /// Whether an empty chunk would be the first.
    has_sent: bool,
    failed: Option<Box<Failed<B>>>,
    flush_timeout: Duration,
}

/// What the body of a response shares with the task that serves its stream, and how far it has come.
#[derive(Debug)]
pub(super) struct StreamProgress<B> {
    body: SharedBody<B>,
    /// Chunks of which h2 has not written all.
    unwritten: AtomicUsize,
    /// Bytes that were written.
    written: AtomicU64,
    /// The connection's newest chunk when it last wrote something of this stream, or was last seen to write others in its place.
    waits_behind: AtomicU64,
    all_written: AtomicWaker,
    activity: Arc<ConnectionActivity>,
}

/// In which a head is written where nothing tells when it has been.
const HEAD_FLUSH_TIME: Duration = Duration::from_millis(100);

/// A body that has failed, while what came of it is being written.
#[derive(Debug)]
struct Failed<B> {
    error: Option<BoxError>,
    progress: Option<Arc<StreamProgress<B>>>,
    flush_timeout: Pin<Box<Sleep>>,
}

/// A piece of a body, whose writing is seen.
#[derive(Debug)]
pub(super) struct Chunk<B> {
    data: Bytes,
    /// Its number among those of the connection.
    number: u64,
    has_begun: bool,
    progress: Arc<StreamProgress<B>>,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<B> StreamProgress<B> {
    /// That of a stream of this connection whose response has not begun.
    pub(super) fn new(activity: Arc<ConnectionActivity>) -> Self {
        Self {
            body: SharedBody::default(),
            unwritten: AtomicUsize::default(),
            written: AtomicU64::default(),
            waits_behind: AtomicU64::default(),
            all_written: AtomicWaker::default(),
            activity,
        }
    }

    /// Whether something of the response waits to be taken by the client. If not, the app is waited for, or the response has not
    /// begun.
    pub(super) fn waits_for_client(&self) -> bool {
        self.body.is_offered() || self.unwritten.load(Ordering::Relaxed) > 0
    }

    /// How many bytes the client's windows and its connection have let out.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the stream waits behind others of its connection, of which the client takes something, but slowly. It does not where the
    /// connection has written what came after it. That is seen once for each time that it happens, because the stream's window may
    /// have opened since.
    pub(super) fn waits_for_turn(&self) -> bool {
        let is_passed_over = self.activity.chunks.has_begun_beyond(self.waits_behind.load(Ordering::Relaxed));
        if is_passed_over {
            self.queues_anew();
        }
        self.activity.is_writing() && !is_passed_over
    }

    fn queues_anew(&self) {
        self.waits_behind.store(self.activity.chunks.newest(), Ordering::Relaxed);
    }
}

impl<B: CutBody> StreamProgress<B> {
    /// Ready when the body is to end though hyper does not come for more of it.
    pub(super) fn poll_cut(&self, context: &mut Context<'_>) -> Poll<()> {
        self.body.poll_cut(context)
    }
}

impl<B> StreamBody<B> {
    /// Wraps the body of a response, whose `progress` is seen from now on. When the body fails, what came of it is given
    /// `flush_timeout` to be written.
    pub(super) fn wrap(response: Response<B>, progress: Arc<StreamProgress<B>>, flush_timeout: Duration) -> Response<Self> {
        response.map(|body| {
            progress.body.begin(body);
            Self { progress, has_sent: false, failed: None, flush_timeout }
        })
    }

    /// Counts a chunk as unwritten until its memory is released.
    fn track(&mut self, data: Bytes) -> Chunk<B> {
        self.has_sent = true;
        let progress = Arc::clone(&self.progress);
        progress.unwritten.fetch_add(1, Ordering::Relaxed);
        let number = progress.activity.chunks.push();
        progress.waits_behind.store(number, Ordering::Relaxed);
        Chunk { data, number, has_begun: false, progress }
    }

    /// Fails the stream when everything received has been written. Where that is the head alone, an empty chunk follows it, whose
    /// writing is seen; but not without limit, because clients end a connection on which many empty frames come.
    fn abort(&mut self, error: BoxError, context: &mut Context<'_>) -> Poll<Result<Frame<Chunk<B>>, BoxError>> {
        let (empty, progress, flush_timeout) = if self.has_sent {
            (None, Some(Arc::clone(&self.progress)), self.flush_timeout)
        } else if self.progress.activity.may_send_empty_frame() {
            (Some(self.track(Bytes::new())), Some(Arc::clone(&self.progress)), self.flush_timeout)
        } else {
            (None, None, HEAD_FLUSH_TIME)
        };
        let flush_timeout = Box::pin(tokio::time::sleep(flush_timeout));
        let failed = self.failed.insert(Box::new(Failed { error: Some(error), progress, flush_timeout }));
        match empty {
            Some(empty) => Poll::Ready(Ok(Frame::data(empty))),
            None => failed.poll(context).map(Err),
        }
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Chunk<B>;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Chunk<B>>, BoxError>>> {
        if let Some(failed) = &mut self.failed {
            return failed.poll(context).map(|error| Some(Err(error)));
        }
        Poll::Ready(match ready!(self.progress.body.poll_next(context)) {
            Taken::Frame(frame) | Taken::Last(frame) => Some(Ok(frame.map_data(|data| self.track(data)))),
            Taken::End => None,
            Taken::Failed(error) => return self.abort(error.into(), context).map(Some),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.progress.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.progress.body.size_hint()
    }
}

impl<B> Drop for StreamBody<B> {
    fn drop(&mut self) {
        // Not only with the last chunk, which may wait in h2 for long.
        self.progress.body.end();
    }
}

impl<B> Failed<B> {
    /// The error, when everything before it has been written, or was not within the time limit.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<BoxError> {
        let is_written = self.progress.as_ref().is_some_and(|progress| {
            progress.all_written.register(context.waker());
            progress.unwritten.load(Ordering::Acquire) == 0
        });
        if !is_written {
            ready!(self.flush_timeout.as_mut().poll(context));
        }
        Poll::Ready(self.error.take().unwrap_or_else(|| "the body has failed before".into()))
    }
}

impl<B> Buf for Chunk<B> {
    fn remaining(&self) -> usize {
        self.data.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.data
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if !self.has_begun {
            self.has_begun = true;
            self.progress.activity.chunks.begin(self.number);
        }
        self.progress.written.fetch_add(count as u64, Ordering::Relaxed);
        self.progress.queues_anew();
    }
}

impl<B> Drop for Chunk<B> {
    fn drop(&mut self) {
        self.progress.activity.chunks.release();
        if self.progress.unwritten.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.progress.all_written.wake();
        }
    }
}
