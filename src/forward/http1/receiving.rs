//! The body of an app's answer on its way to us.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};

use super::{
    APPETITE, Broken, Connection, Sending,
    chunks::{Chunks, Piece},
    head::Length,
};

/// Takes connections that bear another request.
pub(in crate::forward) type Rest = Arc<dyn TakesBack>;

/// See [`Rest`].
pub(in crate::forward) trait TakesBack: std::fmt::Debug + Send + Sync {
    fn take_back(&self, connection: Box<Connection>);
}

/// An answer's body, which sends the rest of the request meanwhile.
#[derive(Debug)]
pub(in crate::forward) struct Receiving {
    /// Until all has come.
    over: Option<Over>,
    left: Left,
}

/// What an answer comes over.
#[derive(Debug)]
struct Over {
    connection: Box<Connection>,
    sending: Box<Sending>,
    persists: bool,
    rest: Rest,
}

#[derive(Debug)]
enum Left {
    Exact(u64),
    Chunks(Chunks),
    UntilClose,
}

/// What is next in a body.
enum Next {
    Piece(Frame<Bytes>),
    /// Nothing follows.
    Last(Option<Frame<Bytes>>),
    /// It is not here yet.
    NotYet,
}

impl Left {
    fn next(&mut self, read: &mut BytesMut) -> Result<Next, Broken> {
        Ok(match self {
            Self::Chunks(chunks) => match chunks.next(read)? {
                Some(Piece::Data(data)) => Next::Piece(Frame::data(data)),
                Some(Piece::Trailers(trailers)) => Next::Last(Some(Frame::trailers(trailers))),
                Some(Piece::End) => Next::Last(None),
                None => Next::NotYet,
            },
            Self::Exact(_) | Self::UntilClose if read.is_empty() => Next::NotYet,
            Self::Exact(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= here as u64;
                let frame = Frame::data(read.split_to(here).freeze());
                if *left == 0 { Next::Last(Some(frame)) } else { Next::Piece(frame) }
            }
            Self::UntilClose => Next::Piece(Frame::data(read.split().freeze())),
        })
    }
}

impl Receiving {
    pub(super) fn new(length: Length, persists: bool, connection: Box<Connection>, sending: Box<Sending>, rest: Rest) -> Self {
        let left = match length {
            Length::Exact(bytes) => Left::Exact(bytes),
            Length::Chunked => Left::Chunks(Chunks::default()),
            Length::UntilClose => Left::UntilClose,
        };
        let mut receiving = Self { over: Some(Over { connection, sending, persists, rest }), left };
        if length == Length::Exact(0) {
            receiving.finish();
        }
        receiving
    }

    /// All of the answer has come.
    fn finish(&mut self) {
        let Some(Over { mut connection, mut sending, persists, rest }) = self.over.take() else { return };
        // What follows an answer would be taken for the next one.
        if !persists || sending.is_lost() || !connection.read.is_empty() {
            return;
        }
        if connection.read.capacity() > APPETITE.0 {
            connection.read = BytesMut::new();
        }
        if sending.is_whole() {
            return rest.take_back(connection);
        }
        // The app answered early, and may want the rest of the request all the same.
        tokio::spawn(async move {
            if poll_fn(|context| sending.poll(&mut connection.stream, context)).await.is_ok() && sending.is_whole() {
                rest.take_back(connection);
            }
        });
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let Some(over) = &mut this.over else { return Poll::Ready(None) };
        // If it cannot be sent whole, the answer may be all the same.
        let _kept_by_sending = over.sending.poll(&mut over.connection.stream, context);
        loop {
            match this.left.next(&mut over.connection.read)? {
                Next::Piece(frame) => return Poll::Ready(Some(Ok(frame))),
                Next::Last(frame) => {
                    this.finish();
                    return Poll::Ready(frame.map(Ok));
                }
                Next::NotYet => {}
            }
            if ready!(over.connection.poll_fill(context))? == 0 {
                let is_whole = matches!(this.left, Left::UntilClose);
                this.over = None;
                return Poll::Ready((!is_whole).then_some(Err(Broken::Ended)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.left {
            Left::Exact(left) => SizeHint::with_exact(*left),
            Left::Chunks(_) | Left::UntilClose if self.over.is_none() => SizeHint::with_exact(0),
            Left::Chunks(_) | Left::UntilClose => SizeHint::new(),
        }
    }
}
