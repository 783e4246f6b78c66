//! One request, and all that is read of its request line and headers before anything is decided about it.

mod auto_retry;
mod grpc;
mod kind;
mod malformed;
mod original;
mod request_id;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Uri, Version, header, request};

use crate::{
    address::{AccessUrl, Origin, Scheme, Sites, TrustedProxies, requested_host},
    forward::is_extended_connect,
    language::Language,
    policy::CrossOrigin,
    server::Peer,
    session::cookie::Cookies,
};

pub use auto_retry::{LIMIT as MAX_AUTO_RETRIES, cookie as auto_retry_cookie, delay as auto_retry_delay};
pub use grpc::{Call, CallFailure, status as grpc_status};
pub use kind::{RequestKind, is_not_a_page, is_of_a_program, is_own_form};
pub use malformed::{Malformed, complete_target};
pub use original::{Original, check_has_no_body};
pub use request_id::RequestIds;

/// What a request is read by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_ACCESS_URL`, and the hosts of routes.
    pub sites: Sites,
    /// `CODER_TLS_ENABLE`: whether TLS is terminated here, so that plain text is an accident.
    pub serves_tls: bool,
    /// `CODER_PROXY_TRUSTED_ORIGINS`.
    pub trusted: TrustedProxies,
    /// `CODER_ALLOWED_ORIGINS`.
    pub cross_origin: CrossOrigin,
    /// The names of our cookies, by `CODER_COOKIE_NAME`.
    pub cookies: Cookies,
    /// Where request ids come from.
    pub request_ids: RequestIds,
}

/// One request and its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    id: u64,
    started: Instant,
    /// The method; GET for a WebSocket on HTTP/2, which arrives as an extended CONNECT.
    pub method: Method,
    uri: Uri,
    /// Where it comes from and what it asked for, as a trusted proxy says.
    pub origin: Origin,
    /// The site that it names; the main one where it names none.
    pub site: Arc<AccessUrl>,
    /// Whether it names one of our sites.
    pub names_site: bool,
    /// Whether it came in plain text although TLS is terminated here.
    pub is_in_plain_text: bool,
    /// Whether it names its host once and without contradiction.
    pub names_host: bool,
    /// Whether it comes from a trusted proxy.
    pub is_from_trusted_proxy: bool,
    /// Whether a person navigates to a page.
    pub kind: RequestKind,
    /// Whether the client reads HTML rather than JSON: it asks for it, and a person may be about to see it.
    pub reads_html: bool,
    /// Whether a frame of a page is to show the response.
    pub is_in_frame: bool,
    /// `Accept-Language`, of a client that reads HTML.
    accept_language: Option<HeaderValue>,
    /// Whether it asks for a WebSocket or another protocol on its connection.
    pub asks_for_upgrade: bool,
    /// The page that a form was sent from, as its browser says.
    pub referer: Option<HeaderValue>,
    /// Whether our cookies come with it although it is a part of another site's page, from which `SameSite=Lax` would keep them.
    pub is_foreign_part: bool,
    /// The other site's origin that it comes from, if that is an allowed one.
    pub allowed_origin: Option<HeaderValue>,
    /// How often an error page has just reloaded itself.
    pub auto_retries: u32,
    /// Whether a refusal leaves a body unread, behind which the next request of this connection cannot be found.
    pub leaves_body: bool,
    /// The version that the client speaks.
    pub version: Version,
    /// The gRPC call that it is.
    pub call: Option<Call>,
}

impl Exchange {
    /// Reads a request's head. `has_body`: a body follows.
    #[expect(clippy::disallowed_methods, reason = "how long a request takes is measured, not decided by")]
    pub fn begin(peer: &Peer, settings: &Settings, head: &request::Parts, has_body: bool) -> Self {
        let headers = &head.headers;
        let host = requested_host(&head.uri, headers);
        // Where TLS is terminated here, the connection tells what the client spoke. Where that happens before us, the client spoke
        // what the access URL says. A trusted proxy knows better in either case.
        let speaks_tls = if settings.serves_tls { peer.is_secure } else { settings.sites.main().is_https() };
        let scheme = if speaks_tls { Scheme::Https } else { Scheme::Http };
        let (host_name, sites) = (host.unwrap_or_default(), &settings.sites);
        let origin = settings.trusted.origin(peer.address, scheme, host_name, headers, sites);
        let site = sites.find(&origin.host);
        let reads_html = kind::reads_html(headers);
        let has_frames = settings.cookies.is_embedded();
        let kind = kind::of(&head.method, headers, reads_html, has_frames);
        let sends_form = reads_html && !matches!(head.method, Method::GET | Method::HEAD);
        let is_extended_connect = is_extended_connect(&head.method, &head.extensions);
        Self {
            id: settings.request_ids.next(),
            started: Instant::now(),
            method: if is_extended_connect { Method::GET } else { head.method.clone() },
            uri: head.uri.clone(),
            names_site: site.is_some(),
            site: site.unwrap_or_else(|| Arc::clone(settings.sites.main())),
            is_in_plain_text: settings.serves_tls && origin.scheme == Scheme::Http && settings.sites.main().is_https(),
            origin,
            names_host: host.is_some(),
            is_from_trusted_proxy: settings.trusted.trusts(peer.address),
            kind,
            reads_html,
            is_in_frame: reads_html && kind::is_in_frame(headers),
            accept_language: if reads_html { Language::accepted(headers) } else { None },
            asks_for_upgrade: is_extended_connect || headers.contains_key(header::UPGRADE),
            referer: sends_form.then(|| headers.get(header::REFERER).cloned()).flatten(),
            is_foreign_part: has_frames && kind::is_foreign_part(headers),
            allowed_origin: settings.cross_origin.allowed_origin(headers).cloned(),
            auto_retries: match kind {
                RequestKind::PageNavigation => auto_retry::count(&settings.cookies, headers),
                RequestKind::Api => 0,
            },
            version: head.version,
            call: Call::of(head),
            leaves_body: head.version < Version::HTTP_2 && has_body,
        }
    }

    /// Reads the head of the request that this one asks about, which shares its id.
    #[must_use]
    pub fn begin_original(&self, peer: &Peer, settings: &Settings, original: &request::Parts) -> Self {
        Self { id: self.id, started: self.started, ..Self::begin(peer, settings, original, false) }
    }

    /// The path, without its query, which may hold secrets.
    pub fn path(&self) -> Cow<'_, str> {
        let path = self.uri.path();
        // Control characters beyond ASCII could steer the terminal of whoever reads the log.
        if path.is_ascii() { Cow::Borrowed(path) } else { Cow::Owned(path.escape_default().to_string()) }
    }

    /// The path of the URL, as it was sent.
    pub fn raw_path(&self) -> &str {
        self.uri.path()
    }

    /// The path with its query, as it was sent.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// The language of the pages that the client is shown.
    pub fn language(&self) -> Language {
        Language::preferred(self.accept_language.as_ref())
    }

    /// Whether a person is about to see the response as a page.
    pub fn views_a_page(&self) -> bool {
        self.kind == RequestKind::PageNavigation && self.method == Method::GET
    }

    /// The time since the request arrived.
    pub fn elapsed(&self) -> Duration {
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
    pub fn id_text(&self) -> String {
        String::from_utf8_lossy(&self.id_digits()).into_owned()
    }

    /// The request id, for the upstream.
    pub fn id_header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.id_digits()).unwrap_or(HeaderValue::from_static("0"))
    }
}
