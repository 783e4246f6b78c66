//! One upstream, and how requests reach it.

use std::time::Duration;

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use tokio::sync::TryAcquireError;

use super::{
    address::Address,
    connect::{self, Connector, UnixConnector, Way},
    error::ForwardError,
    guards::{RequestLimit, RequestSlot},
    http1::{BoxError, InterimHandler},
    http1_client::Http1Client,
    http2::Http2Client,
    outgoing::Outgoing,
    reply::{Reply, Undelivered},
    resolver::Resolver,
    target::{Protocol, Target},
    upstream_connections::UpstreamConnections,
};

/// Sends requests to one upstream.
#[derive(Debug)]
pub(super) struct UpstreamClient {
    scheme: Scheme,
    authority: Authority,
    /// Also of use with HTTP/2, which has no upgrades: those go over connections of HTTP/1.1 in any case.
    http1: Http1Client,
    http2: Option<Http2Client>,
    limit: RequestLimit,
}

/// How upstreams are connected to.
#[derive(Clone, Debug)]
pub(super) struct Connecting {
    /// Whom to trust, and who Evergate is there.
    pub(super) tls: rustls::ClientConfig,
    /// No connection of HTTP/1.1 is used again before it has been idle for so long.
    pub(super) min_idle: Duration,
    /// The connections to all upstreams.
    pub(super) open: UpstreamConnections,
}

/// What a request wants of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendMode {
    /// A response.
    Request,
    /// The connection, to speak another protocol on.
    Upgrade,
}

impl UpstreamClient {
    /// Connects to `address`, whose name is looked up by `resolver`.
    pub(super) fn new(address: &Address, target: &Target, connecting: &Connecting, resolver: &Resolver) -> Self {
        let Connecting { tls, min_idle, open } = connecting;
        let timeout = target.timeouts.connect;
        let connector = |protocol| {
            let way = match address {
                Address::Tcp { scheme, authority } => {
                    Way::Tcp(connect::tcp(scheme, authority, protocol, timeout, tls, resolver.clone()))
                }
                Address::Unix(path) => Way::Unix(UnixConnector { path: path.clone(), within: timeout }),
            };
            Connector { way, open: open.clone(), within: timeout }
        };
        let (scheme, authority) = match address {
            Address::Tcp { scheme, authority } => (scheme.clone(), authority.clone()),
            Address::Unix(_) => (Scheme::HTTP, Authority::from_static("localhost")),
        };
        let speaks_http2 = target.protocol == Protocol::Http2;
        Self {
            scheme,
            authority,
            http1: Http1Client::new(connector(Protocol::Http1), address, *min_idle),
            http2: speaks_http2.then(|| Http2Client::new(connector(Protocol::Http2), &target.timeouts)),
            limit: RequestLimit::new(target.max_requests),
        }
    }

    /// The scheme by which the upstream knows itself.
    pub(super) fn scheme(&self) -> &str {
        self.scheme.as_str()
    }

    /// The upstream's host and port, for those that get their own name.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The request target for `path`. HTTP/1.1 has the path alone in it, and the host in a header; HTTP/2 has both
    /// (`:authority`). Where a connection leads is fixed, so that `host` is only what the upstream is told.
    pub(super) fn request_target(&self, host: &str, path: PathAndQuery, mode: SendMode) -> Result<Uri, http::Error> {
        if self.http2.is_none() || mode == SendMode::Upgrade {
            return Ok(Uri::from(path));
        }
        let authority = host.parse::<Authority>().unwrap_or_else(|_| self.authority.clone());
        Uri::builder().scheme(self.scheme.clone()).authority(authority).path_and_query(path).build()
    }

    /// Takes one of the requests that the upstream may have at the same time, if there is a limit.
    pub(super) fn try_acquire_slot(&self) -> Result<Option<RequestSlot>, TryAcquireError> {
        self.limit.try_acquire()
    }

    /// Whether a request is under way that counts towards a limit, be it a body or a tunnel.
    pub(super) fn has_requests(&self) -> bool {
        self.limit.has_requests()
    }

    /// Sends a request. The head of its response must come within `head_timeout` from when all of it was sent.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        mode: SendMode,
        head_timeout: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Reply, Undelivered> {
        match &self.http2 {
            None => self.http1.send(outgoing, head_timeout, interim).await,
            Some(http2) if mode == SendMode::Request => Box::pin(http2.send(outgoing, head_timeout, interim)).await,
            Some(_) => {
                let sent = Box::pin(self.http1.send(outgoing, head_timeout, interim)).await;
                sent.map_err(|Undelivered { error, outgoing }| Undelivered { error: of_upgrade(error), outgoing })
            }
        }
    }
}

/// Why an upgrade failed towards an upstream of which HTTP/2 is expected.
#[derive(Debug, thiserror::Error)]
#[error("an upgrade goes over HTTP/1.1 also where the protocol is HTTP/2, and the upstream may speak HTTP/2 alone")]
struct UpgradeOverHttp1(#[source] BoxError);

/// Adds to a failure to speak with the upstream in which version that was.
fn of_upgrade(error: ForwardError) -> ForwardError {
    match error {
        ForwardError::Unreachable(cause) => ForwardError::Unreachable(UpgradeOverHttp1(cause).into()),
        ForwardError::Broken(cause) => ForwardError::Broken(UpgradeOverHttp1(cause).into()),
        other @ (ForwardError::Reset(_)
        | ForwardError::Incomplete(_)
        | ForwardError::TimedOut
        | ForwardError::SessionEnded
        | ForwardError::UnexpectedUpgrade
        | ForwardError::Busy
        | ForwardError::NoConnection(_)
        | ForwardError::NoUpstream
        | ForwardError::Target(_)) => other,
    }
}
