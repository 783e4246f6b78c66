//! The life of a request. [`Gateway::answer`] is every request's, and reads from top to bottom; each of its lines is a phase with a
//! module of its own.

mod access_line;
mod answered;
mod cors;
mod destination;
mod ext_authz;
mod forward_auth;
mod kept_posts;
mod recorder;
mod settings;
mod trace;
mod webdav;

use std::{future::poll_fn, ops::ControlFlow, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header, request};
use http_body_util::{BodyExt, Either};
use hyper::body::{Body as _, Incoming};

use crate::{
    address::Scheme,
    admission::{Admission, Admitted, Inquiry, NotAdmitted},
    endpoints::{self, Endpoints, Refused},
    exchange::{CallFailure, Exchange},
    forward::{ByteCount, ClientBody, ForwardError, Forwarded, Forwarder, InterimHandler, Outbound, RequestGuards},
    kept_posts::KeptPosts,
    policy::Permit,
    refusal::{
        Links, OwnPages, Refusal,
        response::{allow_cors, grpc_failed, preflight_response},
    },
    routing::Route,
    server::{Peer, StreamReset},
    session::live::Watch,
    telemetry::{AccessLog, metrics::Metrics},
    visitor::ConnectionMemo,
};

use answered::{Answered, for_method};
use cors::Readers;
use destination::Destination;
use recorder::Recorder;
use trace::{RouteTaken, Trace};

pub use access_line::Body;
pub use settings::{Entrance, ForwardAuth, Settings};

/// What a gateway is made of.
#[derive(Debug)]
pub struct Components {
    /// What it is told.
    pub settings: Settings,
    /// Who may pass.
    pub admission: Arc<Admission>,
    /// Our own pages.
    pub endpoints: Endpoints,
    /// The way to the upstreams.
    pub forwarder: Forwarder,
    /// Forms that met the end of their session.
    pub kept_posts: KeptPosts,
    /// Which requests have an access line, and what it tells.
    pub access_log: AccessLog,
    /// Counts requests.
    pub metrics: Metrics,
}

/// Everything that a request meets.
#[derive(Debug)]
pub struct Gateway {
    parts: Components,
    recorder: Recorder,
}

/// The client end of a connection, and whom its last request came from.
#[derive(Debug)]
pub struct Caller {
    peer: Peer,
    entrance: Entrance,
    memo: ConnectionMemo,
}

impl Caller {
    /// The client end of a connection of this listener.
    pub fn at(entrance: Entrance, peer: Peer) -> Self {
        Self { peer, entrance, memo: ConnectionMemo::default() }
    }
}

/// Why a request is not served, and by whom.
#[derive(Debug)]
enum NotServed {
    /// On its way to the app.
    ByGateway(Refusal),
    /// By one of our own pages.
    ByEndpoint(Refused),
}

impl<R: Into<Refusal>> From<R> for NotServed {
    fn from(refusal: R) -> Self {
        Self::ByGateway(refusal.into())
    }
}

/// A request that may pass to its route.
#[derive(Debug)]
enum Judged {
    /// Whoever sends it.
    Anybody(Permit),
    /// As its user's.
    User(Admitted),
}

impl Gateway {
    /// A gateway of these components.
    pub fn new(parts: Components) -> Self {
        let recorder = Recorder::new(&parts.settings, parts.access_log, &parts.metrics);
        Self { parts, recorder }
    }

    /// Handles a request: its only entry and exit.
    ///
    /// # Errors
    /// The upstream reset the request's stream, as the client is to see.
    pub async fn handle(self: Arc<Self>, caller: Arc<Caller>, request: Request<Incoming>) -> Result<Response<Body>, StreamReset> {
        let (head, body) = request.into_parts();
        let exchange = Exchange::begin(&caller.peer, &self.parts.settings.exchange, &head, !body.is_end_stream());
        let mut pending = PendingResponse { gateway: &self, exchange: &exchange, trace: Trace::default(), is_answered: false };
        let mut response = match self.answer(&exchange, &caller, (head, body), &mut pending.trace).await {
            Ok(response) => response,
            Err(NotServed::ByGateway(Refusal::Upstream(ForwardError::Reset(error)))) if exchange.version == Version::HTTP_2 => {
                pending.is_answered = true;
                self.recorder.unanswered(&exchange, &pending.trace, UPSTREAM_RESET, "upstream_reset");
                return Err(StreamReset(error));
            }
            Err(NotServed::ByGateway(refusal)) => {
                pending.trace.reason = refusal.reason();
                self.refuse(&exchange, refusal)
            }
            Err(NotServed::ByEndpoint(refused)) => {
                pending.trace.reason = refused.refusal.reason();
                self.refuse_at_endpoint(&exchange, refused)
            }
        };
        if let Some(readers) = &pending.trace.readers {
            readers.write(&mut response);
        }
        if caller.peer.interims.are_waiting() {
            poll_fn(|context| caller.peer.interims.poll_sent(context)).await;
        }
        pending.is_answered = true;
        let trace = std::mem::take(&mut pending.trace);
        drop(pending);
        Ok(self.finish(exchange, trace, response))
    }

    /// Answers a request that cannot be parsed, for which the server has chosen this status.
    pub fn refuse_unread(&self, caller: &Caller, status: u16) -> Response<Bytes> {
        let (mut unread, ()) = Request::new(()).into_parts();
        // Nothing is known of it.
        unread.method = Method::from_bytes(b"-").unwrap_or_default();
        unread.uri = Uri::from_static("-");
        let exchange = Exchange::begin(&caller.peer, &self.parts.settings.exchange, &unread, false);
        let refused = self.refuse(&exchange, Refusal::Unreadable(status));
        let (head, body) = self.finish(exchange, Trace::default(), refused).into_parts();
        let body = body.collect().now_or_never().and_then(Result::ok).map(|whole| whole.to_bytes());
        Response::from_parts(head, body.unwrap_or_default())
    }

    async fn answer(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        (mut head, body): (request::Parts, Incoming),
        trace: &mut Trace,
    ) -> Result<Answered, NotServed> {
        let route = match destination::find(&self.parts.settings, exchange, &head)? {
            Destination::Endpoint(path)
                if endpoints::is_administration(path) && caller.entrance != self.parts.settings.administered_at =>
            {
                return Err(NotServed::ByEndpoint(Refusal::NoSuchPage.into()));
            }
            Destination::Route(_) | Destination::ForwardAuth(_) | Destination::ResourceMetadata(_)
                if caller.entrance == Entrance::Administration =>
            {
                return Err(Refusal::NoSuchPage.into());
            }
            Destination::Route(route) => route,
            // Boxed, as every path that few requests take: what is large there must not be carried by all.
            Destination::ForwardAuth(form) => {
                let has_no_body = body.is_end_stream();
                return Ok(Box::pin(self.answer_ingress(exchange, caller, (form, &head), has_no_body, trace)).await);
            }
            Destination::ResourceMetadata(route) => {
                trace.route = RouteTaken::Endpoint;
                return Ok(for_method(exchange, self.parts.endpoints.resource_metadata(exchange, route)?));
            }
            Destination::Endpoint(path) => {
                trace.route = RouteTaken::Endpoint;
                let response =
                    Box::pin(self.parts.endpoints.respond(exchange, path, &head, body)).await.map_err(NotServed::ByEndpoint)?;
                return Ok(for_method(exchange, response));
            }
        };
        // Its requests go from an ingress to the app, and a login would lead to nothing here.
        if !self.parts.forwarder.has_upstream(route.target) {
            return Err(Refusal::NoSuchPage.into());
        }
        trace.route = RouteTaken::App(self.parts.settings.routes.position(route));
        trace.readers = Readers::of(route, exchange, &head.headers, body.is_end_stream());
        if let Some(readers) = trace.readers.as_ref().filter(|readers| readers.is_preflight()) {
            // It has no cookies, so that nobody need be signed in, and the app does not see it.
            cors::permit_preflight(exchange, route, readers, &head.headers)?;
            return Ok(for_method(exchange, preflight_response()));
        }
        webdav::check(&self.parts.settings, exchange, route, &head.headers)?;
        let has_no_body = body.is_end_stream();
        // A button of ours sends what is kept instead of its own body, which is short.
        let (mut body, resend) = match self.may_be_resend(route, exchange, &head.headers) {
            true => Box::pin(self.read_resend(body)).await?,
            false => (ClientBody::Incoming(body), None),
        };
        let judged = match self.judge_or_refuse(exchange, &caller.memo, route, &head.headers, has_no_body).await {
            Ok(judged) => judged,
            Err(refusal) if route.keeps_form_posts => {
                return Err(Box::pin(self.keep_or_refuse(exchange, &head, (body, resend.as_ref()), refusal)).await.into());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let mut sent_again = None;
        if let Some(resend) = &resend {
            match Box::pin(self.redeem(exchange, (&mut head, &mut body), (&judged, resend))).await? {
                ControlFlow::Continue(kept) => sent_again = Some(kept),
                ControlFlow::Break(answered) => return Ok(answered),
            }
        }
        let (permit, watch) = self.permit(judged, trace);
        let (origin, id) = (&exchange.origin, exchange.id_header());
        trace.received = (!has_no_body).then(ByteCount::default);
        let guards = RequestGuards { watch, in_use: caller.peer.slot.in_use(), received: trace.received.clone() };
        let send = |interim| caller.peer.interims.send(&interim);
        let interim: InterimHandler<'_> = if exchange.version == Version::HTTP_11 { Some(&send) } else { None };
        let request = Request::from_parts(head, body);
        let (site, is_page) = (exchange.site.authority(), exchange.views_a_page());
        let outbound = Outbound { permit: &permit, target: route.target, site, origin, id, guards, interim, is_page, request };
        let sent_at = exchange.elapsed();
        let forwarded = self.parts.forwarder.forward(outbound).await;
        if let Some(kept) = &sent_again {
            Box::pin(self.put_back(kept, &forwarded)).await;
        }
        let Forwarded { response, upstream } = forwarded.map_err(Refusal::from)?;
        trace.upstream = Some((upstream, exchange.elapsed().saturating_sub(sent_at)));
        Ok(response.map(Either::Left))
    }

    /// Lets a request pass to its route. The watch registers what outlives the request, if it is a user's.
    fn permit(&self, judged: Judged, trace: &mut Trace) -> (Permit, Option<Watch>) {
        match judged {
            Judged::Anybody(permit) => (permit, None),
            Judged::User(admitted) => {
                trace.user = self.recorder.user(&admitted.by);
                (admitted.permit, Some(self.parts.admission.watch(admitted.by)))
            }
        }
    }

    /// Judges a request by its route. Whoever must sign in is told where.
    async fn judge_or_refuse(
        &self,
        exchange: &Exchange,
        memo: &ConnectionMemo,
        route: &Route,
        headers: &HeaderMap,
        has_no_body: bool,
    ) -> Result<Judged, Refusal> {
        match self.judge(exchange, memo, route, headers, has_no_body).await {
            Ok(judged) => Ok(judged),
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(Box::pin(self.parts.admission.refuse_anonymous(exchange, headers, &route.rule, (reason, grant))).await)
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refusal),
        }
    }

    /// Judges a request by its route.
    async fn judge(
        &self,
        exchange: &Exchange,
        memo: &ConnectionMemo,
        route: &Route,
        headers: &HeaderMap,
        has_no_body: bool,
    ) -> Result<Judged, NotAdmitted> {
        let (rule, admission) = (&route.rule, &self.parts.admission);
        // Where the route has a CORS policy, its preflights were judged by that.
        if route.cors.is_none()
            && let Some(asked) = admission.cross_origin.preflight(&exchange.method, headers)
            && has_no_body
        {
            return Ok(Judged::Anybody(rule.permit_preflight(exchange.origin.client, &asked, headers).map_err(Refusal::from)?));
        }
        rule.takes(exchange.origin.client, &exchange.method, headers).map_err(Refusal::from)?;
        Admission::refuse_misplaced_token(rule, headers)?;
        if let Some(permit) = rule.permit_anybody() {
            return Ok(Judged::Anybody(permit));
        }
        match admission.admit(Inquiry::for_route(exchange, headers, route, memo)).await {
            Ok(admitted) => Ok(Judged::User(admitted)),
            // Who brings a token is somebody, and is told why it does not let them in; the app never sees it.
            Err(not_admitted)
                if let Some(permit) = rule.permit_anonymous()
                    && not_admitted.is_of_nobody()
                    && !Admission::brings_token(rule, headers) =>
            {
                Ok(Judged::Anybody(permit))
            }
            Err(not_admitted) => Err(not_admitted),
        }
    }

    /// Refuses a request for the app.
    fn refuse(&self, exchange: &Exchange, refusal: Refusal) -> Answered {
        for_method(exchange, self.refusal_response(exchange, refusal))
    }

    /// The response to a request for the app that is refused, with its body.
    fn refusal_response(&self, exchange: &Exchange, refusal: Refusal) -> Response<axum::body::Body> {
        let route = self.parts.settings.routes.find(exchange.site.authority(), &exchange.path()).ok();
        let links = Links::of_the_app(exchange, self.own_pages(), route);
        // Nobody says what else such a client sends.
        let closes = exchange.leaves_body || (exchange.version < Version::HTTP_2 && matches!(refusal, Refusal::HeadTooLarge));
        let may_be_late = refusal.may_come_of_lateness();
        let mut response = refusal.into_response(&links);
        if may_be_late && exchange.call.is_some_and(|call| call.is_past(exchange.elapsed())) {
            response = grpc_failed(CallFailure::DeadlineExceeded);
        }
        if let Some(origin) = &exchange.allowed_origin {
            allow_cors(response.headers_mut(), origin);
        }
        if closes {
            // RFC 9112 section 9.6.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Refuses a request for one of our own pages. Other sites' scripts cannot read it (no CORS), and hyper takes care of a body that
    /// was not read.
    fn refuse_at_endpoint(&self, exchange: &Exchange, refused: Refused) -> Answered {
        let Refused { refusal, return_to, cookies, allow } = refused;
        let links = Links::to(exchange, self.own_pages(), return_to);
        let mut response = refusal.into_response(&links);
        response.headers_mut().extend(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie)));
        response.headers_mut().extend(allow.map(|methods| (header::ALLOW, methods)));
        for_method(exchange, response)
    }

    fn own_pages(&self) -> OwnPages<'_> {
        let settings = &self.parts.settings;
        OwnPages { prefix: &settings.prefix, cookies: &settings.exchange.cookies, branding: &settings.branding }
    }

    /// Sets headers that every response carries, counts it, and has its access line written when it has ended.
    fn finish(&self, exchange: Exchange, trace: Trace, mut response: Answered) -> Response<Body> {
        self.write_hsts(&exchange, response.headers_mut());
        self.recorder.follow(exchange, trace, response)
    }

    /// RFC 6797 section 7.2: not where anybody could have written it.
    fn write_hsts(&self, exchange: &Exchange, headers: &mut HeaderMap) {
        if let Some(value) = &self.parts.settings.strict_transport_security
            && exchange.origin.scheme == Scheme::Https
        {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
    }
}

/// What was refused a moment ago and would pass now is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The client went away before its response: nginx's 499, in the log alone.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The stream was reset instead of being answered, as the app had done: in the log alone.
const UPSTREAM_RESET: u16 = 502;

/// Logs a request that is cancelled because its client left, wherever it stands.
struct PendingResponse<'a> {
    gateway: &'a Gateway,
    exchange: &'a Exchange,
    trace: Trace,
    is_answered: bool,
}

impl Drop for PendingResponse<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.gateway.recorder.unanswered(self.exchange, &self.trace, CLIENT_CLOSED_REQUEST, access_line::CLIENT_LEFT);
        }
    }
}
