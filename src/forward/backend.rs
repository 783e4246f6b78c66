//! A route's target with the connections to its upstreams.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, header, request,
    uri::{Authority, PathAndQuery},
};

use super::{
    clear_site_data,
    edits::Edits,
    error::ForwardError,
    forwarding_headers,
    guards::RequestSlot,
    hop_by_hop,
    http1::InterimHandler,
    lookups::Lookups,
    outgoing::Outgoing,
    own_headers::{OwnHeaders, REQUEST_ID, USUAL_OWN_HEADERS},
    reply::{Reply, Undelivered},
    reserved_headers,
    resolver::{AllowedAddresses, Resolver},
    target::Target,
    templated::TemplatedClients,
    upstream::{Connecting, SendMode, UpstreamClient},
    webdav,
};
use crate::{address::Origin, identity, policy::Permit, session::cookie::Cookies};

/// A target with the connections to its upstreams.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) target: Target,
    cookies: Cookies,
    clients: Vec<UpstreamClient>,
    templated: Option<TemplatedClients>,
    /// The edits of responses' headers, if there are any, for trailers.
    trailer_edits: Option<Arc<Edits>>,
    next: AtomicUsize,
}

/// A reply, the upstream that it came from, and the place among its requests.
pub(super) type Sent = (Reply, Authority, Option<RequestSlot>);

impl Backend {
    pub(super) fn new(target: Target, connecting: Connecting, cookies: Cookies) -> Self {
        let client = |address| {
            let resolver = Resolver::new(Lookups::new(), AllowedAddresses::Any);
            UpstreamClient::new(address, &target, &connecting, &resolver)
        };
        let clients = target.upstreams.iter().map(client).collect();
        let templated = target.template.clone().map(|template| TemplatedClients::new(template, connecting));
        let trailer_edits = (!target.answer_edits.is_empty()).then(|| Arc::new(target.answer_edits.clone()));
        Self { target, cookies, clients, templated, trailer_edits, next: AtomicUsize::new(0) }
    }

    /// Removes from a request's headers what is not for the upstream, and returns the lines that are added to them.
    ///
    /// The order protects: first goes what the client says about itself, even where `Connection` would have kept it from being
    /// seen; then the hop's own headers; and only then are lines of ours written, which nothing can remove.
    pub(super) fn prepare_headers(
        &self,
        headers: &mut HeaderMap,
        permit: &Permit,
        origin: &Origin,
        request_id: HeaderValue,
    ) -> OwnHeaders {
        reserved_headers::remove_reserved_headers(headers, &self.target.identity_headers);
        reserved_headers::remove_configured_headers(headers, &self.target.address_headers);
        hop_by_hop::remove(headers);
        forwarding_headers::write_client_address(headers, &self.target.address_headers, origin);
        self.cookies.strip_reserved_cookies(headers);
        if permit.hides_authorization() {
            headers.remove(header::AUTHORIZATION);
        }
        self.target.request_edits.apply(headers);
        let mut own_headers = OwnHeaders::with_capacity(USUAL_OWN_HEADERS);
        forwarding_headers::write_forwarding_headers(headers, &mut own_headers, origin);
        Self::add_identity_headers(permit, &mut own_headers);
        own_headers.push((REQUEST_ID, request_id));
        own_headers
    }

    /// Adds who is signed in.
    pub(super) fn add_identity_headers(permit: &Permit, own_headers: &mut OwnHeaders) {
        let Some(identity) = permit.forwarded_identity() else { return };
        own_headers.extend(identity.headers.iter().cloned());
        own_headers.extend(identity.assertion.iter().map(|token| (identity::ASSERTION, token.clone())));
        if let Some(since) = identity.stale_since {
            own_headers.push((identity::RENEWED_AT, HeaderValue::from(since.seconds())));
        }
    }

    /// Sends to the upstream of `site`, or to the one whose turn it is, and to the next if that has no slot or cannot be reached. The first
    /// one that fails is named in `tried`.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        (site, origin): (&str, &Origin),
        path: PathAndQuery,
        mode: SendMode,
        interim: InterimHandler<'_>,
        tried: &OnceLock<Authority>,
    ) -> Result<Sent, ForwardError> {
        let failed = |client: &UpstreamClient| {
            let _named_before = tried.set(client.authority().clone());
        };
        if let Some(templated) = &self.templated {
            let client = templated.client(site, &self.target).ok_or(ForwardError::NoUpstream)?;
            let sent = self.send_to(&client, outgoing, origin, path, mode, interim);
            return Box::pin(sent).await.map_err(|Undelivered { error, .. }| {
                failed(&client);
                error
            });
        }
        let (mut outgoing, first) = (outgoing, self.next.fetch_add(1, Ordering::Relaxed));
        let mut last_error = if self.clients.is_empty() { ForwardError::NoUpstream } else { ForwardError::Busy };
        for offset in 0..self.clients.len() {
            let Some(client) = self.clients.get((first + offset) % self.clients.len()) else { continue };
            match self.send_to(client, outgoing, origin, path.clone(), mode, interim).await {
                Ok(sent) => return Ok(sent),
                Err(Undelivered { error: ForwardError::Busy, outgoing: Some(unsent) }) => outgoing = unsent,
                // Nor would another one have a connection.
                Err(Undelivered { error: error @ ForwardError::NoConnection(_), .. }) => return Err(error),
                Err(Undelivered { error, outgoing: Some(unsent) }) => {
                    failed(client);
                    (last_error, outgoing) = (error, unsent);
                }
                Err(Undelivered { error, outgoing: None }) => {
                    failed(client);
                    return Err(error);
                }
            }
        }
        Err(last_error)
    }

    /// Sends to one upstream, if it has a slot.
    async fn send_to(
        &self,
        client: &UpstreamClient,
        mut outgoing: Box<Outgoing>,
        origin: &Origin,
        path: PathAndQuery,
        mode: SendMode,
        interim: InterimHandler<'_>,
    ) -> Result<Sent, Undelivered> {
        let Ok(slot) = client.try_acquire_slot() else {
            return Err(Undelivered { error: ForwardError::Busy, outgoing: Some(outgoing) });
        };
        outgoing.body.hold_slot(slot.clone());
        self.address(&mut outgoing.head, client, origin, path, mode)?;
        let reply = client.send(outgoing, mode, self.target.timeouts.head, interim).await?;
        Ok((reply, client.authority().clone(), slot))
    }

    /// Writes the request target, and the host where the upstream gets its own name.
    fn address(
        &self,
        head: &mut request::Parts,
        client: &UpstreamClient,
        origin: &Origin,
        path: PathAndQuery,
        mode: SendMode,
    ) -> Result<(), ForwardError> {
        let host = if self.target.own_host { client.authority().as_str() } else { &origin.host };
        head.uri = client.request_target(host, path, mode).map_err(ForwardError::Target)?;
        if self.target.rewrites_destination {
            webdav::name_server(&head.method, &mut head.headers, client.scheme(), host);
        }
        if self.target.own_host
            && let Ok(host) = HeaderValue::from_str(host)
        {
            head.headers.insert(header::HOST, host);
        }
        Ok(())
    }

    /// Removes from a response what is not for the client, or not the upstream's to send.
    pub(super) fn clean_response(&self, headers: &mut HeaderMap) {
        hop_by_hop::remove_from_response(headers);
        self.cookies.strip_reserved_set_cookies(headers);
        clear_site_data::spare_cookies(headers);
        self.target.answer_edits.apply(headers);
    }

    /// What is done to a response's trailers, which come after its head was cleaned.
    pub(super) fn trailer_edits(&self) -> Option<Arc<Edits>> {
        self.trailer_edits.clone()
    }

    /// Hands on an interim response, but for 100, which is between Evergate and the upstream: the client gets one of ours when
    /// its body is wanted. HTTP/2 has no 101 (RFC 9113 section 8.6), and HTTP/1.1 does not take it for an interim one.
    pub(super) fn hand_on_interim(&self, mut response: Response<()>, hand_on: &(dyn Fn(Response<()>) + Send + Sync)) {
        if matches!(response.status(), StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        self.clean_response(response.headers_mut());
        hop_by_hop::remove_framing(response.headers_mut());
        hand_on(response);
    }
}
