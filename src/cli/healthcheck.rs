//! `evergate healthcheck`: for images that have no shell and no curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::runtime::block_on;
use crate::config::{Environment, Problems};

const DEADLINE: Duration = Duration::from_secs(3);

/// Requests `healthz` of the gateway that these settings configure.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let raw = environment.read(&mut Problems::default());
    let (address, prefix) = raw.own_address().context("the settings do not say where the gateway listens")?;
    block_on(async {
        tokio::time::timeout(DEADLINE, request_health(address, &format!("{prefix}/healthz")))
            .await
            .context("the gateway did not respond in time")?
    })
}

/// Where the address is reached from here: "all interfaces" are reached by loopback, and may be those of IPv4 alone.
fn reachable(address: IpAddr) -> Vec<IpAddr> {
    let all: Vec<IpAddr> = match address {
        IpAddr::V4(_) => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(_) => vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
    };
    if address.is_unspecified() { all } else { vec![address] }
}

async fn request_health(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let ways: Vec<_> = reachable(address.ip()).into_iter().map(|ip| SocketAddr::new(ip, address.port())).collect();
    let stream = TcpStream::connect(&*ways).await.with_context(|| format!("nothing listens on {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = http::Request::get(path).header(http::header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        ended = connection => bail!("the gateway closed the connection: {ended:?}"),
    };
    if response.status().is_success() { Ok(()) } else { bail!("the gateway responded with {}", response.status()) }
}
