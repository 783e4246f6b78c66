//! A request on its way to a server.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::Method;
use hyper::body::Body;
use tokio::io::AsyncWriteExt;

use super::{
    error::BoxError,
    output::Output,
    request::OutgoingRequest,
    request_head::{RequestFraming, write_request_head},
    transport::Transport,
};

/// Writes a request, its body as it comes.
#[derive(Debug)]
pub struct RequestWriter<R> {
    request: Box<R>,
    body: BodyProgress,
    output: Output,
    delivery: Delivery,
    /// The server has to take something before more is written.
    waits_for_server: bool,
}

/// How far the body has been taken from the request, with what is still to be taken.
#[derive(Clone, Copy, Debug)]
enum BodyProgress {
    /// Nothing was taken, so that the request can be handed back as it was.
    Untouched(RequestFraming),
    /// Some of it was taken, or all.
    Taken(RequestFraming),
}

/// How much of the request has left this process.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    /// Nothing: all of it may go over another connection.
    NotStarted,
    /// A part of it, perhaps.
    Started {
        /// So many bytes were written.
        written: u64,
        /// Some of them may wait in the transport until it is flushed.
        needs_flush: bool,
    },
    /// The rest will never be written.
    Failed,
}

/// What the body has left in the output.
enum Source {
    /// Output that is to be written first.
    Output,
    /// Nothing: the next piece of the body has not come yet.
    Waiting,
    /// Nothing: the body has ended.
    Ended,
}

/// Why a request is not written to its end.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Its body failed.
    Body(BoxError),
    /// The connection takes no more.
    Io(io::Error),
}

impl BodyProgress {
    fn left(self) -> RequestFraming {
        match self {
            Self::Untouched(left) | Self::Taken(left) => left,
        }
    }
}

impl<R: OutgoingRequest> RequestWriter<R> {
    /// A writer of a request, framed as its body says.
    pub fn new(request: Box<R>) -> Self {
        let framing = match (request.body().is_end_stream(), request.body().size_hint().exact()) {
            (true, _) => RequestFraming::Nothing,
            (false, Some(length)) => RequestFraming::Length(length),
            (false, None) => RequestFraming::Chunked,
        };
        let mut head = BytesMut::new();
        write_request_head(&mut head, request.method(), request.target(), request.fields(), framing);
        let (body, output) = (BodyProgress::Untouched(framing), Output::new(head));
        Self { request, body, output, delivery: Delivery::NotStarted, waits_for_server: false }
    }

    /// The request as it was, if nothing was taken of its body. A body that was taken looks as if there had been none.
    pub fn into_request(self) -> Option<Box<R>> {
        match self.body {
            BodyProgress::Untouched(_) => Some(self.request),
            BodyProgress::Taken(_) => None,
        }
    }

    /// Whether the response has no body because of the request's method.
    pub(super) fn is_head_request(&self) -> bool {
        *self.request.method() == Method::HEAD
    }

    /// Whether nothing of the request has left this process.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.delivery, Delivery::NotStarted)
    }

    /// How many bytes of the request were written.
    pub(super) fn written(&self) -> u64 {
        match self.delivery {
            Delivery::Started { written, .. } => written,
            Delivery::NotStarted | Delivery::Failed => 0,
        }
    }

    /// Whether the server has to take something before more is written. If not, the body is waited for.
    pub(super) fn waits_for_server(&self) -> bool {
        self.waits_for_server
    }

    /// Whether the request will never be written to its end.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.delivery, Delivery::Failed)
    }

    /// Whether all of the request was written.
    pub(super) fn is_complete(&self) -> bool {
        self.body.left() == RequestFraming::Nothing
            && self.output.is_empty()
            && matches!(self.delivery, Delivery::NotStarted | Delivery::Started { needs_flush: false, .. })
    }

    /// Writes what can be written now; ready when nothing is left, or nothing more can be written. An error comes once, but for
    /// one before anything was written.
    pub(super) fn poll(&mut self, transport: &mut Transport, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.has_failed() || self.is_complete() {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.poll_to_end(transport, context));
        match &result {
            Ok(()) => {}
            Err(WriteError::Io(_)) if self.is_untouched() => {}
            Err(WriteError::Io(_) | WriteError::Body(_)) => self.delivery = Delivery::Failed,
        }
        Poll::Ready(result)
    }

    fn poll_to_end(&mut self, transport: &mut Transport, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        loop {
            self.waits_for_server = false;
            let source = self.fill_output(context)?;
            self.waits_for_server = true;
            if !self.output.is_empty() {
                ready!(self.poll_write(transport, context))?;
                continue;
            }
            // Also before the next piece of the body: who waits for the response to what was written must have got that.
            ready!(self.poll_flush(transport, context))?;
            match source {
                Source::Output => {}
                Source::Waiting => {
                    self.waits_for_server = false;
                    return Poll::Pending;
                }
                Source::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Takes pieces of the body until the output is full, so that a short body goes out with its head.
    fn fill_output(&mut self, context: &mut Context<'_>) -> Result<Source, WriteError> {
        while self.body.left() != RequestFraming::Nothing {
            if self.output.is_full() {
                return Ok(Source::Output);
            }
            match Pin::new(self.request.body_mut()).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers of requests are not forwarded.
                    if let Ok(data) = frame.into_data() {
                        self.take(data)?;
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(WriteError::Body(error.into())),
                Poll::Ready(None) => self.finish()?,
                Poll::Pending => return Ok(Source::Waiting),
            }
        }
        Ok(Source::Ended)
    }

    /// Takes a piece of the body.
    fn take(&mut self, data: Bytes) -> Result<(), WriteError> {
        let left = match self.body.left() {
            RequestFraming::Length(left) => {
                let left = left.checked_sub(data.len() as u64).ok_or(WriteError::Body("it is longer than it says".into()))?;
                self.output.push_data(data);
                RequestFraming::Length(left)
            }
            RequestFraming::Chunked => {
                self.output.push_chunk(data);
                RequestFraming::Chunked
            }
            RequestFraming::Nothing => return Err(WriteError::Body("it is longer than it says".into())),
        };
        self.body = BodyProgress::Taken(left);
        Ok(())
    }

    /// Ends the body.
    fn finish(&mut self) -> Result<(), WriteError> {
        match self.body.left() {
            RequestFraming::Length(0) | RequestFraming::Nothing => {}
            RequestFraming::Length(_) => return Err(WriteError::Body("it is shorter than it says".into())),
            RequestFraming::Chunked => self.output.push_last_chunk(),
        }
        self.body = BodyProgress::Taken(RequestFraming::Nothing);
        Ok(())
    }

    fn poll_write(&mut self, transport: &mut Transport, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        // A part of what is written over TLS may be out when the write of another part fails.
        if transport.buffers_writes() && self.is_untouched() {
            self.delivery = Delivery::Started { written: 0, needs_flush: false };
        }
        match self.output.poll_write(transport, context) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(WriteError::Io(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(bytes)) => {
                let written = self.written() + bytes as u64;
                self.delivery = Delivery::Started { written, needs_flush: transport.buffers_writes() };
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(WriteError::Io(error))),
            // A server that does not read must not keep alive what is to be abandoned.
            Poll::Pending => self.request.poll_abort(context).map(|error| Err(WriteError::Body(error))),
        }
    }

    fn poll_flush(&mut self, transport: &mut Transport, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if let Delivery::Started { needs_flush: needs_flush @ true, .. } = &mut self.delivery {
            ready!(pin!(transport.flush()).poll(context)).map_err(WriteError::Io)?;
            *needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}
