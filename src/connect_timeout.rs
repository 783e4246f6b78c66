//! A deadline for connecting, so that slow name resolution or a slow handshake is told from a slow response.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
