//! A connection to a server.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{reaper::now, timer::ReusableTimer, transport::Transport};

/// How many bytes are read at a time: at first, and at most, when reads keep filling what was asked for.
const READ_BUFFER: ReadBuffer = ReadBuffer { initial: 8 * 1024, max: 128 * 1024 };

struct ReadBuffer {
    initial: usize,
    max: usize,
}

/// How the response begins by which some servers announce that they close an idle connection (RFC 9110 section 15.5.9).
const TIMEOUT_STATUS: &[u8] = b"HTTP/1.1 408";

/// What a server has done on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleActivity {
    /// Nothing.
    Quiet,
    /// It has closed the connection.
    Closed,
    /// It has sent a 408, behind which it closes.
    TimeoutResponse,
    /// It has sent other bytes, that no request asked for.
    Surplus,
}

/// A connection to a server, and what was read from it ahead.
#[derive(Debug)]
pub struct Connection {
    pub(super) transport: Transport,
    /// What was read and is not used yet.
    pub(super) buffer: BytesMut,
    pub(super) timer: ReusableTimer,
    read_size: usize,
    pub(super) opened: Instant,
    /// Whatever is to last as long as the connection.
    _held: Option<Box<dyn Held>>,
}

/// What may be held by a connection.
pub trait Held: fmt::Debug + Send + Sync {}

impl<T: fmt::Debug + Send + Sync> Held for T {}

impl Connection {
    /// A new connection.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            buffer: BytesMut::new(),
            timer: ReusableTimer::default(),
            read_size: READ_BUFFER.initial,
            opened: now(),
            _held: None,
        }
    }

    /// A new connection, which drops `held` when it ends.
    pub fn holding(transport: Transport, held: Box<dyn Held>) -> Self {
        Self { _held: Some(held), ..Self::new(transport) }
    }

    /// What the server has done on the connection while no request was under way.
    pub(super) fn check_idle(&mut self) -> IdleActivity {
        let (mut bytes, transport) = ([0; TIMEOUT_STATUS.len()], &mut self.transport);
        let mut begin = ReadBuf::new(&mut bytes);
        let read = poll_fn(|context| Pin::new(&mut *transport).poll_read(context, &mut begin));
        // Not within the task's budget: once that is spent, every connection would look quiet.
        let read = pin!(tokio::task::unconstrained(read)).poll(&mut Context::from_waker(Waker::noop()));
        match read {
            Poll::Pending if self.buffer.is_empty() => IdleActivity::Quiet,
            Poll::Ready(Ok(())) if begin.filled() == TIMEOUT_STATUS => IdleActivity::TimeoutResponse,
            Poll::Ready(Ok(())) if begin.filled().is_empty() => IdleActivity::Closed,
            Poll::Pending | Poll::Ready(Ok(())) => IdleActivity::Surplus,
            Poll::Ready(Err(_)) => IdleActivity::Closed,
        }
    }

    /// Reads more into the buffer: how many bytes, or 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < self.read_size / 4 {
            self.buffer.reserve(self.read_size);
        }
        let space = self.buffer.capacity() - self.buffer.len();
        let read = ready!(pin!(self.transport.read_buf(&mut self.buffer)).poll(context))?;
        if read == space {
            self.read_size = (self.read_size * 2).min(READ_BUFFER.max);
        } else if read < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(READ_BUFFER.initial);
        }
        Poll::Ready(Ok(read))
    }

    /// Prepares the connection, whose buffer is empty, for staying idle: a small part that is left of a large block holds all of
    /// it.
    pub(super) fn release_large_buffer(&mut self) {
        if self.read_size > READ_BUFFER.initial {
            self.buffer = BytesMut::new();
        }
    }

    /// Prepares the connection for another protocol, which may be quiet for long and needs neither the timer nor an empty buffer.
    pub(super) fn release_resources(&mut self) {
        self.timer.stop();
        self.release_empty_buffer();
    }

    fn release_empty_buffer(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Pin::new(&mut self.transport).poll_read(context, out);
        }
        let ahead = self.buffer.len().min(out.remaining());
        out.put_slice(&self.buffer.split_to(ahead));
        self.release_empty_buffer();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}
