//! The body of an app's answer on its way to us.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::{
    Connection, Http1Error, IdlePool, READ_BUFFER, RequestWriter,
    chunks::{ChunkDecoder, Decoded},
    head::BodyLength,
    request_writer::Unsent,
};

/// The rest of a request whose answer is over is given up when nothing of it was sent for so long.
const STALLED: Duration = Duration::from_secs(30);

/// An answer's body.
#[derive(Debug)]
pub(in crate::forward) enum Http1ResponseBody {
    /// Read by whoever takes it.
    Whole(Reading),
    /// The app answered before it had the whole request. The rest is sent, and the answer read, by a task of its own, because
    /// neither may wait for a client that does not take the other.
    Early(mpsc::Receiver<Option<Result<Frame<Bytes>, Http1Error>>>),
    /// All has come.
    Ended,
}

/// An answer's body while it is read.
#[derive(Debug)]
pub(in crate::forward) struct Reading {
    /// Until all has come.
    over: Option<Over>,
    left: Left,
}

/// What an answer comes over.
#[derive(Debug)]
struct Over {
    connection: Box<Connection>,
    /// What is still to be sent of the request.
    writer: Option<RequestWriter>,
    /// How long the connection may rest after this, if it bears another request.
    idle_limit: Option<Duration>,
    rest: Arc<IdlePool>,
}

#[derive(Debug)]
enum Left {
    Exact(u64),
    ChunkDecoder(ChunkDecoder),
    UntilClose,
}

/// What is next in a body.
enum Next {
    Decoded(Frame<Bytes>),
    /// Nothing follows.
    Last(Option<Frame<Bytes>>),
    /// It is not here yet.
    NotYet,
}

impl Left {
    fn next(&mut self, read: &mut BytesMut) -> Result<Next, Http1Error> {
        Ok(match self {
            Self::ChunkDecoder(chunks) => match chunks.next(read)? {
                Some(Decoded::Data(data)) => Next::Decoded(Frame::data(data)),
                Some(Decoded::Trailers(trailers)) => Next::Last(Some(Frame::trailers(trailers))),
                Some(Decoded::End) => Next::Last(None),
                None => Next::NotYet,
            },
            Self::Exact(_) | Self::UntilClose if read.is_empty() => Next::NotYet,
            Self::Exact(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= here as u64;
                let frame = Frame::data(read.split_to(here).freeze());
                if *left == 0 { Next::Last(Some(frame)) } else { Next::Decoded(frame) }
            }
            Self::UntilClose => Next::Decoded(Frame::data(read.split().freeze())),
        })
    }
}

impl Http1ResponseBody {
    pub(super) fn new(
        length: BodyLength,
        idle_limit: Option<Duration>,
        connection: Box<Connection>,
        writer: RequestWriter,
        rest: Arc<IdlePool>,
    ) -> Self {
        let left = match length {
            BodyLength::Exact(bytes) => Left::Exact(bytes),
            BodyLength::Chunked => Left::ChunkDecoder(ChunkDecoder::default()),
            BodyLength::UntilClose => Left::UntilClose,
        };
        let idle_limit = idle_limit.filter(|_| !writer.is_lost());
        let writer = Some(writer).filter(|writer| !writer.is_lost() && !writer.is_whole());
        let is_early = writer.is_some();
        let mut reading = Reading { over: Some(Over { connection, writer, idle_limit, rest }), left };
        if length == BodyLength::Exact(0) {
            reading.finish();
            Self::Ended
        } else if is_early {
            let (give, take) = mpsc::channel(1);
            tokio::spawn(reading.hand_on(give));
            Self::Early(take)
        } else {
            Self::Whole(reading)
        }
    }
}

impl Reading {
    /// Hands the body on piece by piece, and sends the request meanwhile. Ends with whoever takes it.
    async fn hand_on(mut self, give: mpsc::Sender<Option<Result<Frame<Bytes>, Http1Error>>>) {
        loop {
            let room = tokio::select! {
                room = give.reserve() => room,
                error = self.send_on() => {
                    let _nobody_waits = give.send(Some(Err(error))).await;
                    return;
                }
            };
            let Ok(room) = room else { return };
            let frame = tokio::select! {
                frame = poll_fn(|context| self.poll_next(context)) => frame,
                () = give.closed() => return,
            };
            let is_last = !matches!(frame, Some(Ok(_)));
            room.send(frame);
            if is_last {
                return;
            }
        }
    }

    /// Sends the request for as long as this is waited for; comes back if its body breaks off.
    async fn send_on(&mut self) -> Http1Error {
        poll_fn(|context| match self.poll_send(context) {
            Err(broken) => Poll::Ready(broken),
            Ok(()) => Poll::Pending,
        })
        .await
    }

    /// Sends what can be sent now. A connection that takes no more may still bring the answer; an app that waits for the rest of
    /// a body that broke off will not.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Result<(), Http1Error> {
        let Some(over) = &mut self.over else { return Ok(()) };
        let Some(writer) = &mut over.writer else { return Ok(()) };
        match writer.poll(&mut over.connection.stream, context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => over.writer = None,
            Poll::Ready(Err(Unsent::Write(_))) => (over.writer, over.idle_limit) = (None, None),
            Poll::Ready(Err(Unsent::Body(error))) => {
                self.over = None;
                return Err(Http1Error::Request(error));
            }
        }
        Ok(())
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        self.poll_send(context)?;
        let Some(over) = &mut self.over else { return Poll::Ready(None) };
        loop {
            match self.left.next(&mut over.connection.read)? {
                Next::Decoded(frame) => return Poll::Ready(Some(Ok(frame))),
                Next::Last(frame) => {
                    self.finish();
                    return Poll::Ready(frame.map(Ok));
                }
                Next::NotYet => {}
            }
            if ready!(over.connection.poll_fill(context))? == 0 {
                let is_whole = matches!(self.left, Left::UntilClose);
                self.over = None;
                return Poll::Ready((!is_whole).then_some(Err(Http1Error::Ended)));
            }
        }
    }

    /// All of the answer has come.
    fn finish(&mut self) {
        let Some(Over { mut connection, writer, idle_limit, rest }) = self.over.take() else { return };
        // What follows an answer would be taken for the next one.
        let Some(idle_limit) = idle_limit.filter(|_| connection.read.is_empty()) else { return };
        // A little that is left of a large block holds all of it.
        if connection.read_size > READ_BUFFER.0 {
            connection.read = BytesMut::new();
        }
        match writer {
            None => rest.release(connection, idle_limit),
            // The app answered early, and may want the rest of the request all the same.
            Some(writer) => drop(tokio::spawn(send_the_rest(writer, connection, idle_limit, rest))),
        }
    }
}

/// Sends what is left of a request whose answer is over. An app that takes no more of it does not keep it for ever, with all
/// that it holds.
async fn send_the_rest(mut writer: RequestWriter, mut connection: Box<Connection>, idle_limit: Duration, rest: Arc<IdlePool>) {
    let mut before = None;
    while before != Some(writer.written()) {
        before = Some(writer.written());
        let sent = poll_fn(|context| writer.poll(&mut connection.stream, context));
        match tokio::time::timeout(STALLED, sent).await {
            Ok(Ok(())) if writer.is_whole() => return rest.release(connection, idle_limit),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

impl Body for Http1ResponseBody {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        match &mut *self {
            Self::Whole(reading) => reading.poll_next(context),
            Self::Early(take) => {
                let next = ready!(take.poll_recv(context));
                // The end is said: that nothing follows is not enough.
                let frame = next.unwrap_or(Some(Err(Http1Error::Ended)));
                if frame.is_none() {
                    *self = Self::Ended;
                }
                Poll::Ready(frame)
            }
            Self::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(reading) => reading.over.is_none(),
            Self::Early(_) => false,
            Self::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Reading { left: Left::Exact(left), .. }) => SizeHint::with_exact(*left),
            Self::Whole(reading) if reading.over.is_some() => SizeHint::new(),
            Self::Whole(_) | Self::Ended => SizeHint::with_exact(0),
            // What the head says of its length is what counts.
            Self::Early(_) => SizeHint::new(),
        }
    }
}
