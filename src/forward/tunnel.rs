//! An upgraded connection: bytes go both ways until a side ends, its session ends, or a drain ends it.

use std::{
    future::{pending, poll_fn},
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::SetOnce,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    drain::{CLOSE_TIMEOUT, QUIET, ScheduledEnd},
    guards::RequestSlot,
    http1,
    websocket::{Close, FrameTracker},
};
use crate::{connection_slot::InUse, session::live::Connection};

/// How many bytes are read at a time.
const BUFFER: usize = 16 * 1024;

/// How long a client may take nothing of what the upstream sends. Over HTTP/1.1 its connection ends anyway; over HTTP/2 it may keep the
/// window of one stream shut.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// A tunnel, with what ends it and what it holds.
pub(super) struct Tunnel {
    /// The tunnel's registration with its session, if it is a session's.
    pub(super) connection: Option<Connection>,
    /// When a drain ends the tunnel: one moment for both directions.
    pub(super) scheduled_end: ScheduledEnd,
    /// Keeps the client's connection from being taken for an idle one.
    pub(super) _in_use: InUse,
    /// The tunnel counts among the requests of its upstream.
    pub(super) _slot: Option<RequestSlot>,
    /// Whether it carries WebSocket frames.
    pub(super) is_websocket: bool,
}

/// Who sends what one direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Upstream,
}

/// How a tunnel is to be closed.
#[derive(Clone, Copy, Debug)]
struct Closing {
    why: Close,
    /// How long each peer may take to reach the end of a frame, and then again to close.
    timeout: Duration,
}

/// What the two directions know of each other.
#[derive(Debug, Default)]
struct Shared {
    closing: SetOnce<Closing>,
    /// Counts what has come, from either side.
    reads: AtomicU64,
    /// Whether nothing more comes from the client that is for the upstream.
    client_is_done: CancellationToken,
}

impl Tunnel {
    /// Runs the tunnel once the client has upgraded as well.
    pub(super) async fn run(self, client: OnUpgrade, upstream: Box<http1::Connection>) {
        let client = match client.await {
            Ok(client) => client,
            Err(error) => {
                tracing::debug!(%error, "client upgrade failed");
                return;
            }
        };
        if let Err(error) = self.join(TokioIo::new(client), upstream).await {
            tracing::debug!(%error, "tunnel failed");
        }
    }

    /// Runs both directions until they have ended.
    async fn join(
        &self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        upstream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        let (from_client, to_client) = tokio::io::split(client);
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let shared = Shared::default();
        tokio::select! {
            ended = async {
                tokio::try_join!(
                    self.relay(Sender::Client, from_client, to_upstream, &shared),
                    self.relay(Sender::Upstream, from_upstream, to_client, &shared),
                )
            } => ended.map(|_| ()),
            () = async {
                let closing = self.closing(&shared).await;
                let _first = shared.closing.set(closing);
                pending().await
            } => Ok(()),
        }
    }

    /// Waits until the tunnel is to be closed. A drain closes it while nothing is under way in it, if there is such a moment soon:
    /// what one side has sent and the other has not read is lost with a WebSocket.
    async fn closing(&self, shared: &Shared) -> Closing {
        let drained = async {
            self.scheduled_end.wait().await;
            let _quiet = timeout(self.scheduled_end.quiet_timeout(), shared.quiet()).await;
        };
        tokio::select! {
            () = self.session_ended() => Closing { why: Close::SessionEnded, timeout: CLOSE_TIMEOUT },
            () = drained => Closing { why: Close::ServiceRestart, timeout: self.scheduled_end.close_timeout() },
        }
    }

    async fn session_ended(&self) {
        match &self.connection {
            Some(connection) => connection.ended().cancelled().await,
            None => pending().await,
        }
    }

    /// Copies one direction. When the tunnel is to be closed, a WebSocket gets a close frame at the end of a frame.
    async fn relay(
        &self,
        sender: Sender,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        shared: &Shared,
    ) -> std::io::Result<()> {
        let _done = (sender == Sender::Client).then(|| shared.client_is_done.clone().drop_guard());
        let mut frames = FrameTracker::default();
        let mut closing = pin!(shared.closing.wait());
        let closing = loop {
            let bytes = tokio::select! {
                bytes = read(&mut from) => bytes?,
                closing = &mut closing => break *closing,
            };
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            if self.is_websocket {
                frames.advance(&bytes);
            }
            self.has_read(sender, shared);
            // An app that does not read, such as a terminal that is paused, may do so for as long as it likes.
            let stall_timeout = (sender == Sender::Upstream).then_some(SEND_TIMEOUT);
            let mut writing = pin!(write_within(&mut to, &bytes, stall_timeout));
            tokio::select! {
                written = &mut writing => written?,
                // A peer that does not read must not keep the tunnel open by that.
                closing = &mut closing => {
                    timeout(closing.timeout, writing).await??;
                    break *closing;
                }
            }
        };
        // The client is told first, and what it sent before it was, is still the upstream's: it counts as sent in the client.
        let is_handshake = self.is_websocket && closing.why == Close::ServiceRestart;
        if self.is_websocket {
            let reads_to_close = is_handshake && sender == Sender::Client;
            self.finish(&mut frames, &mut from, &mut to, reads_to_close, closing.timeout).await?;
        }
        if sender == Sender::Client {
            shared.client_is_done.cancel();
        }
        let close = async {
            if self.is_websocket {
                let frame = match sender {
                    Sender::Client => closing.why.to_server(),
                    Sender::Upstream => closing.why.to_client(),
                };
                write(&mut to, &frame).await?;
            }
            if is_handshake && sender == Sender::Upstream {
                // Whatever is between us and the client may hang up to it once we have, with what it sent unread.
                shared.client_is_done.cancelled().await;
            }
            to.shutdown().await?;
            // Read to the end: a socket that is closed with bytes unread is reset, and what was written last is lost.
            while !read(&mut from).await?.is_empty() {}
            Ok(())
        };
        timeout(closing.timeout, close).await.unwrap_or(Ok(()))
    }

    /// Copies one direction to the end of a frame, or, with `reads_to_close`, until its sender closes or its time is up.
    async fn finish(
        &self,
        frames: &mut FrameTracker,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        reads_to_close: bool,
        limit: Duration,
    ) -> std::io::Result<()> {
        let mut time_is_up = pin!(sleep(limit));
        while reads_to_close || !frames.at_boundary() {
            let bytes = tokio::select! {
                bytes = read(from) => bytes?,
                () = self.session_ended(), if frames.at_boundary() => break,
                () = &mut time_is_up => break,
            };
            let passed = if reads_to_close {
                frames.advance_to_close(&bytes)
            } else {
                frames.advance(&bytes);
                bytes.len()
            };
            timeout(limit, write(to, bytes.get(..passed).unwrap_or_default())).await??;
            if bytes.is_empty() || passed < bytes.len() {
                break;
            }
        }
        if frames.at_boundary() { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }

    fn has_read(&self, sender: Sender, shared: &Shared) {
        shared.reads.fetch_add(1, Ordering::Relaxed);
        if let Some(connection) = self.connection.as_ref().filter(|_| sender == Sender::Client) {
            connection.used();
        }
    }
}

impl Shared {
    /// Waits until nothing has come from either side for a while.
    async fn quiet(&self) {
        loop {
            let before = self.reads.load(Ordering::Relaxed);
            sleep(QUIET).await;
            if self.reads.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// Writes all of it. TLS keeps what the socket does not take until it is flushed.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// The same, with an error if nothing of it is taken for so long, if that is limited.
async fn write_within(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], stall_timeout: Option<Duration>) -> std::io::Result<()> {
    let Some(limit) = stall_timeout else { return write(to, bytes).await };
    let mut rest = bytes;
    while !rest.is_empty() {
        let taken = timeout(limit, to.write(rest)).await??;
        if taken == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    timeout(limit, to.flush()).await?
}

/// Reads what has come; nothing at the end of the stream. The buffer lives only while there is something to read, so that ten
/// thousand idle tunnels hold none.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); BUFFER];
        let mut buffer = ReadBuf::uninit(&mut space);
        Pin::new(&mut *from).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().to_vec())
    })
    .await
}

#[cfg(test)]
mod tests;
