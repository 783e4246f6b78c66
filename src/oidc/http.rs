//! Our HTTP client for the provider: no redirects (a token must not follow one), a deadline for the whole
//! call, a cap on the answer, and a connection of its own for each call, because a request that fails on a
//! reused connection may or may not have arrived. An answer is asked for as it is, and unpacked if it comes packed all the
//! same: with it a refresh token has been spent.

use std::{
    future::Future,
    io::Read,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::Notify;

const BODY_CAP: usize = 1024 * 1024;
/// For finding the address, connecting and TLS together. What does not get further than that was not sent.
const CONNECT: Duration = Duration::from_secs(8);

/// A client for one provider.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: Client<Promptly<HttpsConnector<HttpConnector>>, Full<Bytes>>,
    /// Something was asked where nobody knows of it, or nobody is there: it may have another address by now.
    gone: Notify,
    /// The address at which there was nothing.
    missing: Mutex<Option<Uri>>,
}

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
    #[error("the provider's answer cannot be read")]
    Unreadable(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// What makes an answer unreadable, besides a connection that breaks.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it is larger than {BODY_CAP} bytes")]
    TooLarge,
    #[error(
        "it is compressed in a way that was not asked for and is not supported ({0}); whatever stands before the provider must leave its answers as they are"
    )]
    Coding(String),
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
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(Promptly(connector));
        Self { client, gone: Notify::new(), missing: Mutex::default() }
    }

    /// Asks one of the endpoints that the provider's metadata name.
    pub(super) async fn ask(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, FetchError> {
        let address = request.uri().clone();
        let answer = self.fetch(request, deadline).await;
        match &answer {
            Ok(answer) if matches!(answer.status.as_u16(), 404 | 405 | 410) => {
                *self.missing() = Some(address);
                self.gone.notify_one();
            }
            // What another endpoint answers says nothing of this one.
            Ok(answer) if answer.status.is_success() => drop(self.missing().take_if(|missing| *missing == address)),
            Err(FetchError::NotSent(_)) => self.gone.notify_one(),
            Ok(_)
            | Err(FetchError::Untrusted(_) | FetchError::Broken(_) | FetchError::TimedOut(_) | FetchError::Unreadable(_)) => {}
        }
        answer
    }

    /// Waits until an endpoint may have another address.
    pub(super) async fn endpoint_is_gone(&self) {
        self.gone.notified().await;
    }

    /// Whether the last answer that says anything of it was that there is no such endpoint.
    pub(super) fn is_missing_an_endpoint(&self) -> bool {
        self.missing().is_some()
    }

    /// The addresses have been read anew.
    pub(super) fn has_new_addresses(&self) {
        *self.missing() = None;
    }

    fn missing(&self) -> MutexGuard<'_, Option<Uri>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn fetch(&self, mut request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, FetchError> {
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let call = async {
            let response = self.client.request(request).await.map_err(|error| match error.is_connect() {
                true if is_untrusted(&error) => FetchError::Untrusted(Arc::new(error)),
                true => FetchError::NotSent(Arc::new(error)),
                false => FetchError::Broken(Arc::new(error)),
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_CAP).collect().await.map_err(|error| FetchError::Unreadable(Arc::from(error)))?;
            let body = unpacked(&head.headers, body.to_bytes())?;
            Ok(Answer { status: head.status, headers: head.headers, body })
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

/// The answer itself: unpacked, and without the mark (BOM) that some editors begin a file with. What it is packed in is told by
/// its first bytes, which no JSON begins with, rather than by its headers, which a proxy may have dropped.
fn unpacked(headers: &HeaderMap, body: Bytes) -> Result<Bytes, FetchError> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok()).unwrap_or_default();
    let coding = coding.trim().to_ascii_lowercase();
    let looks_like_json = body.trim_ascii_start().first().is_some_and(u8::is_ascii_punctuation);
    let plain = if body.starts_with(&[0x1f, 0x8b]) {
        whole(MultiGzDecoder::new(&*body))?
    } else if coding == "deflate" && !looks_like_json {
        whole(ZlibDecoder::new(&*body))?
    } else if matches!(coding.as_str(), "" | "identity" | "gzip" | "x-gzip" | "deflate") || body.is_empty() {
        body
    } else {
        let coding = coding.chars().filter(char::is_ascii_graphic).take(32).collect();
        return Err(FetchError::Unreadable(Arc::new(Unreadable::Coding(coding))));
    };
    Ok(if plain.starts_with(b"\xef\xbb\xbf") { plain.slice(3..) } else { plain })
}

/// What comes out of a packed answer, up to the cap: a small one may unpack to any size.
fn whole(decoder: impl Read) -> Result<Bytes, FetchError> {
    let mut plain = Vec::new();
    let cap = BODY_CAP as u64;
    let size = decoder.take(cap + 1).read_to_end(&mut plain).map_err(|error| FetchError::Unreadable(Arc::new(error)))?;
    if size > BODY_CAP {
        return Err(FetchError::Unreadable(Arc::new(Unreadable::TooLarge)));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };

    use super::*;

    fn headers(coding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !coding.is_empty() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
        }
        headers
    }

    fn gzip(text: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn an_answer_is_read_however_it_is_packed() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"{}").unwrap();
        let zlib = Bytes::from(zlib.finish().unwrap());
        let cases = [
            ("", Bytes::from_static(b"{}")),
            ("identity", Bytes::from_static(b"{}")),
            ("gzip", gzip(b"{}")),
            ("x-gzip", gzip(b"{}")),
            ("", gzip(b"{}")),
            // Unpacked on the way by somebody who left the header.
            ("gzip", Bytes::from_static(b"{}")),
            ("deflate", zlib),
            ("deflate", Bytes::from_static(b"{}")),
            ("", Bytes::from_static(b"\xef\xbb\xbf{}")),
            ("gzip", gzip(b"\xef\xbb\xbf{}")),
        ];
        for (coding, body) in cases {
            assert_eq!(&*unpacked(&headers(coding), body.clone()).unwrap(), b"{}", "{coding} {body:?}");
        }
        let foreign = unpacked(&headers("br"), Bytes::from_static(b"\x0b\x01")).unwrap_err();
        assert!(crate::telemetry::logs::causes(&foreign).contains("(br)"), "{foreign}");
        assert!(matches!(unpacked(&headers("gzip"), gzip(&vec![b' '; BODY_CAP + 1])), Err(FetchError::Unreadable(_))));
        assert!(matches!(unpacked(&headers("gzip"), gzip(b"{}").slice(..12)), Err(FetchError::Unreadable(_))));
    }
}
