//! How an upstream is connected to.

use std::{
    future::{Future, poll_fn},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{
    Extensions, Uri,
    uri::{Authority, Scheme},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, HttpInfo},
    rt::TokioIo,
};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::{
    http1::{BoxError, Transport},
    resolver::{AllowedAddresses, Resolver},
    target::Protocol,
};
use crate::connect_timeout::ConnectTimeout;

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

/// Connects to one upstream, for HTTP/1.1.
#[derive(Debug)]
pub(super) enum Connector {
    Tcp(TcpConnector),
    Unix(UnixConnector),
}

impl Connector {
    /// Makes a connection.
    pub(super) async fn connect(&self) -> Result<Transport, BoxError> {
        match self {
            Self::Tcp(connector) => {
                let mut connector = connector.clone();
                poll_fn(|context| connector.poll_ready(context)).await?;
                Ok(transport(connector.call(Uri::default()).await?))
            }
            Self::Unix(connector) => {
                let UnixConnection(stream, _) = connector.clone().call(Uri::default()).await?;
                Ok(Transport::Unix(stream.into_inner()))
            }
        }
    }
}

fn transport(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> Transport {
    match stream {
        MaybeHttpsStream::Http(plain) => Transport::Tcp(plain.into_inner()),
        MaybeHttpsStream::Https(tls) => Transport::Tls(Box::new(tls.into_inner())),
    }
}

/// Connects to `authority`, whose name may lead to `allowed`, and speaks `protocol` there.
pub(super) fn tcp(
    scheme: &Scheme,
    authority: &Authority,
    protocol: Protocol,
    within: Duration,
    tls: &rustls::ClientConfig,
    allowed: &AllowedAddresses,
) -> TcpConnector {
    let mut tcp = HttpConnector::new_with_resolver(Resolver::new(allowed.clone()));
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

/// Connects to the socket at `path`.
pub(super) fn unix(path: PathBuf, within: Duration) -> UnixConnector {
    UnixConnector { path: Arc::new(path), within, made: Arc::default() }
}

/// The number of the connection that a response or an error came over, which no other to its upstream has at the same time: the
/// local port, or what was counted here.
pub(super) fn connection_number(extensions: &Extensions) -> Option<u64> {
    let port = extensions.get::<HttpInfo>().map(|info| u64::from(info.local_addr().port()));
    port.or_else(|| extensions.get::<Number>().map(|Number(number)| *number))
}

/// The number of a connection over a unix socket, whose end here has no name.
#[derive(Clone, Copy, Debug)]
struct Number(u64);

/// Connects to one socket whatever address is asked for.
#[derive(Clone, Debug)]
pub(super) struct UnixConnector {
    path: Arc<PathBuf>,
    within: Duration,
    /// How many connections were made.
    made: Arc<AtomicU64>,
}

/// A connected socket.
#[derive(Debug)]
pub(super) struct UnixConnection(TokioIo<UnixStream>, Number);

impl Service<Uri> for UnixConnector {
    type Response = UnixConnection;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<UnixConnection, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (path, within) = (Arc::clone(&self.path), self.within);
        let number = Number(self.made.fetch_add(1, Ordering::Relaxed) + 1);
        Box::pin(async move {
            let stream = tokio::time::timeout(within, UnixStream::connect(path.as_path())).await??;
            Ok(UnixConnection(TokioIo::new(stream), number))
        })
    }
}

impl Connection for UnixConnection {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.1)
    }
}

impl hyper::rt::Read for UnixConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for UnixConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
