//! The stream to a client below hyper. Evergate does here what hyper offers no other way for: a response that failed aborts the
//! connection, interim responses are written, requests that cannot be parsed are answered, and every connection ends with a
//! lingering close. While no hyper is above it, the stream waits for the next bytes and keeps them for the next one.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::{Abort, ConnectionActivity},
    alpn::{Detected, Expected},
    lingering_close::{LingerTimeouts, LingeringClose},
    raw_response,
};

/// Answers a request that cannot be parsed, for which hyper would send this status.
pub type RejectMalformed = Box<dyn Fn(u16) -> Response<Bytes> + Send>;

/// The stream of a client's connection.
pub(super) struct ClientStream<S> {
    stream: S,
    activity: Arc<ConnectionActivity>,
    /// What was received and is to be read first.
    received: Bytes,
    reject: RejectMalformed,
    /// What is written in place of hyper's own response.
    rejection: Option<Bytes>,
    is_shut_down: bool,
    lingering: LingeringClose,
}

/// So much is received at once while no hyper is above the stream: the head of nearly every request.
const RECEIVED_AT_ONCE: usize = 4096;

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, linger: LingerTimeouts, activity: Arc<ConnectionActivity>, reject: RejectMalformed) -> Self {
        let (received, lingering) = (Bytes::new(), LingeringClose::new(linger));
        Self { stream, activity, received, reject, rejection: None, is_shut_down: false, lingering }
    }

    /// Has these bytes, which were received, be read again.
    pub(super) fn unread(&mut self, received: Bytes) {
        self.received = received;
    }

    /// Passes on the result of a write, and notes whether it waits for the client to read.
    fn note_write<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.set_writing(result.is_pending());
        result
    }
}

impl<S: AsyncRead + Unpin> ClientStream<S> {
    /// Waits until the client's first bytes tell which protocol it speaks. `None`: it closes the connection before.
    pub(super) async fn detect_protocol(&mut self, expected: Expected) -> io::Result<Option<Detected>> {
        while self.receive().await? {
            let detected = expected.detect(&self.received);
            if detected != Detected::Undecided {
                return Ok(Some(detected));
            }
        }
        Ok(None)
    }

    /// Waits for bytes, and keeps them to be read. `false`: the client closes the connection instead. Nothing is lost where the
    /// wait is given up.
    pub(super) async fn receive(&mut self) -> io::Result<bool> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        // On the stack, so that a connection holds no buffer while it waits.
        let mut buffer = [MaybeUninit::uninit(); RECEIVED_AT_ONCE];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.received = if self.received.is_empty() {
            Bytes::copy_from_slice(buffer.filled())
        } else {
            [&self.received, buffer.filled()].concat().into()
        };
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    /// Writes our own response if `bytes`, of `length` with those that follow them, are hyper's own. `None`: they are not a
    /// response.
    fn poll_reject(&mut self, context: &mut Context<'_>, bytes: &[u8], length: usize) -> Option<Poll<io::Result<usize>>> {
        if self.rejection.is_none() {
            let status = raw_response::parse_status(bytes)?;
            self.rejection = Some(raw_response::last_response(&(self.reject)(status), bytes));
        }
        let rejection = self.rejection.as_mut()?;
        while !rejection.is_empty() {
            let result = Pin::new(&mut self.stream).poll_write(context, rejection);
            self.activity.set_writing(result.is_pending());
            match result {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => rejection.advance(written),
                failed @ (Poll::Ready(Err(_)) | Poll::Pending) => return Some(failed),
            }
        }
        Some(Poll::Ready(Ok(length)))
    }

    /// Writes interim responses, while hyper has nothing to write.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (activity, stream) = (Arc::clone(&self.activity), &mut self.stream);
        let result = activity.interim.poll_write(|bytes| Pin::new(&mut *stream).poll_write(context, bytes));
        self.note_write(result)
    }

    /// Ends a connection whose response failed, once everything received of that is written.
    fn poll_abort(&mut self, context: &mut Context<'_>, how: Abort) -> Poll<io::Result<()>> {
        if how == Abort::AfterLingering {
            // The connection ends whether or not this succeeds.
            let _result = ready!(Pin::new(&mut *self).poll_shutdown(context));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a response failed")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.received.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.writes_own_response()
            && let Some(rejected) = self.poll_reject(context, bytes, bytes.len())
        {
            return rejected;
        }
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_write(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.interim.is_waiting() {
            ready!(self.poll_interim(context))?;
        }
        let result = Pin::new(&mut self.stream).poll_flush(context);
        ready!(self.note_write(result))?;
        self.activity.flushed();
        match self.activity.aborted() {
            None => Poll::Ready(Ok(())),
            Some(how) => self.poll_abort(context, how),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.closes();
        if !self.is_shut_down {
            let result = Pin::new(&mut self.stream).poll_shutdown(context);
            ready!(self.note_write(result))?;
            self.is_shut_down = true;
        }
        // What comes over a tunnel after one half is closed is still wanted.
        if self.activity.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        this.lingering.poll(context, &mut this.stream, this.activity.is_in_a_hurry()).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.writes_own_response()
            && let Some(first) = buffers.first()
            && let Some(rejected) = self.poll_reject(context, first, buffers.iter().map(|buffer| buffer.len()).sum())
        {
            return rejected;
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note_write(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(50);

    fn client_stream(idle: Duration, total: Duration) -> (ClientStream<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        let reject: RejectMalformed = Box::new(|_| Response::new(Bytes::new()));
        (ClientStream::new(ours, LingerTimeouts { idle, total, hurried: SHORT }, Arc::default(), reject), theirs)
    }

    #[tokio::test]
    async fn a_client_that_still_sends_reads_the_response_and_is_waited_for() {
        let (mut ours, mut theirs) = client_stream(LONG, LONG);
        let client = tokio::spawn(async move {
            theirs.write_all(&[b'x'; 100_000]).await.unwrap();
            let mut response = String::new();
            theirs.read_to_string(&mut response).await.unwrap();
            response
        });
        ours.write_all(b"no").await.unwrap();
        ours.shutdown().await.unwrap();
        assert_eq!(client.await.unwrap(), "no");
    }

    #[tokio::test]
    async fn neither_a_silent_client_nor_an_endless_upload_is_waited_for_forever() {
        let (mut ours, _theirs) = client_stream(SHORT, LONG);
        ours.shutdown().await.unwrap();
        let (mut ours, mut theirs) = client_stream(LONG, SHORT);
        let endless = tokio::spawn(async move { while theirs.write_all(b"x").await.is_ok() {} });
        ours.shutdown().await.unwrap();
        drop(ours);
        endless.await.unwrap();
    }

    #[tokio::test]
    async fn no_client_is_waited_for_long_while_evergate_stops() {
        let (mut ours, mut theirs) = client_stream(LONG, LONG);
        let activity = Arc::clone(&ours.activity);
        let endless = tokio::spawn(async move { while theirs.write_all(b"x").await.is_ok() {} });
        let stopping = async {
            tokio::time::sleep(SHORT).await;
            activity.stop();
        };
        let (shut, ()) = tokio::join!(ours.shutdown(), stopping);
        shut.unwrap();
        drop(ours);
        endless.await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_over_a_tunnel_after_one_half_is_closed_is_not_lost() {
        let (mut ours, mut theirs) = client_stream(LONG, LONG);
        let mut switching = Response::new(());
        *switching.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        ours.activity.response_begins(&switching);
        ours.shutdown().await.unwrap();
        theirs.write_all(b"more").await.unwrap();
        drop(theirs);
        let mut more = String::new();
        ours.read_to_string(&mut more).await.unwrap();
        assert_eq!(more, "more");
    }

    #[tokio::test]
    async fn what_is_received_is_read_in_order_however_small_the_reader_s_buffer() {
        let (mut ours, mut theirs) = client_stream(LONG, LONG);
        theirs.write_all(b"PRI").await.unwrap();
        theirs.write_all(b"ORITY / HTTP/1.1").await.unwrap();
        assert_eq!(ours.detect_protocol(Expected::Either).await.unwrap(), Some(Detected::Http1));
        theirs.write_all(b"\r\n").await.unwrap();
        drop(theirs);
        let mut all = String::new();
        while let Ok(byte) = ours.read_u8().await {
            all.push(char::from(byte));
        }
        assert_eq!(all, "PRIORITY / HTTP/1.1\r\n");
    }
}
