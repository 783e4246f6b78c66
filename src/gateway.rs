//! The way of a request. [`Gateway::answer`] is every request's, and reads from top to bottom; each of its
//! lines is a phase with a room of its own.

mod access_line;
mod admission;
mod endings;
mod exchange;
mod grpc;
mod own_pages;
mod place;
mod refusal;
mod request_ids;
mod sending;
mod tries;
mod visitor;

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::{Body as _, Incoming};

use crate::{
    address::{Scheme, Sites, TrustedProxies},
    clock::Clock,
    forward::{self, Beyond, ForwardError, Forwarder, Interim, MARK, Outbound},
    policy::{CrossOrigin, Permit, Policy, Rule},
    renewal::Renewer,
    routing::{Route, Routes},
    server::{Peer, Reset},
    session::{
        self,
        connections::{Connections, Watch},
        cookie::Cookies,
    },
    sign_in::{Redirect, SignIn},
    sign_out::SignOut,
    store::Store,
    telemetry::metrics::Metrics,
};

use admission::{Inquiry, NotAdmitted};
use exchange::Exchange;
use place::Place;
use refusal::{Refusal, Ways};
use visitor::Visitors;

pub use access_line::Body;
pub use own_pages::Health;
pub use request_ids::RequestIds;

/// What the gateway itself is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_ACCESS_URL`, and the hosts of routes.
    pub sites: Sites,
    /// Where requests lead.
    pub routes: Routes,
    /// `CODER_REDIRECT_TO_ACCESS_URL`: whether a request that names none of our addresses is sent to the access URL.
    pub redirect_strays: bool,
    /// `CODER_TLS_ENABLE`: whether we end TLS ourselves, so that plain text is an accident.
    pub serves_tls: bool,
    /// `CODER_STRICT_TRANSPORT_SECURITY`: the value of that header, where it is to be set.
    pub strict_transport_security: Option<HeaderValue>,
    /// `CODER_PATH_PREFIX`: where our own pages are, without a slash at its end.
    pub prefix: String,
    /// Ours, by `CODER_COOKIE_NAME`.
    pub cookies: Cookies,
    /// `CODER_PROXY_TRUSTED_ORIGINS`.
    pub trusted: TrustedProxies,
    /// `CODER_ALLOWED_ORIGINS`.
    pub cross_origin: CrossOrigin,
    /// Names requests.
    pub request_ids: RequestIds,
    /// Routes ask for groups, and no claim is known that holds them.
    pub lacks_group_claim: bool,
}

/// Everything that a request meets.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    visitors: Visitors,
    renewer: Renewer,
    policy: Policy,
    /// The rule of our own pages about the visitor: signed in, and let pass by everybody's policy.
    everybody: Rule,
    forwarder: Forwarder,
    sign_in: SignIn,
    sign_out: SignOut,
    health: Health,
    connections: Arc<Connections>,
    noted: endings::Noted,
    metrics: Metrics,
}

/// The other end of a connection, and whom its last request came from.
#[derive(Debug)]
pub struct Caller {
    peer: Peer,
    familiar: visitor::Familiar,
}

impl From<Peer> for Caller {
    fn from(peer: Peer) -> Self {
        Self { peer, familiar: visitor::Familiar::default() }
    }
}

/// The rooms that a gateway is made of.
#[derive(Debug)]
pub struct Rooms {
    /// What it is told.
    pub settings: Settings,
    /// Sessions in memory.
    pub cache: Arc<session::cache::SessionCache>,
    /// Their limits.
    pub sessions: session::Settings,
    /// Sessions in the store.
    pub store: Store,
    /// The renewal engine.
    pub renewer: Renewer,
    /// Who may pass.
    pub policy: Policy,
    /// The way to the upstream.
    pub forwarder: Forwarder,
    /// Login.
    pub sign_in: SignIn,
    /// Logout.
    pub sign_out: SignOut,
    /// What readiness tells.
    pub health: Health,
    /// The time.
    pub clock: Clock,
    /// Counts requests.
    pub metrics: Metrics,
}

/// A body of the upstream's, or one of ours.
type Answered = Response<Either<forward::Answer, axum::body::Body>>;

impl Gateway {
    /// A gateway of these rooms.
    pub fn new(rooms: Rooms) -> Self {
        let connections = Arc::new(Connections::new(Arc::clone(&rooms.cache), rooms.sessions.clone(), rooms.clock.clone()));
        let visitors = Visitors {
            cookies: rooms.settings.cookies.clone(),
            settings: rooms.sessions,
            cache: rooms.cache,
            store: rooms.store,
            clock: rooms.clock,
        };
        Self {
            settings: rooms.settings,
            visitors,
            renewer: rooms.renewer,
            policy: rooms.policy,
            everybody: Rule::signed_in(Policy::default()),
            forwarder: rooms.forwarder,
            sign_in: rooms.sign_in,
            sign_out: rooms.sign_out,
            health: rooms.health,
            connections,
            noted: endings::Noted::default(),
            metrics: rooms.metrics,
        }
    }

    /// The way of every request, and its one exit.
    ///
    /// # Errors
    /// The upstream reset the request's stream, as the client is to see.
    pub async fn handle(self: Arc<Self>, caller: Arc<Caller>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let exchange = Exchange::begin(&caller.peer, &self.settings, &request);
        let mut left = Left { gateway: &self, exchange: &exchange, is_answered: false };
        let response = match self.answer(&exchange, &caller, request).await {
            Ok(response) => response,
            Err(Refusal::Upstream(ForwardError::Reset(error))) if exchange.version == Version::HTTP_2 => {
                left.is_answered = true;
                self.note_unanswered(&exchange, UPSTREAM_RESET, "upstream_reset");
                return Err(Reset(error));
            }
            Err(refusal) => self.refuse(&exchange, refusal),
        };
        if caller.peer.interims.are_waiting() {
            poll_fn(|context| caller.peer.interims.poll_sent(context)).await;
        }
        left.is_answered = true;
        drop(left);
        Ok(self.finish(exchange, response))
    }

    /// Answers a request that cannot be read, of which the server says this status.
    pub fn refuse_unread(&self, caller: &Caller, status: u16) -> Response<Bytes> {
        let mut unread = Request::new(Empty::<Bytes>::new());
        // Nothing is known of it.
        *unread.method_mut() = Method::from_bytes(b"-").unwrap_or_default();
        *unread.uri_mut() = Uri::from_static("-");
        let exchange = Exchange::begin(&caller.peer, &self.settings, &unread);
        let refused = self.refuse(&exchange, Refusal::Unreadable(status));
        let (head, body) = self.finish(exchange, refused).into_parts();
        let body = body.collect().now_or_never().and_then(Result::ok).map(|whole| whole.to_bytes());
        Response::from_parts(head, body.unwrap_or_default())
    }

    async fn answer(
        self: &Arc<Self>,
        exchange: &Exchange,
        caller: &Caller,
        request: Request<Incoming>,
    ) -> Result<Answered, Refusal> {
        let place = place::find(&self.settings, exchange, &request)?;
        let route = match place {
            Place::Route(route) => route,
            // Boxed, as every way that few requests take: what is large there must not be carried by all.
            Place::Own => {
                let answer = Box::pin(own_pages::answer(self, exchange, request));
                return answer.await.map(|response| response.map(Either::Right));
            }
        };
        let (permit, watch) = self.permit(exchange, caller, route, &request).await?;
        let (origin, id) = (&exchange.origin, exchange.id_header());
        let beyond = Beyond { watch, place: Arc::clone(&caller.peer.place) };
        let send = |interim| caller.peer.interims.send(&interim);
        let interim: Interim<'_> = if exchange.version == Version::HTTP_11 { Some(&send) } else { None };
        let outbound = Outbound { permit: &permit, target: route.target, origin, id, beyond, interim, request };
        Ok(self.forwarder.forward(outbound).await?.map(Either::Left))
    }

    /// Lets a request pass to its route, and says with what its long part is registered, if it is somebody's.
    async fn permit(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        route: &Route,
        request: &Request<Incoming>,
    ) -> Result<(Permit, Option<Watch>), Refusal> {
        if let Some(asked) = self.settings.cross_origin.preflight(&exchange.method, request.headers())
            && request.body().is_end_stream()
        {
            return Ok((route.rule.permit_preflight(&asked, request.headers())?, None));
        }
        route.rule.takes(&exchange.method, request.headers())?;
        if let Some(permit) = route.rule.permit_anybody() {
            return Ok((permit, None));
        }
        match self.admit(Inquiry::for_route(exchange, route, request, &caller.familiar)).await {
            Ok(admitted) => Ok((admitted.permit, Some(self.connections.watch(admitted.signed_in.session)))),
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(Box::pin(self.ask_to_sign_in(exchange, reason, grant, request.headers())).await)
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refusal),
        }
    }

    fn refuse(&self, exchange: &Exchange, refusal: Refusal) -> Answered {
        let ways = Ways::of_the_app(exchange, &self.settings);
        // Nobody says what else such a client sends.
        let closes = exchange.leaves_body || (exchange.version < Version::HTTP_2 && matches!(refusal, Refusal::HeadTooLarge));
        let may_be_late = refusal.may_come_of_lateness();
        let mut response = refusal.into_response(&ways);
        if may_be_late && exchange.call.is_some_and(|call| call.is_past(exchange.elapsed())) {
            response = grpc::too_late();
        }
        if let Some(origin) = &exchange.friend {
            refusal::let_read(response.headers_mut(), origin);
        }
        if closes {
            // RFC 9112 section 9.6.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if exchange.method == Method::HEAD { without_body(response) } else { response }.map(Either::Right)
    }

    /// Headers that are always set, the metrics, and one access line when the answer has ended.
    fn finish(&self, exchange: Exchange, mut response: Answered) -> Response<Body> {
        // RFC 6797 section 7.2: not where anybody could have written it.
        if let Some(value) = &self.settings.strict_transport_security
            && exchange.origin.scheme == Scheme::Https
        {
            response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        let took = exchange.elapsed();
        self.metrics.request(response.status().as_u16(), took);
        access_line::follow(exchange, took, response)
    }

    /// The access line, and the metrics, of a request that has no answer.
    fn note_unanswered(&self, exchange: &Exchange, status: u16, why: &'static str) {
        self.metrics.request(status, exchange.elapsed());
        access_line::unanswered(exchange, status, why);
    }
}

/// The client went away before its answer: nginx's 499, in the log alone.
const CLIENT_LEFT: u16 = 499;
/// The stream was reset instead of being answered, as the app had done: in the log alone.
const UPSTREAM_RESET: u16 = 502;

/// Notes a request that is given up, because nobody waits for it, wherever it stood.
struct Left<'a> {
    gateway: &'a Gateway,
    exchange: &'a Exchange,
    is_answered: bool,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.gateway.note_unanswered(self.exchange, CLIENT_LEFT, access_line::CLIENT_LEFT);
        }
    }
}

/// A 303 with cookies, marked as ours (RFC 9700 section 4.12: never 307, which would send a body along).
fn redirect(redirect: &Redirect, mark: &'static str) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = http::StatusCode::SEE_OTHER;
    own_headers(response.headers_mut(), mark);
    if let Ok(location) = HeaderValue::from_str(&redirect.location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    for cookie in &redirect.cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

/// What a HEAD is answered with (RFC 9110 section 9.3.2): all but the body, which hyper would send over HTTP/2.
fn without_body(response: Response<axum::body::Body>) -> Response<axum::body::Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    Response::from_parts(head, axum::body::Body::empty())
}

/// What every response that we make ourselves carries.
fn own_headers(headers: &mut http::HeaderMap, mark: &'static str) {
    headers.insert(MARK, HeaderValue::from_static(mark));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
