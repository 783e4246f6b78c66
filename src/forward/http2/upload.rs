//! The body of a request on its way to an upstream of HTTP/2.

use std::{
    error::Error,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use hyper::body::Body;
use tokio_util::sync::CancellationToken;

use super::pool::Place;
use crate::forward::{body_error::BodyError, request_body::RequestBody};

/// The rest of a request whose response is complete is given up when nothing of it could be sent for so long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, and the half of a stream that takes it.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    /// What the upstream's window has no room for yet.
    chunk: Option<Bytes>,
    is_last: bool,
    sent: u64,
    progress: Progress,
}

/// What an upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The client.
    AwaitsClient,
    /// The upstream, which has taken so many bytes.
    AwaitsUpstream(u64),
    /// Nothing: all was sent, or the rest is not wanted.
    Over,
}

/// What becomes of a response, for an upload that outlives its head.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseEnd {
    pub(super) complete: CancellationToken,
    pub(super) given_up: CancellationToken,
}

impl Upload {
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody) -> Self {
        Self { stream, body, chunk: None, is_last: false, sent: 0, progress: Progress::AwaitsClient }
    }

    /// What it waits for, as of the last time that it was polled.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Sends what can be sent now. Ready when nothing is left, or when the upstream wants no more, of which its response tells more.
    ///
    /// # Errors
    /// The body failed, and its stream was reset.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.progress == Progress::Over {
            return Poll::Ready(Ok(()));
        }
        let ended = ready!(self.poll_to_end(context));
        self.progress = Progress::Over;
        if let Err(error) = &ended {
            self.stream.send_reset(reason(error));
        }
        Poll::Ready(ended)
    }

    fn poll_to_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let Some(chunk) = &mut self.chunk else {
                self.progress = Progress::AwaitsClient;
                match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                    // Trailers of requests are not forwarded.
                    Some(Ok(frame)) => {
                        self.chunk = frame.into_data().ok();
                        self.is_last = self.body.is_end_stream();
                    }
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => (self.chunk, self.is_last) = (Some(Bytes::new()), true),
                }
                continue;
            };
            if !chunk.is_empty() {
                self.stream.reserve_capacity(chunk.len());
                if self.stream.capacity() == 0 {
                    self.progress = Progress::AwaitsUpstream(self.sent);
                    match self.stream.poll_capacity(context) {
                        Poll::Ready(Some(Ok(_))) => continue,
                        Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(())),
                        // An upstream that does not read must not keep alive what is to be abandoned.
                        Poll::Pending => return self.body.poll_cut(context).map(Err),
                    }
                }
            }
            let piece = chunk.split_to(chunk.len().min(self.stream.capacity()));
            self.sent += piece.len() as u64;
            let is_whole = chunk.is_empty();
            if is_whole {
                self.chunk = None;
            }
            let is_end = is_whole && self.is_last;
            if self.stream.send_data(piece, is_end).is_err() || is_end {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends the rest beside a response. While that lasts, neither side is hurried; after it, the rest is sent for as long as it
    /// is on its way.
    pub(super) async fn finish(mut self, response: ResponseEnd, _place: Arc<Place>) {
        self.body.allow_pauses();
        tokio::select! {
            biased;
            () = response.given_up.cancelled() => return self.stream.send_reset(Reason::CANCEL),
            _ended = poll_fn(|context| self.poll(context)) => return,
            () = response.complete.cancelled() => {}
        }
        let mut sent_before = None;
        while sent_before != Some(self.sent) {
            sent_before = Some(self.sent);
            if tokio::time::timeout(STALL_TIMEOUT, poll_fn(|context| self.poll(context))).await.is_ok() {
                return;
            }
        }
        self.stream.send_reset(Reason::CANCEL);
    }
}

/// The code that a request's stream is reset with because its body failed: that of the client's own stream, if it has one.
fn reason(error: &BodyError) -> Reason {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(reason) = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason) {
            return reason;
        }
        cause = error.source();
    }
    Reason::INTERNAL_ERROR
}
