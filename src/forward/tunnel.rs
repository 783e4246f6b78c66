//! An upgraded connection: bytes go both ways until a side ends, or until we drain.

use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::websocket::{CLOSE_TO_CLIENT, CLOSE_TO_SERVER, Frames};

/// How long a draining tunnel may take to reach the end of a frame, and its peers to say good-bye.
const GOODBYE: Duration = Duration::from_secs(2);
const BUFFER: usize = 16 * 1024;

/// Runs the tunnel between the two sides, once both have upgraded.
pub(super) async fn run(client: OnUpgrade, upstream: OnUpgrade, websocket: bool, draining: CancellationToken) {
    let (client, upstream) = match tokio::try_join!(client, upstream) {
        Ok(sides) => sides,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not come about");
            return;
        }
    };
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let close = |frame| websocket.then_some(frame);
    let result = tokio::try_join!(
        relay(from_client, to_upstream, close(CLOSE_TO_SERVER), &draining),
        relay(from_upstream, to_client, close(CLOSE_TO_CLIENT), &draining),
    );
    if let Err(error) = result {
        tracing::debug!(%error, "a tunnel broke off");
    }
}

/// Copies one direction. Draining, it ends with `close` at the end of a frame.
async fn relay(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    close: Option<&[u8]>,
    draining: &CancellationToken,
) -> std::io::Result<()> {
    let mut frames = Frames::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = draining.cancelled() => break,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        if close.is_some() {
            frames.pass(bytes);
        }
        to.write_all(bytes).await?;
    }
    let goodbye = async {
        if let Some(close) = close {
            while !frames.at_boundary() {
                let read = from.read(&mut buffer).await?;
                let bytes = buffer.get(..read).filter(|bytes| !bytes.is_empty()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
                frames.pass(bytes);
                to.write_all(bytes).await?;
            }
            to.write_all(close).await?;
        }
        to.shutdown().await?;
        // Read on to the end: a socket that is closed with bytes unread resets, and takes our last words along.
        while from.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(GOODBYE, goodbye).await.unwrap_or(Ok(()))
}
