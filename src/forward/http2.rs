//! Requests to one upstream over HTTP/2.

use std::{
    future::Future,
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use http::{
    Extensions, Request, header,
    uri::{Authority, Scheme},
};
use hyper::body::Body;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio_util::sync::CancellationToken;

use super::{
    address::Address,
    connect::{self, TcpConnector, UnixConnector},
    error::ForwardError,
    http1,
    http2_failure::Http2Failure,
    outgoing::Outgoing,
    reply::{Reply, Undelivered},
    request_body::RequestBody,
    resolver::AllowedAddresses,
    response_body::{Http2ResponseBody, UpstreamBody},
    target::{Protocol, Timeouts},
};

/// How long a connection stays idle. One that is just being closed says which requests it still takes (GOAWAY), so that unlike
/// one of HTTP/1.1 it may stay as long as its server lets it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// So many connections are kept, taken in turn: each bears some hundred requests at the same time.
const CONNECTIONS: usize = 8;
/// A client that reads slowly holds up its own response alone: what one stream may have on its way is little, and what a
/// connection may, no limit.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// The largest head of a response, where 32 bytes are added to each line (RFC 9113 section 6.5.2): no less than HTTP/1.1 may have.
const MAX_HEADER_LIST: u32 = http1::MAX_HEAD_BYTES + 32 * http1::MAX_FIELDS;
/// How long an upstream may take to answer a ping, where pings are configured.
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends requests to one upstream over HTTP/2.
#[derive(Debug)]
pub(super) struct Http2Client {
    connections: Vec<SharedConnection>,
    next: AtomicUsize,
}

/// One connection, made anew when it ends.
#[derive(Debug)]
struct SharedConnection {
    client: LegacyClient,
    /// The number of the last connection that has answered a request; 0 for none.
    answered: AtomicU64,
}

#[derive(Debug)]
enum LegacyClient {
    Tcp(legacy::Client<TcpConnector, RequestBody>),
    Unix(legacy::Client<UnixConnector, RequestBody>),
}

impl Http2Client {
    pub(super) fn new(address: &Address, timeouts: &Timeouts, tls: &rustls::ClientConfig, allowed: &AllowedAddresses) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).set_host(false).http2_only(true);
        // By default none: gRPC servers end a connection, with all calls on it, for more than one in five minutes.
        builder.timer(TokioTimer::new()).http2_keep_alive_interval(timeouts.ping).http2_keep_alive_timeout(PONG_TIMEOUT);
        builder.http2_max_header_list_size(MAX_HEADER_LIST);
        builder.http2_initial_stream_window_size(STREAM_WINDOW).http2_initial_connection_window_size(CONNECTION_WINDOW);
        let tcp = |scheme: &Scheme, authority: &Authority| {
            let connector = connect::tcp(scheme, authority, Protocol::Http2, timeouts.connect, tls, allowed);
            LegacyClient::Tcp(builder.build(connector))
        };
        let unix = |path: &Path| LegacyClient::Unix(builder.build(connect::unix(path.to_owned(), timeouts.connect)));
        let connection = |_| SharedConnection {
            client: match address {
                Address::Tcp { scheme, authority } => tcp(scheme, authority),
                Address::Unix(path) => unix(path),
            },
            answered: AtomicU64::new(0),
        };
        Self { connections: (0..CONNECTIONS).map(connection).collect(), next: AtomicUsize::new(0) }
    }

    /// Sends a request. The head of its response must come within `head_timeout` from when all of it was sent.
    pub(super) async fn send(&self, outgoing: Box<Outgoing>, head_timeout: Option<Duration>) -> Result<Reply, Undelivered> {
        let at = self.next_connection();
        match self.send_once(at, outgoing, head_timeout).await {
            Err(Undelivered { error: ForwardError::Broken(_) | ForwardError::Reset(_), outgoing: Some(again) }) => {
                // A connection that has ended is made anew. One that is just being left, or takes no more, is not tried again.
                let at = if again.is_repeated { at } else { self.next_connection() };
                self.send_once(at, again, head_timeout).await
            }
            sent => sent,
        }
    }

    fn next_connection(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len().max(1)
    }

    /// Sends on one of the connections. The request comes back if nothing was done about it, or if it may be sent once more
    /// whatever was done.
    async fn send_once(&self, at: usize, outgoing: Box<Outgoing>, head_timeout: Option<Duration>) -> Result<Reply, Undelivered> {
        let connection = self.connections.get(at).ok_or(ForwardError::NoUpstream)?;
        // The connection is made, and fails, with the request in it; without a body it can be written again.
        let copy = outgoing.copy();
        let Outgoing { mut head, own_headers, mut body, .. } = *outgoing;
        // What is sent after the end of the response cannot be seen here, and holds nothing any more.
        body.release_guards();
        head.headers.extend(own_headers);
        // What a client said of its body goes on only if it is true.
        head.headers.remove(header::TRANSFER_ENCODING);
        if body.is_end_stream() || body.size_hint().exact().is_none() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        let (taken, given_up) = (body.taken(), body.give_up_with_response());
        let request = Request::from_parts(head, body);
        let sent = async {
            Ok(match &connection.client {
                LegacyClient::Tcp(client) => client.request(request).await,
                LegacyClient::Unix(client) => client.request(request).await,
            })
        };
        match within(head_timeout, taken, sent).await? {
            Ok(response) => {
                if let Some(number) = connect::connection_number(response.extensions()) {
                    connection.answered.store(number, Ordering::Relaxed);
                }
                if response.headers().len() > http1::MAX_FIELDS as usize {
                    return Err(ForwardError::Broken("the response has too many header lines".into()).into());
                }
                Ok(Reply::Response(response.map(|incoming| UpstreamBody::Http2(Http2ResponseBody { incoming, given_up }))))
            }
            Err(error) => Err(connection.undelivered(error, copy)),
        }
    }
}

impl SharedConnection {
    /// Why a request failed, and its copy if that may be sent once more.
    fn undelivered(&self, error: legacy::Error, copy: Option<Box<Outgoing>>) -> Undelivered {
        if error.is_connect() {
            return Undelivered { error: ForwardError::Unreachable(error.into()), outgoing: copy };
        }
        match Http2Failure::of(&error) {
            Http2Failure::Reset => ForwardError::Reset(error.into()).into(),
            Http2Failure::RequestBody => ForwardError::Incomplete(error.into()).into(),
            // Nothing was done about streams beyond those that a GOAWAY names (RFC 9113 section 6.8).
            Http2Failure::GoAway => Undelivered { error: ForwardError::Broken(error.into()), outgoing: copy },
            // Nor about one that is refused (section 8.7).
            Http2Failure::Refused => Undelivered { error: ForwardError::Reset(error.into()), outgoing: copy },
            // Whether anything was done is not known.
            Http2Failure::Ended => {
                let again = copy.filter(|_| self.has_answered_on(&error)).and_then(Outgoing::repeat);
                Undelivered { error: ForwardError::Broken(error.into()), outgoing: again }
            }
            Http2Failure::Other => ForwardError::Broken(error.into()).into(),
        }
    }

    /// Whether the connection of a request that failed had answered one before.
    fn has_answered_on(&self, error: &legacy::Error) -> bool {
        let mut extensions = Extensions::new();
        if let Some(connected) = error.connect_info() {
            connected.get_extras(&mut extensions);
        }
        connect::connection_number(&extensions).is_some_and(|number| number == self.answered.load(Ordering::Relaxed))
    }
}

/// Waits for the head of a response, for no longer than `timeout` from when all of the request's body was `taken`.
async fn within<T>(
    timeout: Option<Duration>,
    taken: Option<CancellationToken>,
    sent: impl Future<Output = Result<T, ForwardError>>,
) -> Result<T, ForwardError> {
    let Some(timeout) = timeout else { return sent.await };
    let over = async {
        if let Some(taken) = taken {
            taken.cancelled().await;
        }
        tokio::time::sleep(timeout).await;
    };
    tokio::select! {
        response = sent => response,
        () = over => Err(ForwardError::TimedOut),
    }
}
