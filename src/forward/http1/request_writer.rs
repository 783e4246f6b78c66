//! A request on its way to an app.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use hyper::body::Body;
use tokio::io::AsyncWriteExt;

use super::{
    head::{self, RequestFraming},
    transport::Stream,
};
use crate::forward::Outgoing;

/// Pieces of a body up to this go out with what stands before them, in one piece of memory.
const SMALL: usize = 8 * 1024;

/// What is still to be sent of a request.
#[derive(Debug)]
pub(in crate::forward) struct RequestWriter {
    outgoing: Box<Outgoing>,
    /// Goes first.
    ready: BytesMut,
    /// Goes then, and after it the end of its chunk.
    piece: Bytes,
    after: &'static [u8],
    /// What is still to come of the body.
    framed: RequestFraming,
    /// Part of the body is among what was or is to be written.
    has_taken: bool,
    has_begun: bool,
    /// So many bytes went out.
    written: u64,
    /// TLS may hold back what was written.
    is_held_back: bool,
    /// It will never be whole.
    is_lost: bool,
}

/// Why a request is not sent whole.
pub(super) enum Unsent {
    /// Its body broke off.
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing goes over the connection.
    Write(io::Error),
}

impl RequestWriter {
    /// A request, framed as its body is.
    pub(in crate::forward) fn new(outgoing: Box<Outgoing>) -> Self {
        let framed = match (outgoing.body.is_end_stream(), outgoing.body.size_hint().exact()) {
            (true, _) => RequestFraming::Nothing,
            (false, Some(length)) => RequestFraming::Length(length),
            (false, None) => RequestFraming::Chunked,
        };
        let mut ready = BytesMut::new();
        let Outgoing { head, own_headers, .. } = &*outgoing;
        let lines = head.headers.iter().chain(own_headers.iter().map(|(name, value)| (name, value)));
        let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head::write(&mut ready, &head.method, target, lines, framed);
        Self {
            outgoing,
            ready,
            piece: Bytes::new(),
            after: b"",
            framed,
            has_taken: false,
            has_begun: false,
            written: 0,
            is_held_back: false,
            is_lost: false,
        }
    }

    /// The request as it was, if nothing was taken of its body.
    pub(in crate::forward) fn into_outgoing(self) -> Option<Box<Outgoing>> {
        (!self.has_taken).then_some(self.outgoing)
    }

    /// The request as it is sent once more, if it may be. A body that has been taken looks as if there had been none.
    pub(in crate::forward) fn again(self) -> Option<Self> {
        self.into_outgoing()?.again().map(Self::new)
    }

    /// Whether the answer to this has no body.
    pub(super) fn is_for_head(&self) -> bool {
        self.outgoing.head.method == Method::HEAD
    }

    /// Whether nothing of it has left us.
    pub(super) fn is_untouched(&self) -> bool {
        !self.has_begun
    }

    /// How many bytes of it went out.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether it will never be sent whole.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether all of it has been sent.
    pub(super) fn is_whole(&self) -> bool {
        self.framed == RequestFraming::Nothing && !self.has_bytes() && !self.is_held_back
    }

    fn has_bytes(&self) -> bool {
        !self.ready.is_empty() || !self.piece.is_empty() || !self.after.is_empty()
    }

    /// Sends what can be sent now; ready when nothing is left, or nothing more can be sent.
    pub(super) fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        if self.is_lost || self.is_whole() {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.poll_all(stream, context));
        // What has not begun may go over another connection.
        self.is_lost = match &sent {
            Ok(()) => false,
            Err(Unsent::Body(_)) => true,
            Err(Unsent::Write(_)) => self.has_begun,
        };
        Poll::Ready(sent)
    }

    fn poll_all(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        loop {
            // A short body goes out with its head.
            if self.framed != RequestFraming::Nothing
                && self.ready.len() < SMALL
                && self.piece.is_empty()
                && self.after.is_empty()
            {
                match Pin::new(&mut self.outgoing.body).poll_frame(context) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(data) = frame.into_data() {
                            self.take(data)?;
                        }
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Unsent::Body(error.into()))),
                    Poll::Ready(None) => {
                        self.finish()?;
                        continue;
                    }
                    Poll::Pending if self.ready.is_empty() => {
                        // Whoever waits for our answer to what was sent must have got it.
                        ready!(self.poll_flush(stream, context))?;
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            if !self.has_bytes() {
                return self.poll_flush(stream, context);
            }
            // A part of what is written over TLS may be out when the write of another part fails.
            self.has_begun |= stream.holds_back();
            let written = if self.piece.is_empty() && self.after.is_empty() {
                pin!(stream.write_buf(&mut self.ready)).poll(context)
            } else {
                pin!(stream.write_buf(&mut (&mut self.ready).chain(&mut self.piece).chain(&mut self.after))).poll(context)
            };
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Unsent::Write(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => {
                    (self.has_begun, self.is_held_back) = (true, stream.holds_back());
                    self.written += written as u64;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Unsent::Write(error))),
                // An app that does not read must not keep alive what is to be cut.
                Poll::Pending => return self.outgoing.body.poll_cut(context).map(|cut| Err(Unsent::Body(cut.into()))),
            }
        }
    }

    fn poll_flush(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        if self.is_held_back {
            ready!(pin!(stream.flush()).poll(context)).map_err(Unsent::Write)?;
            self.is_held_back = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a piece of the body.
    fn take(&mut self, data: Bytes) -> Result<(), Unsent> {
        self.has_taken = true;
        match &mut self.framed {
            RequestFraming::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(less) => *left = less,
                None => return Err(Unsent::Body("it is longer than it says".into())),
            },
            // An empty chunk would be the last one.
            RequestFraming::Chunked if data.is_empty() => {}
            RequestFraming::Chunked => {
                self.ready.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.after = b"\r\n";
            }
            RequestFraming::Nothing => return Err(Unsent::Body("it is longer than it says".into())),
        }
        if data.len() <= SMALL {
            self.ready.extend_from_slice(&data);
            self.ready.extend_from_slice(std::mem::take(&mut self.after));
        } else {
            self.piece = data;
        }
        Ok(())
    }

    /// Ends the body.
    fn finish(&mut self) -> Result<(), Unsent> {
        match std::mem::replace(&mut self.framed, RequestFraming::Nothing) {
            RequestFraming::Length(0) | RequestFraming::Nothing => {}
            RequestFraming::Length(_) => return Err(Unsent::Body("it is shorter than it says".into())),
            RequestFraming::Chunked => self.ready.extend_from_slice(b"0\r\n\r\n"),
        }
        self.has_taken = true;
        Ok(())
    }
}
