//! The way to the upstream and back: what is forwarded, and how.
//!
//! The entry ticket is a [`Permit`]. Header rules stand by concept in their own files, each applied here in
//! the order in which they protect each other.

mod body;
mod connect;
mod cut;
mod drain;
mod edits;
mod forwarding_headers;
mod hop_by_hop;
mod http1;
mod outgoing;
mod pool;
mod reserved_headers;
mod tunnel;
mod upstream;
mod websocket;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::prelude::*;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, request, uri::PathAndQuery};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

use crate::{
    address::Origin,
    connection_slot::InUse,
    identity,
    policy::Permit,
    secret::random,
    session::{cookie::Cookies, live::Watch},
};

use body::{BodyTimeouts, RequestBody};
use hop_by_hop::Upgrade;
use outgoing::{Outgoing, OwnHeaders};
use upstream::{Reply, SendMode, Undelivered, UpstreamClient, UpstreamSlot};

pub use body::{BodyError, ResponseBody};
pub use drain::Drain;
pub use edits::Edits;
pub use hop_by_hop::{is_extended_connect, is_framing_header};
pub use reserved_headers::is_reserved_header;
pub use upstream::{Address, BadAddress, Protocol};

/// One way to an upstream: where it leads, and what is done to requests and answers on it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The upstream's addresses, taken in turn. One that cannot be reached is passed over.
    pub upstreams: Vec<Address>,
    /// What is spoken with them.
    pub protocol: Protocol,
    /// Taken off the path.
    pub strip_prefix: String,
    /// Protocols besides WebSocket that clients may change to.
    pub upgrades: Vec<String>,
    /// Whether the upstream is told its own name as `Host` rather than the one that the client asked for.
    pub own_host: bool,
    /// Whether it is given the access token (`CODER_PASS_ACCESS_TOKEN`).
    pub pass_access_token: bool,
    /// For requests.
    pub request_edits: Edits,
    /// For answers.
    pub answer_edits: Edits,
    /// How many requests each upstream may have at once (`CODER_UPSTREAM_MAX_REQUESTS`).
    pub max_requests: Option<usize>,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// How long an upstream may take, and who asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected to.
    pub connect: Duration,
    /// For a client that we do not know, between two pieces of its request's body (`CODER_CLIENT_BODY_TIMEOUT`).
    pub body: Option<Duration>,
    /// For the head of its answer, from when it has the whole request (`CODER_UPSTREAM_TIMEOUT`).
    pub head: Option<Duration>,
    /// Between two pieces of its answer.
    pub idle: Option<Duration>,
    /// For all of its answer.
    pub total: Option<Duration>,
    /// Between two pings on a connection of HTTP/2 (`CODER_UPSTREAM_HTTP2_PING`).
    pub ping: Option<Duration>,
}

/// `Evergate-Response`: marks every response that Evergate made itself; its value says which. An upstream's copy is removed.
pub const RESPONSE_MARK: HeaderName = HeaderName::from_static("evergate-response");
/// `Evergate-Answer`: the name of [`RESPONSE_MARK`] in earlier releases, sent beside it for one more release.
pub const OLD_RESPONSE_MARK: HeaderName = HeaderName::from_static("evergate-answer");

/// `X-Request-Id`: the same as in our access line.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection could be made; the request was not sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It reset the request's stream (HTTP/2), as gRPC servers do at a call's deadline.
    #[error("the upstream reset the stream")]
    Reset(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke before the head of an answer.
    #[error("the upstream broke the connection off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the client was to send broke off, or we broke it off.
    #[error("the request's body did not come whole")]
    Incomplete(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No head of an answer came in time.
    #[error("the upstream did not answer in time")]
    TimedOut,
    /// The session ended while its answer was waited for.
    #[error("the session has ended")]
    SessionEnded,
    /// It changed to a protocol that nobody asked for.
    #[error("the upstream changed the protocol unasked")]
    UnexpectedUpgrade,
    /// All of the route's upstreams have as many requests as they may have.
    #[error("the upstream has as many requests as it may have")]
    Busy,
    /// The route leads nowhere.
    #[error("the route has no upstream")]
    NoUpstream,
    /// The request cannot be written as the upstream's.
    #[error("the request's target cannot be forwarded")]
    Target(#[source] http::Error),
}

/// Forwards permitted requests.
#[derive(Debug)]
pub struct Forwarder {
    backends: Vec<Backend>,
    tasks: TaskTracker,
    drain: Drain,
}

#[derive(Debug)]
struct Backend {
    target: Target,
    cookies: Cookies,
    clients: Vec<UpstreamClient>,
    turn: AtomicUsize,
}

/// What goes with the parts of a request that outlive it: a tunnel, or a body.
#[derive(Debug)]
pub struct RequestGuards {
    /// Where a long one is registered, if it is somebody's.
    pub watch: Option<Watch>,
    /// Its connection's place among those that may be open at once, which each of them holds.
    pub in_use: InUse,
}

/// Takes interim answers (RFC 9110 section 15.2) on their way to the client.
pub type InterimHandler<'a> = Option<&'a (dyn Fn(Response<()>) + Send + Sync)>;

/// A request that is about to be sent.
pub struct Outbound<'a> {
    /// Proof that it may be.
    pub permit: &'a Permit,
    /// Which of the targets it goes to.
    pub target: usize,
    /// Where it came from.
    pub origin: &'a Origin,
    /// Its name.
    pub id: HeaderValue,
    /// What goes with what outlives it.
    pub guards: RequestGuards,
    /// What takes interim answers, if its client can be sent any.
    pub interim: InterimHandler<'a>,
    /// As the client sent it.
    pub request: Request<Incoming>,
}

impl Forwarder {
    /// A forwarder to `targets`, each with its TLS, which are shown no cookies of own_headers; its tunnels run on `tasks` and end with the
    /// `drain`.
    pub fn new(targets: Vec<(Target, rustls::ClientConfig)>, cookies: &Cookies, tasks: TaskTracker, drain: Drain) -> Self {
        let backend = |(target, tls): (Target, rustls::ClientConfig)| {
            let client = |address| UpstreamClient::new(address, &target, &tls);
            let clients = target.upstreams.iter().map(client).collect();
            Backend { clients, cookies: cookies.clone(), turn: AtomicUsize::new(0), target }
        };
        Self { backends: targets.into_iter().map(backend).collect(), tasks, drain }
    }

    /// Sends a request on and hands its answer back; both bodies stream. What outlives the request is cut when its session
    /// ends.
    ///
    /// # Errors
    /// [`ForwardError`]; the answer's body may still break off later, which the client sees as such.
    pub async fn forward(&self, outbound: Outbound<'_>) -> Result<Response<ResponseBody>, ForwardError> {
        let Outbound { permit, target, origin, id, guards, interim, mut request } = outbound;
        let backend = self.backends.get(target).ok_or(ForwardError::NoUpstream)?;
        let upgrade = Upgrade::requested(&request, &backend.target.upgrades);
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let path = stripped(&head.uri, &backend.target.strip_prefix).map_err(ForwardError::Target)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();

        // First what the client says about itself goes, even where `Connection` would have kept it from us;
        // then the hop's own headers; and only then is anything of ours added, which nothing can remove.
        reserved_headers::remove_reserved_headers(&mut head.headers);
        hop_by_hop::remove(&mut head.headers);
        backend.cookies.strip_reserved_cookies(&mut head.headers);
        backend.target.request_edits.apply(&mut head.headers);
        let mut own_headers = OwnHeaders::with_capacity(MAX_OWN_HEADERS);
        forwarding_headers::write_forwarding_headers(&mut head.headers, &mut own_headers, origin);
        backend.add_identity_headers(permit, &mut own_headers);
        own_headers.push((REQUEST_ID, id));
        if let Some(upgrade) = &upgrade {
            upgrade.write_to_upstream(&mut head.method, &mut head.headers, websocket_key);
        }
        let key = head.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| upgrade == Some(Upgrade::Stream)).cloned();

        let mode = if upgrade.is_some() { SendMode::Upgrade } else { SendMode::Request };
        let body = RequestBody::of(body, &guards, backend.target.timeouts.body);
        // Boxed, because it is handed on from slot to slot.
        let outgoing = Box::new(Outgoing { head, own_headers, body, is_repeated: false });
        let pass = interim.map(|pass| move |response| backend.pass_interim(response, pass));
        let interim: InterimHandler<'_> = pass.as_ref().map(|pass| pass as _);
        let answered = tokio::select! {
            biased;
            answered = backend.send(outgoing, origin, path, mode, interim) => answered,
            () = cut::session_ended(guards.watch.as_ref()) => Err(ForwardError::SessionEnded),
        };
        let ((mut response, switched), slot) = answered?;

        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(header::UPGRADE).cloned();
        backend.scrub(response.headers_mut());
        if upgrade == Some(Upgrade::Stream) && !upgraded && response.status().is_success() {
            // Any success is an open WebSocket to a client of HTTP/2 (RFC 8441 section 5), and this is none.
            return Err(ForwardError::UnexpectedUpgrade);
        }
        if upgraded {
            let (Some(upgrade), Some(client_side), Some(protocol), Some(upstream_side)) =
                (upgrade, client_side, protocol, switched)
            else {
                return Err(ForwardError::UnexpectedUpgrade);
            };
            if key.is_some_and(|key| !websocket::accepts(&key, response.headers().get(header::SEC_WEBSOCKET_ACCEPT))) {
                return Err(ForwardError::UnexpectedUpgrade);
            }
            upgrade.accept(&mut response, &protocol);
            let tunnel = tunnel::Tunnel {
                connection: guards.watch.as_ref().map(Watch::open),
                _in_use: guards.in_use,
                _slot: slot,
                scheduled_end: self.drain.schedule_end(),
                is_websocket: websocket::is_websocket(&protocol),
            };
            self.tasks.spawn(tunnel.run(client_side, upstream_side));
            return Ok(response.map(|_| ResponseBody::nothing()));
        }
        let limits = BodyTimeouts { idle: backend.target.timeouts.idle, total: backend.target.timeouts.total };
        let is_stream =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM));
        let turn = is_stream.then(|| self.drain.schedule_end());
        Ok(response.map(|body| ResponseBody::new(body, guards, slot, turn, limits)))
    }
}

/// So many lines of ours a request has at most: where it came from in four, who sends it in four, their token, since when they
/// could not be verified again, and its name.
const MAX_OWN_HEADERS: usize = 11;

/// The content type of streams that end when their server does (HTML section 9.2).
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// A fresh `Sec-WebSocket-Key`.
fn websocket_key() -> HeaderValue {
    HeaderValue::try_from(BASE64_STANDARD.encode(random::<16>())).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// The path without its prefix, and the query.
fn stripped(uri: &http::Uri, prefix: &str) -> Result<PathAndQuery, http::Error> {
    if prefix.is_empty() {
        return Ok(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.strip_prefix(prefix).unwrap_or(whole);
    // Never with two slashes, between which some would read a host.
    Ok(PathAndQuery::try_from(format!("/{}", rest.trim_start_matches('/')))?)
}

impl Backend {
    /// Sends to the upstream whose turn it is, and to the next if that has no slot or cannot be reached.
    async fn send(
        &self,
        mut outgoing: Box<Outgoing>,
        origin: &Origin,
        path: PathAndQuery,
        mode: SendMode,
        interim: InterimHandler<'_>,
    ) -> Result<(Reply, Option<UpstreamSlot>), ForwardError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failed = if self.clients.is_empty() { ForwardError::NoUpstream } else { ForwardError::Busy };
        for next in 0..self.clients.len() {
            let Some(client) = self.clients.get((turn + next) % self.clients.len()) else { continue };
            let Ok(slot) = client.try_acquire_slot() else { continue };
            outgoing.body.hold_slot(slot.clone());
            self.address(&mut outgoing.head, client, origin, path.clone(), mode)?;
            match client.send(outgoing, mode, self.target.timeouts.head, interim).await {
                Ok(reply) => return Ok((reply, slot)),
                Err(Undelivered { error, outgoing: Some(unsent) }) => (failed, outgoing) = (error, unsent),
                Err(Undelivered { error, outgoing: None }) => return Err(error),
            }
        }
        Err(failed)
    }

    /// Removes from an answer what is not for the client, or not from the app.
    fn scrub(&self, headers: &mut HeaderMap) {
        hop_by_hop::remove_from_answer(headers);
        self.cookies.strip_reserved_set_cookies(headers);
        self.target.answer_edits.apply(headers);
    }

    /// Passes an interim answer on, but for 100, which is between us and the app: we tell the client ourselves when to go on.
    fn pass_interim(&self, mut response: Response<()>, pass: &(dyn Fn(Response<()>) + Send + Sync)) {
        if response.status() == StatusCode::CONTINUE {
            return;
        }
        self.scrub(response.headers_mut());
        hop_by_hop::remove_framing(response.headers_mut());
        pass(response);
    }

    /// Writes whom the request is for.
    fn address(
        &self,
        head: &mut request::Parts,
        client: &UpstreamClient,
        origin: &Origin,
        path: PathAndQuery,
        mode: SendMode,
    ) -> Result<(), ForwardError> {
        let host = if self.target.own_host { client.authority().as_str() } else { &origin.host };
        head.uri = client.target(host, path, mode).map_err(ForwardError::Target)?;
        if self.target.own_host
            && let Ok(host) = HeaderValue::from_str(host)
        {
            head.headers.insert(header::HOST, host);
        }
        Ok(())
    }

    /// Tells the upstream who passed.
    fn add_identity_headers(&self, permit: &Permit, own_headers: &mut OwnHeaders) {
        let Some(forwarded_identity) = permit.forwarded_identity() else { return };
        own_headers.extend(forwarded_identity.headers.iter().cloned());
        if self.target.pass_access_token
            && let Some(token) = &forwarded_identity.access_token
            && let Ok(mut token) = HeaderValue::from_str(token.expose())
        {
            token.set_sensitive(true);
            own_headers.push((identity::ACCESS_TOKEN, token));
        }
        if let Some(since) = forwarded_identity.stale_since {
            own_headers.push((identity::RENEWED_AT, HeaderValue::from(since.seconds())));
        }
    }
}
