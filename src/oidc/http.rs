//! Our HTTP client for the provider: no redirects (a token must not follow one), a deadline for the whole
//! call, a cap on the answer, and a connection of its own for each call, because a request that fails on a
//! reused connection may or may not have arrived.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

const BODY_CAP: usize = 1024 * 1024;
/// For finding the address, connecting and TLS together. What does not get further than that was not sent.
const CONNECT: Duration = Duration::from_secs(8);

/// A client for one provider.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(Client<Promptly<HttpsConnector<HttpConnector>>, Full<Bytes>>);

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer. What matters of it is whether the request may have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request was surely not sent: no address, no connection, no TLS.
    #[error("could not connect to the provider")]
    NotSent(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It was not sent, because whoever answered could not prove to be the provider.
    #[error("the provider's certificate is not trusted")]
    Untrusted(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It may have been.
    #[error("the connection to the provider broke")]
    Broken(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It may have been.
    #[error("the provider did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It arrived, and the answer is no use.
    #[error("the provider's answer is larger than {BODY_CAP} bytes or broke off")]
    Unreadable(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl HttpClient {
    pub(super) fn new(tls: rustls::ClientConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(Promptly(connector)))
    }

    pub(super) async fn fetch(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, FetchError> {
        let call = async {
            let response = self.0.request(request).await.map_err(|error| match error.is_connect() {
                true if is_untrusted(&error) => FetchError::Untrusted(Arc::new(error)),
                true => FetchError::NotSent(Arc::new(error)),
                false => FetchError::Broken(Arc::new(error)),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_CAP).collect().await.map_err(|error| FetchError::Unreadable(Arc::from(error)))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(deadline, call).await.unwrap_or(Err(FetchError::TimedOut(deadline)))
    }
}

/// Whether a certificate is at the root of it.
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An I/O error names as its source not what it wraps, but the source of that.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as _).or_else(|| error.source());
    }
    false
}

/// A connector that gives up in time, so that a slow name service or handshake is told from a slow answer.
#[derive(Clone, Debug)]
struct Promptly<C>(C);

impl<C> tower_service::Service<Uri> for Promptly<C>
where
    C: tower_service::Service<Uri> + Send,
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = C::Response;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move { tokio::time::timeout(CONNECT, connecting).await?.map_err(Into::into) })
    }
}

/// The transport that the `openidconnect` crate is given, for the calls that it makes.
impl<'c> openidconnect::AsyncHttpClient<'c> for HttpClient {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<openidconnect::HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: openidconnect::HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.fetch(request.map(Full::from), super::SHORT_CALL).await?;
            let mut response = http::Response::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
