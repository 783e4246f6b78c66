//! What is known of one request before anything is decided about it.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use hyper::body::Body;

use super::{Settings, grpc::Call, tries};
use crate::{
    address::{AccessUrl, Origin, Scheme, requested_host},
    forward::is_extended_connect,
    server::Peer,
};

/// One request and its answer.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    id: u64,
    started: Instant,
    pub(super) method: Method,
    uri: Uri,
    pub(super) origin: Origin,
    /// The address of ours that it was sent to; the access URL where it names none of them.
    pub(super) site: Arc<AccessUrl>,
    /// Whether it names one.
    pub(super) names_site: bool,
    /// Whether it came in plain text although we offer TLS.
    pub(super) is_in_plain_text: bool,
    /// Whether the request names its host once and without contradiction.
    pub(super) names_host: bool,
    pub(super) asker: Asker,
    /// Whether the asker reads HTML rather than JSON.
    pub(super) reads_html: bool,
    /// The page that a form was sent from, as its browser says.
    pub(super) referer: Option<HeaderValue>,
    /// The other site's origin that the request comes from, if it is one that may ask.
    pub(super) friend: Option<HeaderValue>,
    /// How often a page of ours has just tried again by itself.
    pub(super) tries: u32,
    /// Whether a refusal leaves a body unread, behind which no other request can be told on this connection.
    pub(super) leaves_body: bool,
    /// What its client speaks.
    pub(super) version: Version,
    /// The call of gRPC that it is.
    pub(super) call: Option<Call>,
}

/// Who asks, which decides whether a redirect to a login reaches a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A browser that navigates its top-level page.
    Navigation,
    /// A script, a frame, an image, a form, a command-line tool.
    Other,
}

impl Exchange {
    #[expect(clippy::disallowed_methods, reason = "how long a request takes is measured, not decided by")]
    pub(super) fn begin<B: Body>(peer: &Peer, settings: &Settings, request: &Request<B>) -> Self {
        let host = requested_host(request.uri(), request.headers());
        // Where we end TLS, the connection tells what the client spoke. Where somebody does so before us, it spoke what the
        // access URL says. A trusted proxy knows better in either case.
        let speaks_tls = if settings.serves_tls { peer.is_secure } else { settings.sites.main().is_https() };
        let scheme = if speaks_tls { Scheme::Https } else { Scheme::Http };
        let (host_name, sites) = (host.unwrap_or_default(), &settings.sites);
        let origin = settings.trusted.origin(peer.address, scheme, host_name, request.headers(), sites);
        let site = sites.find(&origin.host);
        let reads_html = accepts_html(request.headers());
        let asker = asker(request.method(), request.headers(), reads_html);
        let sends_form = reads_html && !matches!(*request.method(), Method::GET | Method::HEAD);
        Self {
            id: settings.request_ids.next(),
            started: Instant::now(),
            // A WebSocket on HTTP/2 is what a GET is on HTTP/1.1.
            method: if is_extended_connect(request) { Method::GET } else { request.method().clone() },
            uri: request.uri().clone(),
            site: Arc::clone(site.unwrap_or(settings.sites.main())),
            names_site: site.is_some(),
            is_in_plain_text: settings.serves_tls && origin.scheme == Scheme::Http && settings.sites.main().is_https(),
            origin,
            names_host: host.is_some(),
            asker,
            reads_html,
            referer: sends_form.then(|| request.headers().get(header::REFERER).cloned()).flatten(),
            friend: settings.cross_origin.friend(request.headers()).cloned(),
            tries: if asker == Asker::Navigation { tries::just_made(&settings.cookies, request.headers()) } else { 0 },
            version: request.version(),
            call: Call::of(request),
            leaves_body: request.version() < Version::HTTP_2 && !request.body().is_end_stream(),
        }
    }

    /// The path, without its query, which may hold secrets.
    pub(super) fn path(&self) -> Cow<'_, str> {
        let path = self.uri.path();
        // Control characters beyond ASCII could steer the terminal of whoever reads the log.
        if path.is_ascii() { Cow::Borrowed(path) } else { Cow::Owned(path.escape_default().to_string()) }
    }

    /// The path with its query, as it was sent.
    pub(super) fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Whether a person is about to see what this request brings.
    pub(super) fn views_a_page(&self) -> bool {
        self.asker == Asker::Navigation && self.method == Method::GET
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn id_digits(&self) -> [u8; 16] {
        let mut digits = [b'0'; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = (self.id >> (60 - 4 * at)) & 15;
            *digit = b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        digits
    }

    /// The request id, for logs and pages.
    pub(super) fn id_text(&self) -> String {
        String::from_utf8_lossy(&self.id_digits()).into_owned()
    }

    /// The request id, for the upstream.
    pub(super) fn id_header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.id_digits()).unwrap_or(HeaderValue::from_static("0"))
    }
}

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Judges by Fetch metadata where the browser sends them, and by older habits where not. Only GET and HEAD
/// begin a login: anything else would lose what it carries.
fn asker(method: &Method, headers: &HeaderMap, reads_html: bool) -> Asker {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads || headers.contains_key(header::UPGRADE) {
        return Asker::Other;
    }
    let navigates = match (text(&SEC_FETCH_MODE), text(&SEC_FETCH_DEST)) {
        (Some(mode), Some(dest)) => mode == "navigate" && dest == "document",
        (Some(mode), None) => mode == "navigate",
        (None, Some(dest)) => dest == "document",
        // The views of apps on Android send their app's name.
        (None, None) => reads_html && text(&REQUESTED_WITH).is_none_or(|with| !with.eq_ignore_ascii_case("XMLHttpRequest")),
    };
    if navigates && !is_fetched_ahead(headers) { Asker::Navigation } else { Asker::Other }
}

/// Whether it is certain that no person is about to see the answer as a page: Fetch metadata say that this is no top-level
/// navigation, or a page is fetched ahead of one.
pub(super) fn is_no_page(headers: &HeaderMap) -> bool {
    let is_other = |name: &HeaderName, own: &[u8]| headers.get(name).is_some_and(|value| value.as_bytes() != own);
    is_other(&SEC_FETCH_MODE, b"navigate") || is_other(&SEC_FETCH_DEST, b"document") || is_fetched_ahead(headers)
}

/// Whether a browser fetches what its user may never ask for. Each of these names has been some browser's.
fn is_fetched_ahead(headers: &HeaderMap) -> bool {
    [SEC_PURPOSE, PURPOSE, X_PURPOSE, X_MOZ].iter().filter_map(|name| headers.get(name)).any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|word| value.starts_with(word))
    })
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| ["text/html", "application/xhtml+xml"].iter().any(|html| kind.trim().eq_ignore_ascii_case(html)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_top_level_navigation_is_sent_to_log_in() {
        let judged = |method: Method, lines: &[(&'static str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
            asker(&method, &headers, accepts_html(&headers))
        };
        let html = ("accept", "text/html,application/xhtml+xml;q=0.9");
        for lines in [
            &[html][..],
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
            &[("sec-fetch-mode", "navigate")],
            &[html, ("x-requested-with", "com.example.mail")],
        ] {
            assert_eq!(judged(Method::GET, lines), Asker::Navigation, "{lines:?}");
            assert_eq!(judged(Method::POST, lines), Asker::Other, "{lines:?}");
        }
        for lines in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json, text/plain, */*")],
            &[html, ("x-requested-with", "XMLHttpRequest")],
            &[html, ("upgrade", "websocket")],
            &[html, ("sec-purpose", "prefetch;prerender")],
            &[html, ("purpose", "prefetch")],
            &[html, ("x-purpose", "preview")],
            &[html, ("x-moz", "prefetch")],
            &[html, ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
            &[html, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[html, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        ] {
            assert_eq!(judged(Method::GET, lines), Asker::Other, "{lines:?}");
        }
    }
}
