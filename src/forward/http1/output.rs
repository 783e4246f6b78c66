//! The bytes of a request that are ready to be written.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

use super::transport::Transport;

/// A piece of the body of up to this size, in bytes, is copied behind what stands before it, so that one write takes both.
const MAX_COPIED_PIECE: usize = 8 * 1024;

/// Bytes that are ready to be written, in this order.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The head, the lines before chunks, and small pieces of the body.
    copied: BytesMut,
    /// A large piece of the body, which is written from where it is.
    piece: Bytes,
    /// The line end behind that piece, if it is a chunk.
    piece_end: &'static [u8],
}

impl Output {
    /// Output that begins with a head.
    pub(super) fn new(head: BytesMut) -> Self {
        Self { copied: head, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.piece.is_empty() && self.piece_end.is_empty()
    }

    /// Whether this is to be written before more of the body is taken.
    pub(super) fn is_full(&self) -> bool {
        self.copied.len() >= MAX_COPIED_PIECE || !self.piece.is_empty() || !self.piece_end.is_empty()
    }

    /// Appends a piece of a body whose length was said.
    pub(super) fn push_data(&mut self, data: Bytes) {
        self.push(data, b"");
    }

    /// Appends a piece of a body as a chunk. An empty one is left out: it would be the last.
    pub(super) fn push_chunk(&mut self, data: Bytes) {
        if !data.is_empty() {
            self.copied.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
            self.push(data, b"\r\n");
        }
    }

    /// Appends the end of a body in chunks.
    pub(super) fn push_last_chunk(&mut self) {
        self.copied.extend_from_slice(b"0\r\n\r\n");
    }

    fn push(&mut self, data: Bytes, end: &'static [u8]) {
        if data.len() <= MAX_COPIED_PIECE {
            self.copied.extend_from_slice(&data);
            self.copied.extend_from_slice(end);
        } else {
            (self.piece, self.piece_end) = (data, end);
        }
    }

    /// Writes some of this: how many bytes.
    pub(super) fn poll_write(&mut self, transport: &mut Transport, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.piece.is_empty() && self.piece_end.is_empty() {
            pin!(transport.write_buf(&mut self.copied)).poll(context)
        } else {
            let mut all = (&mut self.copied).chain(&mut self.piece).chain(&mut self.piece_end);
            pin!(transport.write_buf(&mut all)).poll(context)
        }
    }
}
