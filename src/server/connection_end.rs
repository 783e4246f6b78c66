//! How a connection ends, and what the log tells of it.

use std::{fmt::Display, net::IpAddr};

use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Closes an idle connection.
pub(super) async fn close(mut stream: impl AsyncWrite + Unpin) {
    let _result = stream.shutdown().await;
}

pub(super) fn log_failure(error: &dyn Display, address: IpAddr) {
    tracing::debug!(%error, client.address = %address, "client connection failed");
}

pub(super) fn log_evicted(address: IpAddr) {
    tracing::debug!(client.address = %address, "an idle client connection makes room for another");
}

pub(super) fn log_cut(address: IpAddr) {
    tracing::debug!(client.address = %address, "client connection cut: no request was completed on it in time");
}
