//! How an upstream is connected to.

use std::{future::poll_fn, path::PathBuf, time::Duration};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::{
    http1::{BoxError, Transport, reaper::now},
    resolver::Resolver,
    target::Protocol,
    upstream_connections::{UpstreamConnectionSlot, UpstreamConnections},
};
use crate::{connect_timeout::ConnectTimeout, send_buffer::limit_unsent};

/// TCP keep-alive: the kernel probes a quiet connection after this time, then at this interval, so many times. Within two minutes
/// an upstream that vanished is known to be gone. That costs it nothing, where pings of HTTP/2 do.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;
/// The kernel sends no probes while bytes wait to be acknowledged, and sends those again for a quarter of an hour. This ends the
/// wait for connections of HTTP/2, which bear the requests of many, and whose other end reads whatever each of them does.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(120);

/// Connects over TCP, and TLS where the scheme says so.
pub(super) type TcpConnector = ConnectTimeout<HttpsConnector<HttpConnector<Resolver>>>;

/// Connects to one upstream.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) way: Way,
    /// The connections to all upstreams, of which it makes more.
    pub(super) open: UpstreamConnections,
    /// How long one may take, with the wait for others to end.
    pub(super) within: Duration,
}

/// How an upstream is reached.
#[derive(Debug)]
pub(super) enum Way {
    Tcp(TcpConnector),
    Unix(UnixConnector),
}

impl Connector {
    /// Makes a connection, which counts as open for as long as the slot is held.
    pub(super) async fn connect(&self) -> Result<(Transport, UpstreamConnectionSlot), BoxError> {
        let deadline = self.deadline();
        let slot = self.slot().await?;
        Ok((self.connect_in_slot(deadline).await?, slot))
    }

    /// By when a connection must be made that is asked for now.
    pub(super) fn deadline(&self) -> Instant {
        now() + self.within
    }

    /// Waits until another connection may be open. A quarter of the time is left to make it.
    pub(super) async fn slot(&self) -> Result<UpstreamConnectionSlot, BoxError> {
        Ok(self.open.acquire(self.within / 4 * 3).await?)
    }

    /// Makes a connection for which there is a slot.
    pub(super) async fn connect_in_slot(&self, deadline: Instant) -> Result<Transport, BoxError> {
        let connected = async {
            match &self.way {
                Way::Tcp(connector) => {
                    let mut connector = connector.clone();
                    poll_fn(|context| connector.poll_ready(context)).await?;
                    Ok(transport(connector.call(Uri::default()).await?))
                }
                Way::Unix(connector) => Ok(Transport::Unix(connector.connect().await?)),
            }
        };
        timeout_at(deadline, connected).await?
    }
}

fn transport(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Transport {
    match stream {
        MaybeHttpsStream::Http(plain) => {
            limit_unsent(plain.inner());
            Transport::Tcp(plain.into_inner())
        }
        MaybeHttpsStream::Https(tls) => {
            limit_unsent(tls.inner().get_ref().0.inner().inner());
            Transport::Tls(Box::new(tls.into_inner()))
        }
    }
}

/// Connects to `authority`, whose name is looked up by `resolver`, and speaks `protocol` there.
pub(super) fn tcp(
    scheme: &Scheme,
    authority: &Authority,
    protocol: Protocol,
    within: Duration,
    tls: &rustls::ClientConfig,
    resolver: Resolver,
) -> TcpConnector {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.set_connect_timeout(Some(within));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE_TIME));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout((protocol == Protocol::Http2).then_some(TCP_USER_TIMEOUT));
    tcp.enforce_http(false);
    let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
    let inner = match protocol {
        Protocol::Http1 => https.enable_http1().wrap_connector(tcp),
        Protocol::Http2 => https.enable_http2().wrap_connector(tcp),
    };
    let target = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build();
    ConnectTimeout::to(inner, target.unwrap_or_default(), within)
}

/// Connects to one socket.
#[derive(Debug)]
pub(super) struct UnixConnector {
    pub(super) path: PathBuf,
    /// How long that may take.
    pub(super) within: Duration,
}

impl UnixConnector {
    async fn connect(&self) -> std::io::Result<UnixStream> {
        tokio::time::timeout(self.within, UnixStream::connect(&self.path)).await?
    }
}
