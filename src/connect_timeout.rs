//! A deadline for connecting, so that slow name resolution or a slow handshake is told from a slow response.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector of TCP for a [`ConnectTimeout`] of `within`, or for a call with that deadline. It gives no address of a name more than its
/// share, so that one at which nothing answers does not use up the time of those that would.
pub fn tcp_connector<R>(resolver: R, within: Duration) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    // hyper-util divides this by the number of addresses. A quarter is left for the name before them and for TLS after them.
    tcp.set_connect_timeout(Some(within / 4 * 3));
    tcp.enforce_http(false);
    tcp
}

/// A connector whose time covers name resolution, TCP and TLS together.
#[derive(Clone, Debug)]
pub struct ConnectTimeout<C> {
    inner: C,
    within: Duration,
    fixed_target: Option<Uri>,
}

impl<C> ConnectTimeout<C> {
    /// Connects to whatever address is asked for.
    pub fn new(inner: C, within: Duration) -> Self {
        Self { inner, within, fixed_target: None }
    }

    /// Connects to `target` whatever address is asked for.
    pub fn to(inner: C, target: Uri, within: Duration) -> Self {
        Self { inner, within, fixed_target: Some(target) }
    }
}

impl<C> Service<Uri> for ConnectTimeout<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, asked: Uri) -> Self::Future {
        let (connecting, within) = (self.inner.call(self.fixed_target.clone().unwrap_or(asked)), self.within);
        Box::pin(async move { tokio::time::timeout(within, connecting).await?.map_err(Into::into) })
    }
}
