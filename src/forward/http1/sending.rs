//! A request on its way to an app.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderValue, Method, header};
use hyper::body::Body;
use tokio::io::AsyncWriteExt;

use super::{head, stream::Stream};
use crate::forward::{Outgoing, body::WithoutTrailers};

/// Pieces of a body up to this go out with what stands before them, in one piece of memory.
const SMALL: usize = 8 * 1024;

/// What is still to be sent of a request.
#[derive(Debug)]
pub(in crate::forward) struct Sending {
    /// Goes first.
    ready: BytesMut,
    /// Goes then, and after it the end of its chunk.
    piece: Bytes,
    after: &'static [u8],
    body: Option<WithoutTrailers>,
    framing: Framed,
    is_for_head: bool,
    has_begun: bool,
    /// It will never be whole.
    is_lost: bool,
}

/// How the app is told where the body ends (RFC 9112 section 6).
#[derive(Clone, Copy, Debug)]
enum Framed {
    /// So many bytes are to follow.
    Length(u64),
    Chunked,
}

/// Why a request is not sent whole.
pub(super) enum Unsent {
    /// Its body broke off.
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing goes over the connection.
    Write(io::Error),
}

impl Sending {
    /// A request, framed as its head says.
    pub(in crate::forward) fn new(outgoing: Outgoing) -> Self {
        let Outgoing { head: request, ours, body } = outgoing;
        let length = request.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let framing = match request.headers.contains_key(header::TRANSFER_ENCODING) {
            true => Framed::Chunked,
            false => Framed::Length(length.unwrap_or(0)),
        };
        let mut ready = BytesMut::new();
        let target = request.uri.path_and_query().map_or("/", |path| path.as_str());
        // Some servers wait for a length where these methods have no body (RFC 9110 section 8.6).
        let has_body = !body.is_end_stream() || length.is_some();
        let expects = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        let nothing = HeaderValue::from_static("0");
        let nothing = (!has_body && expects).then_some((&header::CONTENT_LENGTH, &nothing));
        let lines = request.headers.iter().chain(nothing).chain(ours.iter().map(|(name, value)| (name, value)));
        head::write(&mut ready, &request.method, target, lines);
        Self {
            ready,
            piece: Bytes::new(),
            after: b"",
            body: (!body.is_end_stream() || length.is_some_and(|length| length > 0)).then_some(body),
            framing,
            is_for_head: request.method == Method::HEAD,
            has_begun: false,
            is_lost: false,
        }
    }

    /// Whether the answer to this has no body.
    pub(super) fn is_for_head(&self) -> bool {
        self.is_for_head
    }

    /// Whether nothing of it has left us.
    pub(super) fn is_untouched(&self) -> bool {
        !self.has_begun
    }

    /// Whether it will never be sent whole.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether all of it has been sent.
    pub(super) fn is_whole(&self) -> bool {
        self.body.is_none() && !self.has_bytes()
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
            if self.ready.len() < SMALL
                && self.piece.is_empty()
                && self.after.is_empty()
                && let Some(body) = &mut self.body
            {
                match Pin::new(body).poll_frame(context) {
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
                    Poll::Pending if self.ready.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if !self.has_bytes() {
                return Poll::Ready(Ok(()));
            }
            let written = if self.piece.is_empty() && self.after.is_empty() {
                pin!(stream.write_buf(&mut self.ready)).poll(context)
            } else {
                pin!(stream.write_buf(&mut (&mut self.ready).chain(&mut self.piece).chain(&mut self.after))).poll(context)
            };
            match ready!(written) {
                Ok(0) => return Poll::Ready(Err(Unsent::Write(io::ErrorKind::WriteZero.into()))),
                Ok(_) => self.has_begun = true,
                Err(error) => return Poll::Ready(Err(Unsent::Write(error))),
            }
            if !self.has_bytes() && self.body.is_none() {
                // TLS may hold some of it back.
                return pin!(stream.flush()).poll(context).map_err(Unsent::Write);
            }
        }
    }

    /// Takes a piece of the body.
    fn take(&mut self, data: Bytes) -> Result<(), Unsent> {
        match &mut self.framing {
            Framed::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(less) => *left = less,
                None => return Err(Unsent::Body("its body is longer than it says".into())),
            },
            // An empty chunk would be the last one.
            Framed::Chunked if data.is_empty() => {}
            Framed::Chunked => {
                self.ready.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.after = b"\r\n";
            }
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
        self.body = None;
        match self.framing {
            Framed::Length(0) => {}
            Framed::Length(_) => return Err(Unsent::Body("its body is shorter than it says".into())),
            Framed::Chunked => self.ready.extend_from_slice(b"0\r\n\r\n"),
        }
        Ok(())
    }
}
