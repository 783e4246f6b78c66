//! HTTP/1.1 towards an app (RFC 9112), on connections that carry one request at a time.
//!
//! A request is driven by whoever waits for its answer: its body is sent while the answer is read, without a task between the
//! two. What cannot be read in one way alone is no answer.

mod chunks;
mod head;
mod idle_pool;
mod request_writer;
mod response_body;
mod transport;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use http::Response;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::InterimHandler;

use head::{Framing, Head, Read};
use request_writer::Unsent;

pub(super) use head::{MAX_FIELDS, MAX_HEAD_BYTES};
pub(super) use idle_pool::IdlePool;
pub(super) use request_writer::RequestWriter;
pub(super) use response_body::Http1ResponseBody;
pub(super) use transport::Stream;

/// Why there is no answer, or no whole one.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// The connection broke.
    #[error("its connection broke off")]
    Connection(#[from] io::Error),
    /// The connection ended where something had to follow.
    #[error("its connection ended too early")]
    Ended,
    /// The answer cannot be read.
    #[error("its answer is not HTTP/1.1")]
    Malformed(#[from] httparse::Error),
    /// The answer could be read in more than one way, or is too much.
    #[error("its answer {0}")]
    AmbiguousFraming(&'static str),
    /// What we were to send broke off.
    #[error("the request's body broke off")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Http1Error {
    /// Whether the connection ended, rather than that what came over it is of no use (over TLS, where it is not what was sent).
    fn is_end(&self) -> bool {
        match self {
            Self::Connection(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::Ended => true,
            Self::Malformed(_) | Self::AmbiguousFraming(_) | Self::Request(_) => false,
        }
    }
}

/// Why a connection gave no answer to a request.
pub(super) enum SendError {
    /// The connection was dead, and nothing of the request went over it.
    Unsent(RequestWriter, io::Error),
    /// The connection ended before anything came over it. The app may have got the request.
    Unanswered(RequestWriter, Http1Error),
    /// It had been sent, in part at least.
    Broken(Http1Error),
    /// No head of an answer came in time.
    TimedOut,
}

/// What came back.
pub(super) enum Http1Reply {
    /// An answer.
    Response(Response<Http1ResponseBody>),
    /// The connection, to speak another protocol on.
    Switched(Response<()>, Box<Connection>),
}

/// So much is read at once: at first, and at most, when all that was asked for keeps coming.
const READ_BUFFER: (usize, usize) = (8 * 1024, 128 * 1024);

/// A connection to an app, and what was read from it ahead.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    read: BytesMut,
    read_size: usize,
    /// Runs on from request to request, because setting it anew costs more than looking, now and then, whether it is time.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, read: BytesMut::new(), read_size: READ_BUFFER.0, timer: None }
    }

    /// Whether the other end has neither closed the connection nor said anything unasked.
    pub(super) fn is_reusable(&mut self) -> bool {
        let (mut byte, stream) = ([0], &mut self.stream);
        let look = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut byte)));
        // Not within the task's budget: once that is spent, every connection would look quiet.
        let look = pin!(tokio::task::unconstrained(look)).poll(&mut Context::from_waker(Waker::noop()));
        self.read.is_empty() && look.is_pending()
    }

    /// Sends a request and waits for the head of its answer, so long `within` from when the request was whole. What comes before
    /// that goes to `interim`. The connection goes to `rest` after the answer, if it can bear another.
    pub(super) async fn send_request(
        mut self: Box<Self>,
        mut writer: RequestWriter,
        within: Option<Duration>,
        interim: InterimHandler<'_>,
        rest: Arc<IdlePool>,
    ) -> Result<Http1Reply, SendError> {
        let mut deadline = None;
        let mut lost = None;
        let mut is_silent = true;
        let head = poll_fn(|context| {
            if let Poll::Ready(sent) = writer.poll(&mut self.stream, context) {
                match sent {
                    Ok(()) => {}
                    Err(Unsent::Body(error)) => return Poll::Ready(Err(Some(Http1Error::Request(error)))),
                    // The app may have answered before it closed.
                    Err(Unsent::Write(error)) => lost = Some(error),
                }
                if let Some(within) = within
                    && self.is_late(&mut deadline, within, context)
                {
                    return Poll::Ready(Err(None));
                }
            }
            self.poll_head(writer.is_for_head(), interim, &mut is_silent, context).map_err(Some)
        })
        .await;
        let head = match (head, lost) {
            // What was read is no answer to a request of which nothing was sent.
            (_, Some(error)) if writer.is_untouched() => return Err(SendError::Unsent(writer, error)),
            (Ok(head), _) => head,
            (Err(Some(ended)), lost) if is_silent && ended.is_end() => {
                return Err(SendError::Unanswered(writer, lost.map_or(ended, Http1Error::from)));
            }
            (Err(_), Some(error)) => return Err(SendError::Broken(error.into())),
            (Err(Some(error)), None) => return Err(SendError::Broken(error)),
            (Err(None), None) => return Err(SendError::TimedOut),
        };
        let Head { response, framing, rest: idle_limit } = head;
        Ok(match framing {
            Framing::Switched => {
                // A tunnel may be idle for long, and needs neither the clock nor a buffer with nothing in it.
                self.timer = None;
                if self.read.is_empty() {
                    self.read = BytesMut::new();
                }
                Http1Reply::Switched(response, self)
            }
            Framing::Body(framing) => {
                let body = Http1ResponseBody::new(framing, idle_limit, self, writer, rest);
                Http1Reply::Response(response.map(|()| body))
            }
        })
    }

    /// Whether the time `within` which the head had to come, from the first call on, is over.
    #[expect(clippy::disallowed_methods, reason = "how long an app may take has nothing to do with tokens' times")]
    fn is_late(&mut self, deadline: &mut Option<Instant>, within: Duration, context: &mut Context<'_>) -> bool {
        let deadline = match deadline {
            Some(deadline) => *deadline,
            // One that no clock reaches is none.
            None => match Instant::now().checked_add(within) {
                Some(first) => *deadline.insert(first),
                None => return false,
            },
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                self.timer = None;
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }

    fn poll_head(
        &mut self,
        to_head: bool,
        interim: InterimHandler<'_>,
        is_silent: &mut bool,
        context: &mut Context<'_>,
    ) -> Poll<Result<Head, Http1Error>> {
        loop {
            while !self.read.is_empty()
                && let Some(read) = head::read(&mut self.read, to_head)?
            {
                match (read, interim) {
                    (Read::Answer(head), _) => return Poll::Ready(Ok(head)),
                    (Read::Interim(head), Some(pass)) => pass(head),
                    (Read::Interim(_), None) => {}
                }
            }
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Err(Http1Error::Ended));
            }
            *is_silent = false;
        }
    }

    /// Reads some more. At the end of the stream, nothing.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < self.read_size / 4 {
            self.read.reserve(self.read_size);
        }
        let space = self.read.capacity() - self.read.len();
        let got = ready!(pin!(self.stream.read_buf(&mut self.read)).poll(context))?;
        if got == space {
            self.read_size = (self.read_size * 2).min(READ_BUFFER.1);
        } else if got < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(READ_BUFFER.0);
        }
        Poll::Ready(Ok(got))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let ahead = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(ahead));
        if self.read.is_empty() {
            // What was read ahead of a tunnel is read once.
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
