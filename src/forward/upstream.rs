//! The upstream's address, and the pool of connections to it.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::UnixStream;
use url::Url;

use super::{
    ForwardError,
    body::WithoutTrailers,
    pool::{Lease, Pool},
};

/// Where an upstream listens (`CODER_UPSTREAM_URL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// The scheme.
        scheme: Scheme,
        /// Host and port.
        authority: Authority,
    },
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

/// What is wrong with an upstream's address, as a sentence's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(&'static str);

impl Address {
    /// Reads `http://host:port`, `https://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(BadAddress("must name the socket by its absolute path"))
            };
        }
        let url = Url::parse(text).map_err(|_| BadAddress("is not a URL"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(BadAddress("must begin with http://, https:// or unix:")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(BadAddress("must be scheme, host and port alone"));
        }
        let authority = url.authority().parse().map_err(|_| BadAddress("has no usable host"))?;
        Ok(Self::Tcp { scheme, authority })
    }
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, on plain text by prior knowledge (RFC 9113 section 3.3). Never by itself, because all requests
    /// of a few connections share what these bear, where each of HTTP/1.1 has its own.
    Http2,
}

/// Shorter than common servers keep idle connections, so that we seldom use one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);
/// So many connections of HTTP/2 are kept, taken in turn: each bears some hundred requests at once.
const HTTP2_CONNECTIONS: usize = 8;
/// A client that reads slowly holds up its own answer alone: what one stream may have on its way is little, and what a
/// connection may, no limit.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Peers that vanished without a word are noticed after this.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How often a connection of HTTP/2 is asked whether it is alive, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);

/// Sends requests to one upstream.
#[derive(Debug)]
pub(super) struct Client {
    scheme: Scheme,
    authority: Authority,
    /// HTTP/2 has no upgrades, so those go over connections of HTTP/1.1 in any case.
    http1: Http1,
    http2: Option<Http2>,
}

type Https = Fixed<HttpsConnector<HttpConnector>>;

#[derive(Debug)]
enum Http1 {
    Tcp(Pool<Https>),
    Unix(Pool<UnixConnector>),
}

#[derive(Debug)]
struct Http2 {
    connections: Vec<Multiplexed>,
    turn: AtomicUsize,
}

#[derive(Debug)]
enum Multiplexed {
    Tcp(legacy::Client<Https, WithoutTrailers>),
    Unix(legacy::Client<UnixConnector, WithoutTrailers>),
}

impl Client {
    pub(super) fn new(address: &Address, protocol: Protocol, connect: Duration, tls: &rustls::ClientConfig) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).set_host(false).http2_only(true);
        builder.timer(TokioTimer::new()).http2_keep_alive_interval(PING).http2_keep_alive_timeout(PING);
        builder.http2_initial_stream_window_size(STREAM_WINDOW).http2_initial_connection_window_size(CONNECTION_WINDOW);
        let http2 = |connection: &dyn Fn() -> Multiplexed| {
            let connections = (0..HTTP2_CONNECTIONS).map(|_| connection()).collect();
            (protocol == Protocol::Http2).then_some(Http2 { connections, turn: AtomicUsize::new(0) })
        };
        match address {
            Address::Tcp { scheme, authority } => {
                let fixed = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query("/").build();
                let target = fixed.unwrap_or_default();
                let connector = |protocol| {
                    let mut tcp = HttpConnector::new();
                    tcp.set_connect_timeout(Some(connect));
                    tcp.set_nodelay(true);
                    tcp.set_keepalive(Some(KEEPALIVE));
                    tcp.enforce_http(false);
                    let https = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
                    let inner = match protocol {
                        Protocol::Http1 => https.enable_http1().wrap_connector(tcp),
                        Protocol::Http2 => https.enable_http2().wrap_connector(tcp),
                    };
                    Fixed { inner, target: target.clone(), within: connect }
                };
                Self {
                    scheme: scheme.clone(),
                    authority: authority.clone(),
                    http1: Http1::Tcp(Pool::new(connector(Protocol::Http1))),
                    http2: http2(&|| Multiplexed::Tcp(builder.build(connector(Protocol::Http2)))),
                }
            }
            Address::Unix(path) => {
                let connector = || UnixConnector { path: Arc::new(path.clone()), within: connect };
                Self {
                    scheme: Scheme::HTTP,
                    authority: Authority::from_static("localhost"),
                    http1: Http1::Unix(Pool::new(connector())),
                    http2: http2(&|| Multiplexed::Unix(builder.build(connector()))),
                }
            }
        }
    }

    /// Host and port here, for upstreams that are told their own name.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The request target for `path` here. HTTP/1.1 has the path alone in it, and the host in a header; HTTP/2 has both
    /// (`:authority`). Where a connection leads is fixed, so that `host` is only what the upstream is told.
    pub(super) fn target(&self, host: &str, path: PathAndQuery, kind: Kind) -> Result<Uri, http::Error> {
        if self.http2.is_none() || kind == Kind::Upgrade {
            return Ok(Uri::from(path));
        }
        let authority = host.parse::<Authority>().unwrap_or_else(|_| self.authority.clone());
        Uri::builder().scheme(self.scheme.clone()).authority(authority).path_and_query(path).build()
    }

    /// Sends a request; with the answer comes the connection, if that is the answer's alone.
    pub(super) async fn send(
        &self,
        request: Request<WithoutTrailers>,
        kind: Kind,
    ) -> Result<(Response<Incoming>, Option<Lease>), ForwardError> {
        match (&self.http2, &self.http1) {
            (Some(http2), _) if kind == Kind::Request => Ok((Box::pin(http2.send(request)).await?, None)),
            (_, Http1::Tcp(pool)) => pool.send(request).await.map(|(response, lease)| (response, Some(lease))),
            (_, Http1::Unix(pool)) => pool.send(request).await.map(|(response, lease)| (response, Some(lease))),
        }
    }
}

impl Http2 {
    async fn send(&self, request: Request<WithoutTrailers>) -> Result<Response<Incoming>, ForwardError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.connections.len().max(1);
        let sent = match self.connections.get(turn).ok_or(ForwardError::NoUpstream)? {
            Multiplexed::Tcp(client) => client.request(request).await,
            Multiplexed::Unix(client) => client.request(request).await,
        };
        sent.map_err(|error| match error.is_connect() {
            true => ForwardError::Unreachable(error.into()),
            false => ForwardError::Broken(error.into()),
        })
    }
}

/// What a request wants of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An answer.
    Request,
    /// The connection.
    Upgrade,
}

/// Connects to one address whatever it is asked for, within a time that covers name, connection and TLS.
#[derive(Clone, Debug)]
struct Fixed<C> {
    inner: C,
    target: Uri,
    within: Duration,
}

impl<C> tower_service::Service<Uri> for Fixed<C>
where
    C: tower_service::Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (connecting, within) = (self.inner.call(self.target.clone()), self.within);
        Box::pin(async move { tokio::time::timeout(within, connecting).await?.map_err(Into::into) })
    }
}

/// Connects to one socket whatever it is asked for.
#[derive(Clone, Debug)]
struct UnixConnector {
    path: Arc<PathBuf>,
    within: Duration,
}

/// A connected socket.
#[derive(Debug)]
struct UnixConnection(TokioIo<UnixStream>);

impl tower_service::Service<Uri> for UnixConnector {
    type Response = UnixConnection;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<UnixConnection, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (path, within) = (Arc::clone(&self.path), self.within);
        Box::pin(async move {
            let stream = tokio::time::timeout(within, UnixStream::connect(path.as_path())).await??;
            Ok(UnixConnection(TokioIo::new(stream)))
        })
    }
}

impl Connection for UnixConnection {
    fn connected(&self) -> Connected {
        Connected::new()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_origin_or_a_socket() {
        for good in
            ["http://127.0.0.1:8080", "https://app.internal", "http://[::1]:80/", "unix:/run/app.sock", "unix:///run/app.sock"]
        {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Address::parse("unix:///run/a"), Ok(Address::Unix("/run/a".into())));
        for bad in ["127.0.0.1:8080", "ftp://a", "http://a/b", "http://u:p@a", "unix:run/a", "http://a?x", ""] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
