//! Forwards permitted requests.

use std::{sync::OnceLock, time::Duration};

use base64::prelude::*;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Version, header,
    uri::{Authority, PathAndQuery},
};
use hyper::{body::Body, upgrade::OnUpgrade};
use tokio_util::task::TaskTracker;

use super::{
    backend::Backend,
    cut,
    deadlines::BodyTimeouts,
    drain::Drain,
    error::ForwardError,
    guards::{RequestGuards, RequestSlot},
    hop_by_hop::{self, Upgrade},
    http1::{Connection, InterimHandler, has_no_content},
    injection::Injection,
    outgoing::Outgoing,
    reply::Reply,
    request_body::{ClientBody, RequestBody},
    response_body::{BodyEnds, ResponseBody, UpstreamBody},
    target::{Protocol, Target},
    tunnel::Tunnel,
    upstream::{Connecting, SendMode},
    upstream_connections::UpstreamConnections,
    webdav, websocket,
};
use crate::{
    address::Origin,
    policy::Permit,
    secret::random,
    session::{cookie::Cookies, live::Watch},
};

/// The content type of streams that end when their server does (HTML section 9.2).
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// Forwards permitted requests.
#[derive(Debug)]
pub struct Forwarder {
    backends: Vec<Backend>,
    tasks: TaskTracker,
    drain: Drain,
}

/// A request that is about to be sent.
pub struct Outbound<'a> {
    /// Proof that it may be.
    pub permit: &'a Permit,
    /// Which of the targets it goes to.
    pub target: usize,
    /// The site that it is for: host, and port if it is not the scheme's own.
    pub site: &'a str,
    /// Where it came from.
    pub origin: &'a Origin,
    /// The request's id.
    pub id: HeaderValue,
    /// What goes with the parts of it that outlive it.
    pub guards: RequestGuards,
    /// What takes interim responses, if its client can be sent any.
    pub interim: InterimHandler<'a>,
    /// Where the upstream is named that the request was to go to first, if it failed there.
    pub tried: &'a OnceLock<Authority>,
    /// Whether a browser is about to show the response as a page.
    pub is_page: bool,
    /// Whether it is a gRPC call.
    pub is_call: bool,
    /// The request as the client sent it.
    pub request: Request<ClientBody>,
}

/// A request that was forwarded.
#[derive(Debug)]
pub struct Forwarded {
    /// The response.
    pub response: Response<ResponseBody>,
    /// The upstream that it came from.
    pub upstream: Authority,
}

/// An upgrade that a client has requested.
struct ClientUpgrade {
    upgrade: Upgrade,
    /// The client's side of the connection, once it has upgraded.
    connection: OnUpgrade,
    /// The key that was sent upstream on behalf of a client of HTTP/2, which cannot check the proof itself.
    key: Option<HeaderValue>,
}

impl Forwarder {
    /// A forwarder to `targets`, each with its TLS, which get no cookies of ours. Its tunnels run on `tasks` and end with the
    /// `drain`. No connection of HTTP/1.1 is used again before it has been idle for `min_idle`, and no more of all kinds are open than
    /// `open` allows.
    pub fn new(
        targets: Vec<(Target, rustls::ClientConfig)>,
        cookies: &Cookies,
        tasks: TaskTracker,
        drain: Drain,
        min_idle: Duration,
        open: &UpstreamConnections,
    ) -> Self {
        let backends = targets.into_iter().map(|(target, tls)| {
            let connecting = Connecting { tls, min_idle, open: open.clone() };
            Backend::new(target, connecting, cookies.clone())
        });
        let backends = backends.collect();
        Self { backends, tasks, drain }
    }

    /// Whether requests to this target reach any upstream.
    pub fn has_upstream(&self, target: usize) -> bool {
        self.backends.get(target).is_some_and(|backend| backend.target.has_upstream())
    }

    /// The lines that say who sends a request, as they are added to one that goes to this target.
    pub fn identity_headers(&self, permit: &Permit) -> Vec<(HeaderName, HeaderValue)> {
        let mut lines = Vec::new();
        Backend::add_identity_headers(permit, &mut lines);
        lines
    }

    /// The names of the lines by which this target's or another's app is told who sends a request.
    pub fn identity_names(&self, target: usize) -> &[HeaderName] {
        self.backends.get(target).map_or(&[], |backend| &backend.target.identity_headers)
    }

    /// Sends a request on and hands its response back; both bodies stream. What outlives the request is cut when its session
    /// ends.
    ///
    /// # Errors
    /// [`ForwardError`]; the response's body may still fail later, which the client sees.
    pub async fn forward(&self, outbound: Outbound<'_>) -> Result<Forwarded, ForwardError> {
        let Outbound { permit, target, site, origin, id, guards, interim, tried, is_page, is_call, mut request } = outbound;
        let backend = self.backends.get(target).ok_or(ForwardError::NoUpstream)?;
        let upgrade = Upgrade::requested(&request, &backend.target.upgrades);
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let path = without_prefix(&head.uri, &backend.target.strip_prefix).map_err(ForwardError::Target)?;
        if backend.target.rewrites_destination {
            webdav::strip_prefix(&head.method, &mut head.headers, &backend.target.strip_prefix);
        }
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let injection = backend.target.injection.as_ref().filter(|_| is_page);
        if injection.is_some() {
            Injection::ask(&mut head.headers);
        }
        let own_headers = backend.prepare_headers(&mut head.headers, permit, origin, id);
        let upgrade = upgrade.zip(client_side).map(|(upgrade, connection)| {
            upgrade.write_to_upstream(&mut head.method, &mut head.headers, websocket_key);
            let key = head.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| upgrade == Upgrade::Stream).cloned();
            ClientUpgrade { upgrade, connection, key }
        });

        let mode = if upgrade.is_some() { SendMode::Upgrade } else { SendMode::Request };
        // Whoever speaks first in a call is the app's to say.
        let may_pause = backend.target.protocol == Protocol::Http2 && is_call;
        let max_pause = backend.target.timeouts.body.filter(|_| !may_pause);
        let body = RequestBody::new(body, &guards, max_pause);
        // Boxed, because it is handed on from function to function.
        let outgoing = Box::new(Outgoing { head, own_headers, body, is_repeated: false });
        let hand_on = interim.map(|hand_on| move |response| backend.hand_on_interim(response, hand_on));
        let interim: InterimHandler<'_> = hand_on.as_ref().map(|hand_on| hand_on as _);
        let sent = tokio::select! {
            biased;
            sent = backend.send(outgoing, (site, origin), path, mode, interim, tried) => sent,
            () = cut::session_ended(guards.watch.as_ref()) => Err(ForwardError::SessionEnded),
        };
        let (reply, upstream, slot) = sent?;
        let response = match reply {
            Reply::Response(response) => {
                let mut response = self.respond(backend, response, upgrade.as_ref(), guards, slot)?;
                let injection = injection.filter(|_| response.status() == StatusCode::OK);
                let injector = injection.and_then(|injection| injection.begin(response.headers_mut()));
                if let Some(injector) = injector {
                    response.body_mut().inject(injector);
                }
                response
            }
            Reply::Upgraded(response, upstream_side) => {
                self.open_tunnel(backend, response, upstream_side, upgrade, guards, slot)?
            }
        };
        Ok(Forwarded { response, upstream })
    }

    /// Hands a response back.
    fn respond(
        &self,
        backend: &Backend,
        mut response: Response<UpstreamBody>,
        upgrade: Option<&ClientUpgrade>,
        guards: RequestGuards,
        slot: Option<RequestSlot>,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let is_upgrade_of_stream = upgrade.is_some_and(|client| client.upgrade == Upgrade::Stream);
        // Any success is an open WebSocket to a client of HTTP/2 (RFC 8441 section 5), and this is none.
        let looks_upgraded = is_upgrade_of_stream && response.status().is_success();
        if looks_upgraded || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ForwardError::UnexpectedUpgrade);
        }
        backend.clean_response(response.headers_mut());
        if has_no_content(response.status()) && !response.body().is_end_stream() {
            *response.body_mut() = UpstreamBody::Empty;
        }
        if response.status() == StatusCode::NO_CONTENT {
            // RFC 9110 section 8.6. Clients of HTTP/2 take it for a broken stream.
            hop_by_hop::remove_framing(response.headers_mut());
        }
        let timeouts = BodyTimeouts { idle: backend.target.timeouts.idle, total: backend.target.timeouts.total };
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let is_event_stream = content_type.is_some_and(|content_type| content_type.as_bytes().starts_with(EVENT_STREAM));
        let scheduled_end = is_event_stream.then(|| self.drain.schedule_end());
        let ends = BodyEnds { scheduled_end, timeouts };
        Ok(response.map(|body| ResponseBody::new(body, backend.trailer_edits(), guards, slot, ends)))
    }

    /// Upgrades the client's side of the connection as well, and joins the two.
    fn open_tunnel(
        &self,
        backend: &Backend,
        mut response: Response<()>,
        upstream_side: Box<Connection>,
        upgrade: Option<ClientUpgrade>,
        guards: RequestGuards,
        slot: Option<RequestSlot>,
    ) -> Result<Response<ResponseBody>, ForwardError> {
        let protocol = response.headers().get(header::UPGRADE).cloned();
        let (Some(client), Some(protocol)) = (upgrade, protocol) else { return Err(ForwardError::UnexpectedUpgrade) };
        backend.clean_response(response.headers_mut());
        let proof = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if client.key.is_some_and(|key| !websocket::accepts(&key, proof)) {
            return Err(ForwardError::UnexpectedUpgrade);
        }
        client.upgrade.accept(&mut response, &protocol);
        let tunnel = Tunnel {
            connection: guards.watch.as_ref().map(Watch::open),
            _in_use: guards.in_use,
            _slot: slot,
            scheduled_end: self.drain.schedule_end(),
            is_websocket: websocket::is_websocket(&protocol),
        };
        self.tasks.spawn(tunnel.run(client.connection, upstream_side));
        Ok(response.map(|()| ResponseBody::empty()))
    }
}

/// A fresh `Sec-WebSocket-Key`.
fn websocket_key() -> HeaderValue {
    HeaderValue::try_from(BASE64_STANDARD.encode(random::<16>())).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// The path without its prefix, and the query.
fn without_prefix(uri: &http::Uri, prefix: &str) -> Result<PathAndQuery, http::Error> {
    if prefix.is_empty() {
        return Ok(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.strip_prefix(prefix).unwrap_or(whole);
    // Never with two slashes, between which some would read a host.
    Ok(PathAndQuery::try_from(format!("/{}", rest.trim_start_matches('/')))?)
}
