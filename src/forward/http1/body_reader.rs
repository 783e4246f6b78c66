//! The body of a response, read from its connection while the rest of the request is written.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{
    body_decoder::{BodyDecoder, BodyStep},
    connection::Connection,
    error::Http1Error,
    finish_request::finish_request,
    idle_pool::Reuse,
    request::OutgoingRequest,
    request_writer::{RequestWriter, WriteError},
};

/// Reads the body of a response.
#[derive(Debug)]
pub(super) struct BodyReader<R> {
    pub(super) decoder: BodyDecoder,
    pub(super) connection: Box<Connection>,
    /// What is still to be written of the request.
    pub(super) request: Option<Box<RequestWriter<R>>>,
    /// Where the connection goes after the response, if it takes another request.
    pub(super) reuse: Option<Reuse>,
}

/// What comes next in a body.
pub(super) enum Next {
    /// A piece; more may follow.
    Frame(Frame<Bytes>),
    /// The end, with the last piece if there is one. The reader is to be finished.
    Last(Option<Frame<Bytes>>),
}

impl<R: OutgoingRequest> BodyReader<R> {
    /// Writes what can be written of the request now. A connection that takes no more may still bring the response; a server that
    /// waits for the rest of a body that failed will not.
    pub(super) fn write_request(&mut self, context: &mut Context<'_>) -> Result<(), Http1Error> {
        let Some(writer) = &mut self.request else { return Ok(()) };
        match writer.poll(&mut self.connection.transport, context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.request = None,
            Poll::Ready(Err(WriteError::Io(_))) => (self.request, self.reuse) = (None, None),
            Poll::Ready(Err(WriteError::Body(error))) => return Err(Http1Error::RequestBody(error)),
        }
        Ok(())
    }

    /// Reads what comes next, and writes what can be written of the request meanwhile.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Next, Http1Error>> {
        self.write_request(context)?;
        loop {
            match self.decoder.decode(&mut self.connection.buffer)? {
                BodyStep::Frame(frame) => return Poll::Ready(Ok(Next::Frame(frame))),
                BodyStep::Last(frame) => return Poll::Ready(Ok(Next::Last(frame))),
                BodyStep::NeedsInput => {}
            }
            if ready!(self.connection.poll_fill(context))? == 0 {
                return Poll::Ready(self.decoder.end_of_connection().map(|()| Next::Last(None)));
            }
        }
    }

    /// Releases the connection after all of the response has been read, once the request is complete as well.
    pub(super) fn finish(self) {
        let Self { mut connection, request, reuse, .. } = self;
        let Some(reuse) = reuse else { return };
        if !connection.buffer.is_empty() {
            // What follows a response would be taken for the next one.
            return reuse.pool.note_surplus();
        }
        connection.release_large_buffer();
        match request {
            None => reuse.release(connection),
            Some(writer) => drop(tokio::spawn(finish_request(*writer, connection, reuse))),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }
}
