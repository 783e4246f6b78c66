//! A connection to a server.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{timer::ReusableTimer, transport::Transport};

/// How many bytes are read at a time: at first, and at most, when reads keep filling what was asked for.
const READ_BUFFER: ReadBuffer = ReadBuffer { initial: 8 * 1024, max: 128 * 1024 };

struct ReadBuffer {
    initial: usize,
    max: usize,
}

/// A connection to a server, and what was read from it ahead.
#[derive(Debug)]
pub struct Connection {
    pub(super) transport: Transport,
    /// What was read and is not used yet.
    pub(super) buffer: BytesMut,
    pub(super) timer: ReusableTimer,
    read_size: usize,
}

impl Connection {
    /// A new connection.
    pub fn new(transport: Transport) -> Self {
        Self { transport, buffer: BytesMut::new(), timer: ReusableTimer::default(), read_size: READ_BUFFER.initial }
    }

    /// Whether the server has neither closed the connection nor sent anything that was not asked for.
    pub(super) fn is_reusable(&mut self) -> bool {
        let (mut byte, transport) = ([0], &mut self.transport);
        let read = poll_fn(|context| Pin::new(&mut *transport).poll_read(context, &mut ReadBuf::new(&mut byte)));
        // Not within the task's budget: once that is spent, every connection would look reusable.
        let read = pin!(tokio::task::unconstrained(read)).poll(&mut Context::from_waker(Waker::noop()));
        self.buffer.is_empty() && read.is_pending()
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
