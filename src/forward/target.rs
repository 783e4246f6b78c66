//! Where a route leads, and how.

use std::time::Duration;

use http::HeaderName;

use super::{address::Address, address_template::UpstreamTemplate, edits::Edits, injection::Injection};

/// Where a route leads, and what is done to requests and responses on the way.
#[derive(Clone, Debug)]
pub struct Target {
    /// The upstream's addresses, taken in turn. One that cannot be reached is passed over.
    pub upstreams: Vec<Address>,
    /// In their place: where the upstream of each host is, on a route whose host is a pattern.
    pub template: Option<UpstreamTemplate>,
    /// What is spoken with them.
    pub protocol: Protocol,
    /// Taken off the path.
    pub strip_prefix: String,
    /// Protocols besides WebSocket that clients may change to.
    pub upgrades: Vec<String>,
    /// Whether the upstream gets its own name as `Host` rather than the one that the client asked for.
    pub own_host: bool,
    /// Whether the upstream finds its own scheme and host in `Destination` (WebDAV).
    pub rewrites_destination: bool,
    /// The headers that tell some app of a visitor, in lower case: no client's own reaches this one.
    pub identity_headers: Vec<HeaderName>,
    /// The headers, besides `X-Forwarded-For`, in which proxies write the client's address (`CODER_PROXY_TRUSTED_HEADERS`): the upstream
    /// finds there the address that counted, and nothing that a client wrote.
    pub address_headers: Vec<HeaderName>,
    /// Edits of requests' headers.
    pub request_edits: Edits,
    /// Edits of responses' headers.
    pub answer_edits: Edits,
    /// What pages get.
    pub injection: Option<Injection>,
    /// How many requests each address may have at the same time (`CODER_UPSTREAM_MAX_REQUESTS`).
    pub max_requests: Option<usize>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Target {
    /// Whether requests reach any upstream.
    pub fn has_upstream(&self) -> bool {
        self.template.is_some() || !self.upstreams.is_empty()
    }
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, in plain text by prior knowledge (RFC 9113 section 3.3). Never chosen without being configured,
    /// because all requests of a few connections share what these bear, where each of HTTP/1.1 has its own.
    Http2,
}

/// How long an upstream, and who sends it a request, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection is made: name, TCP and TLS.
    pub connect: Duration,
    /// Between two pieces of the body of a request that is not authenticated (`CODER_CLIENT_BODY_TIMEOUT`).
    pub body: Option<Duration>,
    /// Until the head of the response, from when the whole request was sent (`CODER_UPSTREAM_TIMEOUT`).
    pub head: Option<Duration>,
    /// Between two pieces of the response.
    pub idle: Option<Duration>,
    /// For all of the response.
    pub total: Option<Duration>,
    /// Between two pings on a connection of HTTP/2 (`CODER_UPSTREAM_HTTP2_PING`).
    pub ping: Option<Duration>,
}
