//! An upstream: its address, and how requests reach it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{
    Extensions, Request, Response, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Body;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use url::Url;

use super::{
    ForwardError, InterimHandler, Outgoing, Target,
    body::{RequestBody, Source, within},
    connect::{self, Connector, Https, UnixConnector},
    http1::{self, Http1Reply},
    pool::Pool,
};

/// Where an upstream listens (`CODER_UPSTREAM_URL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// The scheme.
        scheme: Scheme,
        /// Host and port.
        authority: Authority,
    },
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

/// What is wrong with an upstream's address, as a sentence's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(&'static str);

impl Address {
    /// Reads `http://host:port`, `https://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(BadAddress("must name the socket by its absolute path"))
            };
        }
        let url = Url::parse(text).map_err(|_| BadAddress("is not a URL"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(BadAddress("must begin with http://, https:// or unix:")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(BadAddress("must be scheme, host and port alone"));
        }
        let authority = url.authority().parse().map_err(|_| BadAddress("has no usable host"))?;
        Ok(Self::Tcp { scheme, authority })
    }
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, on plain text by prior knowledge (RFC 9113 section 3.3). Never by itself, because all requests
    /// of a few connections share what these bear, where each of HTTP/1.1 has its own.
    Http2,
}

/// A connection of HTTP/2 rests for so long. One that is just being closed says which requests it still takes (GOAWAY), so that
/// unlike those of HTTP/1.1 it may rest as long as its app lets it.
const IDLE: Duration = Duration::from_secs(30);
/// So many connections of HTTP/2 are kept, taken in turn: each bears some hundred requests at once.
const HTTP2_CONNECTIONS: usize = 8;
/// A client that reads slowly holds up its own answer alone: what one stream may have on its way is little, and what a
/// connection may, no limit.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The idle_limit head of an answer over HTTP/2, where 32 bytes are added to each line (RFC 9113 section 6.5.2): no less than
/// HTTP/1.1 may have.
const MAX_HEAD_BYTES: u32 = http1::MAX_HEAD_BYTES + 32 * http1::MAX_FIELDS;
/// How long an app may take to answer a ping, where those are asked for.
const PONG: Duration = Duration::from_secs(20);

/// Sends requests to one upstream.
#[derive(Debug)]
pub(super) struct UpstreamClient {
    scheme: Scheme,
    authority: Authority,
    /// HTTP/2 has no upgrades, so those go over connections of HTTP/1.1 in any case.
    http1: Pool,
    http2: Option<Http2>,
    slot: Option<Arc<Semaphore>>,
}

/// The head of an answer, its body, and the connection if that speaks another protocol now.
pub(super) type Reply = (Response<Source>, Option<Box<http1::Connection>>);

#[derive(Debug)]
struct Http2 {
    connections: Vec<Shared>,
    turn: AtomicUsize,
}

/// One connection, made anew when it ends.
#[derive(Debug)]
struct Shared {
    client: Multiplexed,
    /// The number of the last that has answered a request; 0 for none.
    answered: AtomicU64,
}

#[derive(Debug)]
enum Multiplexed {
    Tcp(legacy::Client<Https, RequestBody>),
    Unix(legacy::Client<UnixConnector, RequestBody>),
}

impl UpstreamClient {
    pub(super) fn new(address: &Address, target: &Target, tls: &rustls::ClientConfig) -> Self {
        let (protocol, within) = (target.protocol, target.timeouts.connect);
        let slot = target.max_requests.map(|most| Arc::new(Semaphore::new(most)));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).set_host(false).http2_only(true);
        // By default none: gRPC servers end a connection, with all calls on it, for more than one in five minutes.
        builder.timer(TokioTimer::new()).http2_keep_alive_interval(target.timeouts.ping).http2_keep_alive_timeout(PONG);
        builder.http2_max_header_list_size(MAX_HEAD_BYTES);
        builder.http2_initial_stream_window_size(STREAM_WINDOW).http2_initial_connection_window_size(CONNECTION_WINDOW);
        let http2 = |connection: &dyn Fn() -> Multiplexed| {
            let shared = |_| Shared { client: connection(), answered: AtomicU64::new(0) };
            let connections = (0..HTTP2_CONNECTIONS).map(shared).collect();
            (protocol == Protocol::Http2).then_some(Http2 { connections, turn: AtomicUsize::new(0) })
        };
        match address {
            Address::Tcp { scheme, authority } => {
                let connector = |protocol| connect::tcp(scheme, authority, protocol, within, tls);
                Self {
                    scheme: scheme.clone(),
                    authority: authority.clone(),
                    http1: Pool::new(Connector::Tcp(connector(Protocol::Http1))),
                    http2: http2(&|| Multiplexed::Tcp(builder.build(connector(Protocol::Http2)))),
                    slot,
                }
            }
            Address::Unix(path) => {
                let connector = || connect::unix(path.clone(), within);
                Self {
                    scheme: Scheme::HTTP,
                    authority: Authority::from_static("localhost"),
                    http1: Pool::new(Connector::Unix(connector())),
                    http2: http2(&|| Multiplexed::Unix(builder.build(connector()))),
                    slot,
                }
            }
        }
    }

    /// Host and port here, for upstreams that are told their own name.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The request target for `path` here. HTTP/1.1 has the path alone in it, and the host in a header; HTTP/2 has both
    /// (`:authority`). Where a connection leads is fixed, so that `host` is only what the upstream is told.
    pub(super) fn target(&self, host: &str, path: PathAndQuery, mode: SendMode) -> Result<Uri, http::Error> {
        if self.http2.is_none() || mode == SendMode::Upgrade {
            return Ok(Uri::from(path));
        }
        let authority = host.parse::<Authority>().unwrap_or_else(|_| self.authority.clone());
        Uri::builder().scheme(self.scheme.clone()).authority(authority).path_and_query(path).build()
    }

    /// Takes a place among the requests that this upstream may have, if there is a limit to them.
    pub(super) fn try_acquire_slot(&self) -> Result<Option<UpstreamSlot>, TryAcquireError> {
        self.slot.as_ref().map(|slot| Arc::clone(slot).try_acquire_owned().map(|slot| UpstreamSlot(Arc::new(slot)))).transpose()
    }

    /// Sends a request, the head of whose answer must come within `timeout` from when it was whole.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        mode: SendMode,
        timeout: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Reply, Undelivered> {
        if let Some(http2) = &self.http2
            && mode == SendMode::Request
        {
            return Box::pin(http2.send(outgoing, timeout)).await;
        }
        Ok(match self.http1.send(outgoing, timeout, interim).await? {
            Http1Reply::Response(response) => (response.map(Source::Http1), None),
            Http1Reply::Switched(response, connection) => (response.map(|()| Source::Nothing), Some(connection)),
        })
    }
}

/// A place among the requests that an upstream may have at once, held by whatever is under way of one.
#[derive(Clone, Debug)]
pub(super) struct UpstreamSlot(#[expect(dead_code, reason = "it is held")] Arc<OwnedSemaphorePermit>);

/// A request that came to nothing, and the request itself, if nothing of it was sent.
#[derive(Debug)]
pub(super) struct Undelivered {
    pub(super) error: ForwardError,
    pub(super) outgoing: Option<Box<Outgoing>>,
}

impl From<ForwardError> for Undelivered {
    fn from(error: ForwardError) -> Self {
        Self { error, outgoing: None }
    }
}

impl Http2 {
    async fn send(&self, outgoing: Box<Outgoing>, timeout: Option<Duration>) -> Result<Reply, Undelivered> {
        let turn = self.next_turn();
        match self.send_once(turn, outgoing, timeout).await {
            Err(Undelivered { error: ForwardError::Broken(_) | ForwardError::Reset(_), outgoing: Some(again) }) => {
                // One that has ended is made anew. One that is just being left, or that takes no more, is not asked again.
                let turn = if again.is_repeated { turn } else { self.next_turn() };
                self.send_once(turn, again, timeout).await
            }
            sent => sent,
        }
    }

    fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.connections.len().max(1)
    }

    /// Sends on the connection whose turn it is. The request comes back if nothing was done about it, or if it may be sent once
    /// more whatever was done.
    async fn send_once(&self, turn: usize, outgoing: Box<Outgoing>, timeout: Option<Duration>) -> Result<Reply, Undelivered> {
        let connection = self.connections.get(turn).ok_or(ForwardError::NoUpstream)?;
        // The connection is made, and fails, with the request in it; without a body it can be written again.
        let again = outgoing.copy();
        let Outgoing { mut head, own_headers, mut body, .. } = *outgoing;
        // What is sent after the end of the answer is out of our sight, and nobody's any more.
        body.release_guards();
        head.headers.extend(own_headers);
        // What a client said of its body goes on only if it is true.
        head.headers.remove(header::TRANSFER_ENCODING);
        if body.is_end_stream() || body.size_hint().exact().is_none() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let whole = body.whole();
        let request = Request::from_parts(head, body);
        let sent = async {
            Ok(match &connection.client {
                Multiplexed::Tcp(client) => client.request(request).await,
                Multiplexed::Unix(client) => client.request(request).await,
            })
        };
        let sent = within(timeout, whole, sent).await?;
        if let Some(number) = sent.as_ref().ok().and_then(|response| connect::number(response.extensions())) {
            connection.answered.store(number, Ordering::Relaxed);
        }
        match sent {
            Ok(response) if response.headers().len() > http1::MAX_FIELDS as usize => {
                Err(ForwardError::Broken("its answer has too many lines".into()).into())
            }
            Ok(response) => Ok((response.map(Source::Http2), None)),
            Err(error) if error.is_connect() => {
                Err(Undelivered { error: ForwardError::Unreachable(error.into()), outgoing: again })
            }
            Err(error) => Err(match Http2Failure::of(&error) {
                Http2Failure::Reset => ForwardError::Reset(error.into()).into(),
                Http2Failure::Request => ForwardError::Incomplete(error.into()).into(),
                // Nothing was done about streams guards those that a GOAWAY names (RFC 9113 section 6.8).
                Http2Failure::GoAway => Undelivered { error: ForwardError::Broken(error.into()), outgoing: again },
                // Nor about one that is refused (section 8.7).
                Http2Failure::Refused => Undelivered { error: ForwardError::Reset(error.into()), outgoing: again },
                // Whether anything was done is not known.
                Http2Failure::Ended => {
                    let again = again.filter(|_| connection.has_answered_on(&error)).and_then(Outgoing::again);
                    Undelivered { error: ForwardError::Broken(error.into()), outgoing: again }
                }
                Http2Failure::Other => ForwardError::Broken(error.into()).into(),
            }),
        }
    }
}

impl Shared {
    /// Whether the connection of a request that failed had answered one before.
    fn has_answered_on(&self, error: &legacy::Error) -> bool {
        let mut about = Extensions::new();
        if let Some(connected) = error.connect_info() {
            connected.get_extras(&mut about);
        }
        connect::number(&about).is_some_and(|number| number == self.answered.load(Ordering::Relaxed))
    }
}

/// How a request to an upstream of HTTP/2 failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Http2Failure {
    /// It reset the stream.
    Reset,
    /// It reset the stream, and says that it did nothing about the request (REFUSED_STREAM).
    Refused,
    /// It said that it takes no more of the connection's streams (GOAWAY).
    GoAway,
    /// The request's body broke off, so that we reset the stream.
    Request,
    /// Its connection ended.
    Ended,
    /// What came over its connection could not be read.
    Other,
}

impl Http2Failure {
    pub(super) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<h2::Error>() {
                Some(error) if error.is_reset() && error.is_remote() => {
                    return if error.reason() == Some(h2::Reason::REFUSED_STREAM) { Self::Refused } else { Self::Reset };
                }
                Some(error) if error.is_go_away() && error.is_remote() => return Self::GoAway,
                Some(error) if error.is_reset() && !error.is_library() => return Self::Request,
                Some(_) => return Self::Other,
                None => {}
            }
            // hyper takes these out of h2's. What is invalid came over TLS and is not what was sent.
            match error.downcast_ref::<io::Error>() {
                Some(error) if error.kind() != io::ErrorKind::InvalidData => return Self::Ended,
                Some(_) => return Self::Other,
                None => cause = error.source(),
            }
        }
        Self::Other
    }
}

/// What a request wants of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendMode {
    /// An answer.
    Request,
    /// The connection.
    Upgrade,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_origin_or_a_socket() {
        for good in
            ["http://127.0.0.1:8080", "https://app.internal", "http://[::1]:80/", "unix:/run/app.sock", "unix:///run/app.sock"]
        {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Address::parse("unix:///run/a"), Ok(Address::Unix("/run/a".into())));
        for bad in ["127.0.0.1:8080", "ftp://a", "http://a/b", "http://u:p@a", "unix:run/a", "http://a?x", ""] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
