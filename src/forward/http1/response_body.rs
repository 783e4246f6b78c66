//! The body of a response.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{
    body_decoder::BodyDecoder,
    body_reader::{BodyReader, Next},
    connection::Connection,
    early_response::{Relayed, relay},
    error::Http1Error,
    idle_pool::Reuse,
    request::OutgoingRequest,
    request_writer::RequestWriter,
    response_head::BodyLength,
};

/// The body of a response.
#[derive(Debug)]
pub struct Http1ResponseBody<R>(State<R>);

#[derive(Debug)]
enum State<R> {
    /// Read by whoever takes it.
    Direct(BodyReader<R>),
    /// Read by a task, because the response came before all of the request was sent.
    Early(mpsc::Receiver<Relayed>),
    /// All of it was taken, or it failed.
    Ended,
}

impl<R: OutgoingRequest> Http1ResponseBody<R> {
    pub(super) fn new(length: BodyLength, connection: Box<Connection>, writer: RequestWriter<R>, reuse: Option<Reuse>) -> Self {
        let reuse = reuse.filter(|_| !writer.has_failed());
        let request = Some(writer).filter(|writer| !writer.has_failed() && !writer.is_complete()).map(Box::new);
        let is_early = request.is_some();
        let reader = BodyReader { decoder: BodyDecoder::new(length), connection, request, reuse };
        Self(match length {
            BodyLength::Exact(0) => {
                reader.finish();
                State::Ended
            }
            _ if is_early => State::Early(relay(reader)),
            BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => State::Direct(reader),
        })
    }
}

impl<R: OutgoingRequest> State<R> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, Http1Error>> {
        match self {
            Self::Direct(reader) => {
                let next = ready!(reader.poll_next(context));
                if let Ok(Next::Last(_)) = &next
                    && let Self::Direct(reader) = mem::replace(self, Self::Ended)
                {
                    reader.finish();
                }
                Poll::Ready(next)
            }
            Self::Early(relayed) => Poll::Ready(match ready!(relayed.poll_recv(context)) {
                Some(Relayed::Frame(frame)) => Ok(Next::Frame(frame)),
                Some(Relayed::Last(frame)) => Ok(Next::Last(frame)),
                Some(Relayed::Failed(error)) => Err(error),
                // The task has ended with its runtime.
                None => Err(Http1Error::UnexpectedEnd),
            }),
            Self::Ended => Poll::Ready(Ok(Next::Last(None))),
        }
    }
}

impl<R: OutgoingRequest> Body for Http1ResponseBody<R> {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        let state = &mut self.0;
        Poll::Ready(match ready!(state.poll_next(context)) {
            Ok(Next::Frame(frame)) => Some(Ok(frame)),
            Ok(Next::Last(frame)) => {
                *state = State::Ended;
                frame.map(Ok)
            }
            Err(error) => {
                *state = State::Ended;
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Direct(reader) => reader.size_hint(),
            // What the head says of the length is what counts.
            State::Early(_) => SizeHint::new(),
            State::Ended => SizeHint::with_exact(0),
        }
    }
}
