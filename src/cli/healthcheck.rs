//! `evergate healthcheck`: for images that have no shell and no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use super::runtime::block_on;
use crate::config::{Environment, Problems};

const DEADLINE: Duration = Duration::from_secs(3);

/// Requests `healthz` of the gateway that these settings configure.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let raw = environment.read(&mut Problems::default());
    let (address, prefix) = raw.own_address().context("the settings do not say where the gateway listens")?;
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    block_on(async {
        tokio::time::timeout(DEADLINE, request_health(address, &format!("{prefix}/healthz")))
            .await
            .context("the gateway did not respond in time")?
    })
}

/// Replaces an unspecified address ("all interfaces") by loopback.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

async fn request_health(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let stream = tokio::net::TcpStream::connect(address).await.with_context(|| format!("nothing listens on {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(path).header(http::header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        ended = connection => bail!("the gateway closed the connection: {ended:?}"),
    };
    if response.status().is_success() { Ok(()) } else { bail!("the gateway responded with {}", response.status()) }
}
