//! The life of a request. [`Gateway::answer`] is every request's, and reads from top to bottom; each of its lines is a phase with a
//! module of its own.

mod access_line;
mod answered;
mod cors;
mod destination;
mod ext_authz;
mod forward_auth;
mod judging;
mod kept_posts;
mod recorder;
mod refusing;
mod route_request;
mod settings;
mod spans;
mod trace;
mod webdav;

use std::{
    future::poll_fn,
    ops::ControlFlow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, Uri, Version, header, request};
use http_body_util::{BodyExt, Either};
use hyper::body::{Body as _, Incoming};
use tracing::Instrument;

use crate::{
    address::Scheme,
    admission::{Admission, Admitted},
    endpoints::{self, Endpoints, Refused},
    exchange::{Exchange, complete_target},
    forward::{ByteCount, ClientBody, ForwardError, Forwarded, Forwarder, InterimHandler, Outbound, RequestGuards},
    kept_posts::KeptPosts,
    policy::Permit,
    refusal::{Refusal, response::preflight_response},
    server::{Peer, StreamReset},
    session::live::Watch,
    telemetry::{AccessLog, metrics::Metrics, traces::Tracer},
    visitor::ConnectionMemo,
};

use answered::{Answered, for_method};
use cors::Readers;
use destination::Destination;
use recorder::Recorder;
use route_request::RouteRequest;
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
    /// Begins the traces of requests, where there are any.
    pub tracer: Option<Tracer>,
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

impl NotServed {
    /// What is answered where a destination is reached at another listener.
    fn at(destination: &Destination<'_>) -> Self {
        match destination {
            Destination::Endpoint(_) => Self::ByEndpoint(Refusal::NoSuchPage.into()),
            Destination::Route(_) | Destination::ForwardAuth(_) | Destination::ResourceMetadata(_) => Refusal::NoSuchPage.into(),
        }
    }
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
    /// As the preflight of an origin whose scripts may use the route (CORS), which names no user.
    Preflight(Permit),
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
        let (mut head, body) = request.into_parts();
        complete_target(&mut head);
        let exchange = Exchange::begin(&caller.peer, &self.parts.settings.exchange, &head, !body.is_end_stream());
        let mut pending = PendingResponse { gateway: &self, exchange: &exchange, trace: Trace::default(), is_answered: false };
        pending.trace.spans = self.begin_spans(&exchange, &head.headers);
        let answered = match pending.trace.span() {
            None => self.respond(&exchange, &caller, (head, body), &mut pending.trace).await,
            // Boxed, so that nobody carries it where there are no traces.
            Some(span) => Box::pin(self.respond(&exchange, &caller, (head, body), &mut pending.trace).instrument(span)).await,
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(reset) => {
                pending.is_answered = true;
                self.recorder.unanswered(&exchange, &pending.trace, UPSTREAM_RESET, "upstream_reset");
                return Err(reset);
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
        let mut exchange = Exchange::begin(&caller.peer, &self.parts.settings.exchange, &unread, false);
        // Cookies or an address that have grown too long are a browser's. What is malformed, no browser sends.
        exchange.reads_html = matches!(status, 414 | 431);
        let refused = self.refuse(&exchange, Refusal::Unreadable(status));
        let (head, body) = self.finish(exchange, Trace::default(), refused).into_parts();
        let body = body.collect().now_or_never().and_then(Result::ok).map(|whole| whole.to_bytes());
        Response::from_parts(head, body.unwrap_or_default())
    }

    /// The response to a request: an answer, or what a refusal of it says.
    async fn respond(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        request: (request::Parts, Incoming),
        trace: &mut Trace,
    ) -> Result<Answered, StreamReset> {
        match self.answer(exchange, caller, request, trace).await {
            Ok(response) => Ok(response),
            Err(NotServed::ByGateway(Refusal::Upstream(ForwardError::Reset(error)))) if exchange.version == Version::HTTP_2 => {
                Err(StreamReset(error))
            }
            Err(NotServed::ByGateway(refusal)) => {
                trace.reason = refusal.reason();
                Ok(self.refuse(exchange, refusal))
            }
            Err(NotServed::ByEndpoint(refused)) => {
                trace.reason = refused.refusal.reason();
                Ok(self.refuse_at_endpoint(exchange, refused))
            }
        }
    }

    /// Whether the destination is reached at another listener than the caller's.
    fn is_at_another_listener(&self, caller: &Caller, destination: &Destination<'_>) -> bool {
        match destination {
            Destination::Endpoint(path) => {
                endpoints::is_administration(path) && caller.entrance != self.parts.settings.administered_at
            }
            Destination::Route(_) | Destination::ForwardAuth(_) | Destination::ResourceMetadata(_) => {
                caller.entrance == Entrance::Administration
            }
        }
    }

    /// One future for all of it: a further one would be copied into this, for each request.
    async fn answer(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        (mut head, body): (request::Parts, Incoming),
        trace: &mut Trace,
    ) -> Result<Answered, NotServed> {
        let destination = destination::find(&self.parts.settings, exchange, &head)?;
        if self.is_at_another_listener(caller, &destination) {
            return Err(NotServed::at(&destination));
        }
        if caller.peer.slot.is_of_reserve() && caller.entrance != Entrance::Administration && !destination.has_reserve() {
            return Err(Refusal::Full.into());
        }
        let route = match destination {
            Destination::Route(route) => route,
            // Boxed, as every path that few requests take: what is large there must not be carried by all.
            Destination::ForwardAuth(form) => {
                let has_no_body = body.is_end_stream();
                return Ok(Box::pin(self.answer_ingress(exchange, caller, (form, &head), has_no_body, trace)).await);
            }
            Destination::ResourceMetadata(route) => {
                trace.route = RouteTaken::Endpoint;
                let response = self.parts.endpoints.resource_metadata(exchange, &head.method, route);
                let response = response.map_err(|refused| NotServed::ByEndpoint(*refused))?;
                return Ok(for_method(exchange, response));
            }
            Destination::Endpoint(path) => {
                trace.route = RouteTaken::Endpoint;
                let visitor = OnceLock::new();
                let response = Box::pin(self.parts.endpoints.respond(exchange, path, &head, body, &visitor)).await;
                trace.user = visitor.into_inner().and_then(|grant| self.recorder.user_of(grant));
                return Ok(for_method(exchange, response.map_err(NotServed::ByEndpoint)?));
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
        let request = RouteRequest { exchange, memo: &caller.memo, route, headers: &head.headers, has_no_body };
        let judged = match self.judge_or_refuse(request).await {
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
        let mut request = Request::from_parts(head, body);
        let way = trace.spans.as_ref().map(|spans| spans.begin_forwarding(&exchange.method, request.headers_mut()));
        let (site, is_page, is_call) = (exchange.site.authority(), exchange.views_a_page(), exchange.call.is_some());
        let (permit, target) = (&permit, route.target);
        let tried = OnceLock::new();
        let outbound = Outbound { permit, target, site, origin, id, guards, interim, tried: &tried, is_page, is_call, request };
        let sent_at = exchange.elapsed();
        let forwarded = match way {
            None => self.parts.forwarder.forward(outbound).await,
            Some(span) => Box::pin(self.forward_traced(outbound, span)).await,
        };
        if let Some(kept) = &sent_again {
            Box::pin(self.put_back(kept, &forwarded)).await;
        }
        let upstream = forwarded.as_ref().map_or_else(|_| tried.into_inner(), |sent| Some(sent.upstream.clone()));
        trace.upstream = upstream.map(|upstream| (upstream, exchange.elapsed().saturating_sub(sent_at)));
        let Forwarded { response, .. } = forwarded.map_err(Refusal::from)?;
        Ok(response.map(Either::Left))
    }

    /// Lets a request pass to its route. The watch registers what outlives the request, if it is a user's.
    fn permit(&self, judged: Judged, trace: &mut Trace) -> (Permit, Option<Watch>) {
        match judged {
            Judged::Anybody(permit) | Judged::Preflight(permit) => (permit, None),
            Judged::User(admitted) => {
                trace.user = self.recorder.user(&admitted.by);
                (admitted.permit, Some(self.parts.admission.watch(admitted.by)))
            }
        }
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
