//! The HTTP client for the provider: no redirects (a token must not follow one), a deadline for the whole call, a size limit
//! for the response, and a new connection for each call, because a request that fails on a reused connection may or may not
//! have arrived. Compression is not requested, but a compressed response is decompressed: a refresh token was spent for it.

use std::{io::Read, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{capture_connection, dns::GaiResolver},
    },
    rt::TokioExecutor,
};
use tokio::sync::Notify;
use tracing::{Instrument, field::Empty};

use super::{proxy::ProxySettings, proxy_connector::ProxyConnector};
use crate::{
    clock::Stopwatch,
    connect_timeout::{ConnectTimeout, tcp_connector},
    lock::{Mutex, MutexGuard},
    telemetry::{
        logs::causes,
        traces::{SPANS, fail},
    },
};

const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The deadline for connecting. A request that gets no further was not sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// The deadlines of a call, both from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// That of the whole call.
    pub(super) call: Duration,
    /// That for connecting, if it is an earlier one.
    pub(super) connecting: Duration,
}

impl From<Duration> for Deadlines {
    fn from(call: Duration) -> Self {
        Self { call, connecting: CONNECT_TIMEOUT }
    }
}

/// A client for one provider.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: Client<ConnectTimeout<HttpsConnector<ProxyConnector>>, Full<Bytes>>,
    /// Why its metadata may have changed, if something has shown that since they were last doubted.
    metadata_doubt: Mutex<Option<MetadataDoubt>>,
    /// Something has.
    metadata_doubted: Notify,
    /// The address at which an endpoint was not found.
    missing_endpoint: Mutex<Option<Uri>>,
}

/// Why metadata and keys are read again before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataDoubt {
    /// An endpoint was not found, or nothing listens at its address.
    Endpoint,
    /// What the provider sends or refuses does not agree with them.
    Disagreement,
    /// The keys are old.
    OldKeys,
}

impl MetadataDoubt {
    /// What the log says of it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Endpoint => "an endpoint is not at its address",
            Self::Disagreement => "what the provider sends or refuses does not agree with its metadata",
            Self::OldKeys => "its keys are old",
        }
    }
}

/// A response. That of an error status has an empty body where the body did not come whole, or cannot be read.
#[derive(Debug)]
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no response. Callers decide by whether the request may have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The request was certainly not sent: no address, no connection or no TLS.
    #[error("could not connect to the provider")]
    NotSent(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It was not sent, because the server could not prove that it is the provider.
    #[error("the provider's certificate is not trusted")]
    Untrusted(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It may have been sent.
    #[error("the connection to the provider broke")]
    Broken(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It may have been sent.
    #[error("the provider did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It arrived, and the response is unusable.
    #[error("the provider's answer cannot be read")]
    Unreadable(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl FetchError {
    /// The failure's name.
    fn word(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "not_sent",
            Self::Untrusted(_) => "untrusted",
            Self::Broken(_) => "broken",
            Self::TimedOut(_) => "timeout",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// A deadline came before there was a connection.
#[derive(Debug, thiserror::Error)]
#[error("there was no connection within {:.1} s", .0.as_secs_f32())]
struct NotConnected(Duration);

/// What makes a response unreadable, besides a connection that breaks.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error(
        "it is compressed in a way that was not asked for and is not supported ({0}); whatever stands before the provider must leave its answers as they are"
    )]
    Coding(String),
}

impl HttpClient {
    pub(super) fn new(tls: rustls::ClientConfig, proxy: ProxySettings) -> Self {
        let direct = tcp_connector(GaiResolver::new(), CONNECT_TIMEOUT);
        let to_proxy = with_tls(tls.clone(), direct.clone());
        let connector = with_tls(tls, ProxyConnector::new(proxy, direct, to_proxy));
        let connector = ConnectTimeout::new(connector, CONNECT_TIMEOUT);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let (metadata_doubt, metadata_doubted) = (Mutex::default(), Notify::new());
        Self { client, metadata_doubt, metadata_doubted, missing_endpoint: Mutex::default() }
    }

    /// Calls an endpoint whose address is from the metadata, and notes whether there is one.
    pub(super) async fn call_endpoint(
        &self,
        request: Request<Full<Bytes>>,
        deadlines: impl Into<Deadlines>,
    ) -> Result<HttpResponse, FetchError> {
        let address = request.uri().clone();
        let response = self.send(request, deadlines).await;
        match &response {
            // No redirect is followed, so whatever has moved by one is not there.
            Ok(response) if matches!(response.status.as_u16(), 404 | 405 | 410) || response.status.is_redirection() => {
                *self.missing_endpoint() = Some(address);
                self.doubt_metadata(MetadataDoubt::Endpoint);
            }
            // Only a success of the same endpoint shows that it is not missing.
            Ok(response) if response.status.is_success() => drop(self.missing_endpoint().take_if(|missing| *missing == address)),
            Err(FetchError::NotSent(_)) => self.doubt_metadata(MetadataDoubt::Endpoint),
            Ok(_)
            | Err(FetchError::Untrusted(_) | FetchError::Broken(_) | FetchError::TimedOut(_) | FetchError::Unreadable(_)) => {}
        }
        response
    }

    /// Notes that the metadata may have changed. The first reason is kept until somebody waits for one.
    pub(super) fn doubt_metadata(&self, doubt: MetadataDoubt) {
        self.metadata_doubt.lock().get_or_insert(doubt);
        self.metadata_doubted.notify_one();
    }

    /// Waits until they may have changed, and says why.
    pub(super) async fn metadata_doubted(&self) -> MetadataDoubt {
        loop {
            self.metadata_doubted.notified().await;
            let doubt = self.metadata_doubt.lock().take();
            if let Some(doubt) = doubt {
                return doubt;
            }
        }
    }

    /// Whether an endpoint was not found and has not succeeded since.
    pub(super) fn is_missing_an_endpoint(&self) -> bool {
        self.missing_endpoint().is_some()
    }

    /// Notes that the metadata name new addresses.
    pub(super) fn endpoints_changed(&self) {
        *self.missing_endpoint() = None;
    }

    fn missing_endpoint(&self) -> MutexGuard<'_, Option<Uri>> {
        self.missing_endpoint.lock()
    }

    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        deadlines: impl Into<Deadlines>,
    ) -> Result<HttpResponse, FetchError> {
        // The path alone: a query may hold what is nobody's to see.
        let (uri, method) = (request.uri(), request.method().as_str());
        let span = tracing::trace_span!(
            target: SPANS,
            "provider",
            otel.name = format!("{method} {}", uri.path()),
            otel.kind = "client",
            otel.failed = Empty,
            http.request.method = method,
            url.scheme = uri.scheme_str(),
            url.path = uri.path(),
            server.address = uri.host(),
            server.port = uri.port_u16(),
            http.response.status_code = Empty,
            error.type = Empty,
        );
        let sent = self.send_untraced(request, deadlines.into()).instrument(span.clone()).await;
        match &sent {
            Ok(response) => {
                span.record("http.response.status_code", response.status.as_u16());
                if response.status.as_u16() >= 400 {
                    fail(&span, response.status.as_str());
                }
            }
            Err(error) => fail(&span, error.word()),
        }
        sent
    }

    async fn send_untraced(&self, mut request: Request<Full<Bytes>>, deadlines: Deadlines) -> Result<HttpResponse, FetchError> {
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // Set when there is a connection that the request is about to be written to.
        let connection = capture_connection(&mut request);
        let (started, deadline) = (Stopwatch::start(), deadlines.call);
        let left = move || deadline.saturating_sub(started.elapsed());
        let mut answer = pin!(self.client.request(request));
        // The deadline may be shorter than that for connecting, by the settings or because an earlier try has used it up.
        let connecting = deadlines.connecting.min(deadline);
        let response = match tokio::time::timeout(connecting, answer.as_mut()).await {
            Ok(response) => response,
            Err(_) if connection.connection_metadata().is_none() => {
                return Err(FetchError::NotSent(Arc::new(NotConnected(connecting))));
            }
            Err(_) => tokio::time::timeout(left(), answer).await.map_err(|_| FetchError::TimedOut(deadline))?,
        };
        let response = response.map_err(|error| match error.is_connect() {
            true if is_untrusted(&error) => FetchError::Untrusted(Arc::new(error)),
            true => FetchError::NotSent(Arc::new(error)),
            false => FetchError::Broken(Arc::new(error)),
        })?;
        let (head, body) = response.into_parts();
        let read = tokio::time::timeout(left(), read_body(&head.headers, body)).await;
        let body = match read.unwrap_or(Err(FetchError::TimedOut(deadline))) {
            // What an error means is said by its status at least: a 503 without its page is a 503, and no token was used for it.
            Err(error) if !head.status.is_success() => {
                let status = head.status.as_u16();
                tracing::debug!(http.response.status_code = status, error = causes(&error), "the body of an error is lost");
                Bytes::new()
            }
            body => body?,
        };
        Ok(HttpResponse { status: head.status, headers: head.headers, body })
    }
}

/// Reads a body to its end, [`MAX_BODY_BYTES`] at most, and decompresses it.
async fn read_body(headers: &HeaderMap, body: Incoming) -> Result<Bytes, FetchError> {
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| FetchError::Unreadable(Arc::from(error)))?;
    decompressed(headers, body.to_bytes())
}

/// Speaks TLS with https addresses over the connections of `inner`.
fn with_tls<C>(tls: rustls::ClientConfig, inner: C) -> HttpsConnector<C> {
    hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(inner)
}

/// Whether an untrusted certificate is the root cause.
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

/// The body, decompressed and without a byte order mark. Gzip is recognised by its first bytes, with which no JSON begins, and
/// not by the headers, which a proxy may have dropped.
fn decompressed(headers: &HeaderMap, body: Bytes) -> Result<Bytes, FetchError> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok()).unwrap_or_default();
    let coding = coding.trim().to_ascii_lowercase();
    let looks_like_json = body.trim_ascii_start().first().is_some_and(u8::is_ascii_punctuation);
    let plain = if body.starts_with(&[0x1f, 0x8b]) {
        read_to_limit(MultiGzDecoder::new(&*body))?
    } else if coding == "deflate" && !looks_like_json {
        read_to_limit(ZlibDecoder::new(&*body))?
    } else if matches!(coding.as_str(), "" | "identity" | "gzip" | "x-gzip" | "deflate") || body.is_empty() {
        body
    } else {
        let coding = coding.chars().filter(char::is_ascii_graphic).take(32).collect();
        return Err(FetchError::Unreadable(Arc::new(Unreadable::Coding(coding))));
    };
    Ok(if plain.starts_with(b"\xef\xbb\xbf") { plain.slice(3..) } else { plain })
}

/// Reads decompressed data up to the limit: a small body may decompress to any size.
fn read_to_limit(decoder: impl Read) -> Result<Bytes, FetchError> {
    let mut plain = Vec::new();
    let cap = MAX_BODY_BYTES as u64;
    let size = decoder.take(cap + 1).read_to_end(&mut plain).map_err(|error| FetchError::Unreadable(Arc::new(error)))?;
    if size > MAX_BODY_BYTES {
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
            assert_eq!(&*decompressed(&headers(coding), body.clone()).unwrap(), b"{}", "{coding} {body:?}");
        }
        let foreign = decompressed(&headers("br"), Bytes::from_static(b"\x0b\x01")).unwrap_err();
        assert!(causes(&foreign).contains("(br)"), "{foreign}");
        assert!(matches!(decompressed(&headers("gzip"), gzip(&vec![b' '; MAX_BODY_BYTES + 1])), Err(FetchError::Unreadable(_))));
        assert!(matches!(decompressed(&headers("gzip"), gzip(b"{}").slice(..12)), Err(FetchError::Unreadable(_))));
    }
}
