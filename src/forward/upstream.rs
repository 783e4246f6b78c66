//! The upstream's address, and the pool of connections to it.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
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

use super::body::WithoutTrailers;

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

const CONNECT: Duration = Duration::from_secs(10);
/// Shorter than common servers keep idle connections, so that we seldom use one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests to one upstream over pooled connections. A request is sent again only when it surely was
/// never begun, on a connection that had been used before.
#[derive(Debug)]
pub(super) struct Client {
    scheme: Scheme,
    authority: Authority,
    pool: Pool,
}

#[derive(Debug)]
enum Pool {
    Tcp(legacy::Client<HttpsConnector<HttpConnector>, WithoutTrailers>),
    Unix(legacy::Client<UnixConnector, WithoutTrailers>),
}

impl Client {
    pub(super) fn new(address: &Address, tls: rustls::ClientConfig) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).set_host(false);
        match address {
            Address::Tcp { scheme, authority } => {
                let mut connector = HttpConnector::new();
                connector.set_connect_timeout(Some(CONNECT));
                connector.set_nodelay(true);
                connector.enforce_http(false);
                let connector = hyper_rustls::HttpsConnectorBuilder::new()
                    .with_tls_config(tls)
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(connector);
                Self { scheme: scheme.clone(), authority: authority.clone(), pool: Pool::Tcp(builder.build(connector)) }
            }
            Address::Unix(path) => Self {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("localhost"),
                pool: Pool::Unix(builder.build(UnixConnector(Arc::new(path.clone())))),
            },
        }
    }

    /// The request target for `path` here. The upstream is ours to choose: nothing of it comes from a request.
    pub(super) fn target(&self, path: PathAndQuery) -> Result<Uri, http::Error> {
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path).build()
    }

    pub(super) async fn send(&self, request: Request<WithoutTrailers>) -> Result<Response<Incoming>, legacy::Error> {
        match &self.pool {
            Pool::Tcp(client) => client.request(request).await,
            Pool::Unix(client) => client.request(request).await,
        }
    }
}

/// Connects to one socket whatever it is asked for.
#[derive(Clone, Debug)]
struct UnixConnector(Arc<PathBuf>);

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
        let path = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = tokio::time::timeout(CONNECT, UnixStream::connect(path.as_path())).await??;
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
