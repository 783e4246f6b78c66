//! Connects to the provider, directly or through a tunnel of a proxy.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use super::proxy::ProxySettings;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector that asks the proxy, where there is one, for a tunnel to the target.
#[derive(Clone, Debug)]
pub(super) struct ProxyConnector {
    settings: ProxySettings,
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
}

/// The proxy is at fault, or refuses.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {address} (HTTPS_PROXY) opens no tunnel")]
struct NoTunnel {
    address: String,
    #[source]
    source: BoxError,
}

impl ProxyConnector {
    /// Connects through the proxy of these settings; `to_proxy` connects to the proxy itself.
    pub(super) fn new(settings: ProxySettings, direct: HttpConnector, to_proxy: HttpsConnector<HttpConnector>) -> Self {
        Self { settings, direct, to_proxy }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.direct.poll_ready(context))?;
        self.to_proxy.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let proxy = Url::parse(&target.to_string()).ok().and_then(|url| self.settings.proxy_for(&url).cloned());
        let Some(proxy) = proxy else {
            let connecting = self.direct.call(target);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let mut tunnel = Tunnel::new(proxy.address.clone(), self.to_proxy.clone());
        if let Some(value) = proxy.authorization.and_then(|value| HeaderValue::from_str(value.expose()).ok()) {
            tunnel = tunnel.with_auth(value);
        }
        let connecting = tunnel.call(target);
        Box::pin(async move {
            connecting.await.map_err(|error| NoTunnel { address: proxy.address.to_string(), source: error.into() }.into())
        })
    }
}
