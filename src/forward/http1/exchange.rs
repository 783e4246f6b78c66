//! One request and the head of its response.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Response;
use tokio::time::Instant;

use super::{
    connection::Connection,
    error::Http1Error,
    idle_pool::{IdlePool, Reuse},
    request::OutgoingRequest,
    request_writer::{RequestWriter, WriteError},
    response_body::Http1ResponseBody,
    response_head::{ParsedHead, ResponseFraming, ResponseHead, parse_response_head},
    timer::ReusableTimer,
};

/// What takes interim responses (RFC 9110 section 15.2), if anything does.
pub type InterimHandler<'a> = Option<&'a (dyn Fn(Response<()>) + Send + Sync)>;

/// What came back.
#[derive(Debug)]
pub enum Http1Reply<R> {
    /// A response.
    Response(Response<Http1ResponseBody<R>>),
    /// The connection, on which another protocol is spoken now.
    Upgraded(Response<()>, Box<Connection>),
}

/// Why a connection gave no response.
#[derive(Debug)]
pub enum SendError<R> {
    /// The connection was dead, and nothing of the request was sent.
    Unsent(RequestWriter<R>, io::Error),
    /// The connection ended before anything came over it. The server may have got the request.
    Unanswered(RequestWriter<R>, Http1Error),
    /// It failed otherwise, after a part of the request at least was sent.
    Broken(Http1Error),
    /// No head of a response came in time.
    TimedOut,
}

/// Sends a request and waits for the head of its response. The server may keep it waiting for no longer than `head_timeout`: between
/// two pieces that it takes of the request, and for the head when it has all of it. After the response the connection goes to `pool`, if it takes another request.
///
/// # Errors
/// [`SendError`].
pub async fn send_request<R: OutgoingRequest>(
    mut connection: Box<Connection>,
    mut writer: RequestWriter<R>,
    head_timeout: Option<Duration>,
    interim: InterimHandler<'_>,
    pool: Arc<IdlePool>,
) -> Result<Http1Reply<R>, SendError<R>> {
    let mut waiting = AwaitingHead {
        deadline: head_timeout.map_or(HeadDeadline::None, HeadDeadline::AfterRequest),
        stalled: None,
        interim,
        has_received: false,
        write_error: None,
    };
    let head = match poll_fn(|context| waiting.poll(&mut connection, &mut writer, context)).await {
        Ok(head) => head,
        Err(HeadError::Unsent(error)) => return Err(SendError::Unsent(writer, error)),
        Err(HeadError::Unanswered(error)) => return Err(SendError::Unanswered(writer, error)),
        Err(HeadError::Broken(error)) => return Err(SendError::Broken(error)),
        Err(HeadError::TimedOut) => return Err(SendError::TimedOut),
    };
    let ResponseHead { response, framing, idle_limit } = head;
    Ok(match framing {
        ResponseFraming::Upgraded => {
            connection.release_resources();
            Http1Reply::Upgraded(response, connection)
        }
        ResponseFraming::Body(length) => {
            let reuse = idle_limit.map(|idle_limit| Reuse { pool, idle_limit });
            let body = Http1ResponseBody::new(length, connection, writer, reuse);
            Http1Reply::Response(response.map(|()| body))
        }
    })
}

/// An exchange whose request is being sent, and the head of whose response has not come yet.
struct AwaitingHead<'a> {
    deadline: HeadDeadline,
    stalled: Option<Stalled>,
    interim: InterimHandler<'a>,
    /// Anything came over the connection.
    has_received: bool,
    /// Why the rest of the request could not be written. The server may have responded before it closed the connection.
    write_error: Option<io::Error>,
}

/// The server takes no more of the request.
struct Stalled {
    /// So many bytes were written.
    written: u64,
    /// It must take more before that.
    until: Instant,
}

/// Why no head came.
enum HeadError {
    /// See [`SendError::Unsent`].
    Unsent(io::Error),
    /// See [`SendError::Unanswered`].
    Unanswered(Http1Error),
    /// See [`SendError::Broken`].
    Broken(Http1Error),
    /// See [`SendError::TimedOut`].
    TimedOut,
}

impl AwaitingHead<'_> {
    /// Writes and reads what can be written and read now.
    fn poll<R: OutgoingRequest>(
        &mut self,
        connection: &mut Connection,
        writer: &mut RequestWriter<R>,
        context: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, HeadError>> {
        if let Poll::Ready(written) = writer.poll(&mut connection.transport, context) {
            match written {
                Ok(()) => {}
                Err(WriteError::Body(error)) => return Poll::Ready(Err(HeadError::Broken(Http1Error::RequestBody(error)))),
                // Whatever is read is no response to a request of which nothing was sent.
                Err(WriteError::Io(error)) if writer.is_untouched() => return Poll::Ready(Err(HeadError::Unsent(error))),
                Err(WriteError::Io(error)) => self.write_error = Some(error),
            }
            if self.deadline.start().is_some_and(|deadline| connection.timer.poll_elapsed(deadline, context)) {
                return Poll::Ready(Err(self.timed_out()));
            }
        } else if self.is_stalled(writer, &mut connection.timer, context) {
            return Poll::Ready(Err(HeadError::TimedOut));
        }
        let head = ready!(self.poll_head(connection, writer.is_head_request(), context));
        Poll::Ready(head.map_err(|error| self.failed(error)))
    }

    /// Whether the server has taken nothing of the request for too long. A client that is slow to send it costs the server nothing.
    fn is_stalled<R: OutgoingRequest>(
        &mut self,
        writer: &RequestWriter<R>,
        timer: &mut ReusableTimer,
        context: &mut Context<'_>,
    ) -> bool {
        let written = writer.written();
        self.stalled.take_if(|stalled| !writer.waits_for_server() || stalled.written != written);
        if self.stalled.is_none() && writer.waits_for_server() {
            self.stalled = self.deadline.begun_now().map(|until| Stalled { written, until });
        }
        self.stalled.as_ref().is_some_and(|stalled| timer.poll_elapsed(stalled.until, context))
    }

    /// Reads up to the head of the final response, and hands on the interim ones before it.
    fn poll_head(
        &mut self,
        connection: &mut Connection,
        is_head_request: bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, Http1Error>> {
        loop {
            match parse_response_head(&mut connection.buffer, is_head_request)? {
                Some(ParsedHead::Final(head)) => return Poll::Ready(Ok(head)),
                Some(ParsedHead::Interim(response)) => {
                    if let Some(hand_on) = self.interim {
                        hand_on(response);
                    }
                }
                None => match ready!(connection.poll_fill(context))? {
                    0 => return Poll::Ready(Err(Http1Error::UnexpectedEnd)),
                    _ => self.has_received = true,
                },
            }
        }
    }

    fn failed(&mut self, error: Http1Error) -> HeadError {
        let is_unanswered = !self.has_received && error.is_end_of_connection();
        // That the request could not be written says more than what was read after it.
        let cause = self.write_error.take().map_or(error, Http1Error::from);
        if is_unanswered { HeadError::Unanswered(cause) } else { HeadError::Broken(cause) }
    }

    fn timed_out(&mut self) -> HeadError {
        self.write_error.take().map_or(HeadError::TimedOut, |error| HeadError::Broken(error.into()))
    }
}

/// When the head must have come.
enum HeadDeadline {
    /// At no time.
    None,
    /// So long after all of the request was sent.
    AfterRequest(Duration),
    /// Then.
    At(Instant),
}

impl HeadDeadline {
    /// The deadline, if it began to run now.
    #[expect(clippy::disallowed_methods, reason = "how long an app may take has nothing to do with tokens' times")]
    fn begun_now(&self) -> Option<Instant> {
        match *self {
            // A time that no clock reaches is none.
            Self::AfterRequest(timeout) => Instant::now().checked_add(timeout),
            Self::None | Self::At(_) => None,
        }
    }

    /// The deadline, whose time runs from the first call.
    fn start(&mut self) -> Option<Instant> {
        if let Self::AfterRequest(_) = *self {
            *self = self.begun_now().map_or(Self::None, Self::At);
        }
        match *self {
            Self::At(deadline) => Some(deadline),
            Self::None | Self::AfterRequest(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
