//! An upgraded connection: bytes go both ways until a side ends, its session ends, or a drain ends it.

use std::{future::poll_fn, mem::MaybeUninit, pin::Pin, time::Duration};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{
    drain::{CLOSE_TIMEOUT, ScheduledEnd},
    guards::RequestSlot,
    http1,
    websocket::{Close, FrameTracker},
};
use crate::{connection_slot::InUse, session::live::Connection};

/// How many bytes are read at a time.
const BUFFER: usize = 16 * 1024;

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
        let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
        let (from_upstream, to_upstream) = tokio::io::split(upstream);
        let result = tokio::try_join!(
            self.relay(from_client, to_upstream, Close::to_server, || {
                if let Some(connection) = &self.connection {
                    connection.used();
                }
            }),
            self.relay(from_upstream, to_client, Close::to_client, || {}),
        );
        if let Err(error) = result {
            tracing::debug!(%error, "tunnel failed");
        }
    }

    /// Waits until the tunnel is to be closed: why, and how long its peers may then take to close.
    async fn closing(&self) -> (Close, Duration) {
        let ended = async {
            match &self.connection {
                Some(connection) => connection.ended().cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ended => (Close::SessionEnded, CLOSE_TIMEOUT),
            () = self.scheduled_end.wait() => (Close::ServiceRestart, self.scheduled_end.close_timeout()),
        }
    }

    /// Copies one direction. When the tunnel is to be closed, a WebSocket gets a close frame at the end of a frame.
    async fn relay(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        frame: fn(Close) -> Vec<u8>,
        on_bytes: impl Fn(),
    ) -> std::io::Result<()> {
        let mut frames = FrameTracker::default();
        let mut closed = std::pin::pin!(self.closing());
        let (why, close_timeout) = loop {
            let bytes = tokio::select! {
                bytes = read(&mut from) => bytes?,
                why = &mut closed => break why,
            };
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            if self.is_websocket {
                frames.advance(&bytes);
            }
            on_bytes();
            // TLS keeps what the socket does not take until it is flushed.
            let mut writing = std::pin::pin!(async {
                to.write_all(&bytes).await?;
                to.flush().await
            });
            tokio::select! {
                written = &mut writing => written?,
                // A peer that does not read must not keep the tunnel open by that.
                why = &mut closed => {
                    tokio::time::timeout(why.1, writing).await??;
                    break why;
                }
            }
        };
        let close = async {
            if self.is_websocket {
                while !frames.at_boundary() {
                    let bytes = read(&mut from).await?;
                    if bytes.is_empty() {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                    frames.advance(&bytes);
                    to.write_all(&bytes).await?;
                }
                to.write_all(&frame(why)).await?;
            }
            to.shutdown().await?;
            // Read to the end: a socket that is closed with bytes unread is reset, and what was written last is lost.
            while !read(&mut from).await?.is_empty() {}
            Ok(())
        };
        tokio::time::timeout(close_timeout, close).await.unwrap_or(Ok(()))
    }
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
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt, BufWriter, duplex},
        sync::Semaphore,
    };

    use super::*;
    use crate::{connection_slot::ConnectionSlot, forward::drain::Drain};

    #[tokio::test]
    async fn what_a_side_holds_back_until_it_is_flushed_does_not_wait_for_more() {
        let in_use = ConnectionSlot::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap()).in_use();
        let scheduled_end = Drain::new(Duration::from_secs(30)).schedule_end();
        let tunnel = Tunnel { connection: None, scheduled_end, _in_use: in_use, _slot: None, is_websocket: false };
        let ((from, mut client), (to, mut upstream)) = (duplex(64), duplex(64));
        let relay = tunnel.relay(from, BufWriter::new(to), Close::to_server, || {});
        let asked = async {
            client.write_all(b"word").await.unwrap();
            let mut heard = [0; 4];
            upstream.read_exact(&mut heard).await.unwrap();
            heard
        };
        tokio::select! {
            ended = relay => panic!("nobody ended it: {ended:?}"),
            heard = asked => assert_eq!(&heard, b"word"),
        }
    }
}
