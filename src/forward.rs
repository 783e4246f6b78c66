//! The way to the upstream and back: what is forwarded, and how.
//!
//! The entry ticket is a [`Permit`]. Header rules stand by concept in their own files, each applied here in
//! the order in which they protect each other.

mod body;
mod connect;
mod cut;
mod drain;
mod edits;
mod forwarded;
mod hop;
mod http1;
mod outgoing;
mod pool;
mod scrub;
mod tunnel;
mod upstream;
mod websocket;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::prelude::*;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, request, uri::PathAndQuery};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::{
    address::Origin,
    identity,
    policy::Permit,
    secret::random,
    session::{cookie::Cookies, live::Watch},
};

use body::{Limits, WithoutTrailers};
use hop::Upgrade;
use outgoing::{Lines, Outgoing};
use upstream::{Client, Kind, Reply, Room, Undelivered};

pub use body::{Answer, BrokenOff};
pub use drain::Drain;
pub use edits::Edits;
pub use hop::{frames, is_extended_connect};
pub use scrub::is_ours_to_say;
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

/// Marks every response that Evergate made itself; its value says which. An upstream's copy is removed.
pub const MARK: HeaderName = HeaderName::from_static("evergate-answer");

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
    Unasked,
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
    ways: Vec<Way>,
    tasks: TaskTracker,
    drain: Drain,
}

#[derive(Debug)]
struct Way {
    target: Target,
    cookies: Cookies,
    clients: Vec<Client>,
    turn: AtomicUsize,
}

/// What goes with the parts of a request that outlive it: a tunnel, or a body.
#[derive(Debug)]
pub struct Beyond {
    /// Where a long one is registered, if it is somebody's.
    pub watch: Option<Watch>,
    /// Its connection's place among those that may be open at once, which each of them holds.
    pub place: Arc<OwnedSemaphorePermit>,
}

/// Takes interim answers (RFC 9110 section 15.2) on their way to the client.
pub type Interim<'a> = Option<&'a (dyn Fn(Response<()>) + Send + Sync)>;

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
    pub beyond: Beyond,
    /// What takes interim answers, if its client can be sent any.
    pub interim: Interim<'a>,
    /// As the client sent it.
    pub request: Request<Incoming>,
}

impl Forwarder {
    /// A forwarder to `targets`, each with its TLS, which are shown no cookies of ours; its tunnels run on `tasks` and end with the
    /// `drain`.
    pub fn new(targets: Vec<(Target, rustls::ClientConfig)>, cookies: &Cookies, tasks: TaskTracker, drain: Drain) -> Self {
        let way = |(target, tls): (Target, rustls::ClientConfig)| {
            let client = |address| Client::new(address, &target, &tls);
            let clients = target.upstreams.iter().map(client).collect();
            Way { clients, cookies: cookies.clone(), turn: AtomicUsize::new(0), target }
        };
        Self { ways: targets.into_iter().map(way).collect(), tasks, drain }
    }

    /// Sends a request on and hands its answer back; both bodies stream. What outlives the request is cut when its session
    /// ends.
    ///
    /// # Errors
    /// [`ForwardError`]; the answer's body may still break off later, which the client sees as such.
    pub async fn forward(&self, outbound: Outbound<'_>) -> Result<Response<Answer>, ForwardError> {
        let Outbound { permit, target, origin, id, beyond, interim, mut request } = outbound;
        let way = self.ways.get(target).ok_or(ForwardError::NoUpstream)?;
        let upgrade = Upgrade::wanted(&request, &way.target.upgrades);
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let path = stripped(&head.uri, &way.target.strip_prefix).map_err(ForwardError::Target)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();

        // First what the client says about itself goes, even where `Connection` would have kept it from us;
        // then the hop's own headers; and only then is anything of ours added, which nothing can remove.
        scrub::identity(&mut head.headers);
        hop::remove(&mut head.headers);
        way.cookies.strip_ours(&mut head.headers);
        way.target.request_edits.apply(&mut head.headers);
        let mut ours = Lines::with_capacity(MOST_LINES);
        forwarded::tell(&mut head.headers, &mut ours, origin);
        way.introduce(permit, &mut ours);
        ours.push((REQUEST_ID, id));
        if let Some(upgrade) = &upgrade {
            upgrade.ask(&mut head.method, &mut head.headers, websocket_key);
        }
        let key = head.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| upgrade == Some(Upgrade::Stream)).cloned();

        let kind = if upgrade.is_some() { Kind::Upgrade } else { Kind::Request };
        let body = WithoutTrailers::of(body, &beyond, way.target.timeouts.body);
        // Boxed, because it is handed on from room to room.
        let outgoing = Box::new(Outgoing { head, ours, body, is_repeated: false });
        let pass = interim.map(|pass| move |response| way.pass_interim(response, pass));
        let interim: Interim<'_> = pass.as_ref().map(|pass| pass as _);
        let answered = tokio::select! {
            biased;
            answered = way.send(outgoing, origin, path, kind, interim) => answered,
            () = cut::session_ended(beyond.watch.as_ref()) => Err(ForwardError::SessionEnded),
        };
        let ((mut response, switched), room) = answered?;

        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = response.headers().get(header::UPGRADE).cloned();
        way.scrub(response.headers_mut());
        if upgrade == Some(Upgrade::Stream) && !upgraded && response.status().is_success() {
            // Any success is an open WebSocket to a client of HTTP/2 (RFC 8441 section 5), and this is none.
            return Err(ForwardError::Unasked);
        }
        if upgraded {
            let (Some(upgrade), Some(client_side), Some(protocol), Some(upstream_side)) =
                (upgrade, client_side, protocol, switched)
            else {
                return Err(ForwardError::Unasked);
            };
            if key.is_some_and(|key| !websocket::accepts(&key, response.headers().get(header::SEC_WEBSOCKET_ACCEPT))) {
                return Err(ForwardError::Unasked);
            }
            upgrade.grant(&mut response, &protocol);
            let tunnel = tunnel::Tunnel {
                connection: beyond.watch.as_ref().map(Watch::open),
                _place: beyond.place,
                _room: room,
                turn: self.drain.turn(),
                is_websocket: websocket::is_websocket(&protocol),
            };
            self.tasks.spawn(tunnel.run(client_side, upstream_side));
            return Ok(response.map(|_| Answer::nothing()));
        }
        let limits = Limits { idle: way.target.timeouts.idle, total: way.target.timeouts.total };
        let is_stream =
            response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(EVENT_STREAM));
        let turn = is_stream.then(|| self.drain.turn());
        Ok(response.map(|body| Answer::new(body, beyond, room, turn, limits)))
    }
}

/// So many lines of ours a request has at most: where it came from in four, who sends it in four, their token, since when they
/// could not be verified again, and its name.
const MOST_LINES: usize = 11;

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

impl Way {
    /// Sends to the upstream whose turn it is, and to the next if that has no room or cannot be reached.
    async fn send(
        &self,
        mut outgoing: Box<Outgoing>,
        origin: &Origin,
        path: PathAndQuery,
        kind: Kind,
        interim: Interim<'_>,
    ) -> Result<(Reply, Option<Room>), ForwardError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut failed = if self.clients.is_empty() { ForwardError::NoUpstream } else { ForwardError::Busy };
        for next in 0..self.clients.len() {
            let Some(client) = self.clients.get((turn + next) % self.clients.len()) else { continue };
            let Ok(room) = client.enter() else { continue };
            outgoing.body.hold(room.clone());
            self.address(&mut outgoing.head, client, origin, path.clone(), kind)?;
            match client.send(outgoing, kind, self.target.timeouts.head, interim).await {
                Ok(reply) => return Ok((reply, room)),
                Err(Undelivered { error, outgoing: Some(unsent) }) => (failed, outgoing) = (error, unsent),
                Err(Undelivered { error, outgoing: None }) => return Err(error),
            }
        }
        Err(failed)
    }

    /// Removes from an answer what is not for the client, or not from the app.
    fn scrub(&self, headers: &mut HeaderMap) {
        hop::remove_from_answer(headers);
        self.cookies.strip_planted(headers);
        self.target.answer_edits.apply(headers);
    }

    /// Passes an interim answer on, but for 100, which is between us and the app: we tell the client ourselves when to go on.
    fn pass_interim(&self, mut response: Response<()>, pass: &(dyn Fn(Response<()>) + Send + Sync)) {
        if response.status() == StatusCode::CONTINUE {
            return;
        }
        self.scrub(response.headers_mut());
        hop::remove_framing(response.headers_mut());
        pass(response);
    }

    /// Writes whom the request is for.
    fn address(
        &self,
        head: &mut request::Parts,
        client: &Client,
        origin: &Origin,
        path: PathAndQuery,
        kind: Kind,
    ) -> Result<(), ForwardError> {
        let host = if self.target.own_host { client.authority().as_str() } else { &origin.host };
        head.uri = client.target(host, path, kind).map_err(ForwardError::Target)?;
        if self.target.own_host
            && let Ok(host) = HeaderValue::from_str(host)
        {
            head.headers.insert(header::HOST, host);
        }
        Ok(())
    }

    /// Tells the upstream who passed.
    fn introduce(&self, permit: &Permit, ours: &mut Lines) {
        let Some(passport) = permit.passport() else { return };
        ours.extend(passport.headers.iter().cloned());
        if self.target.pass_access_token
            && let Some(token) = &passport.access_token
            && let Ok(mut token) = HeaderValue::from_str(token.expose())
        {
            token.set_sensitive(true);
            ours.push((identity::ACCESS_TOKEN, token));
        }
        if let Some(since) = passport.stale_since {
            ours.push((identity::RENEWED_AT, HeaderValue::from(since.seconds())));
        }
    }
}
