//! Which place a request goes to.

use http::{Method, Request};

use super::{Settings, exchange::Exchange, refusal::Refusal};

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A page of ours.
    Own,
    /// The app.
    Upstream,
}

pub(super) fn find<B>(settings: &Settings, exchange: &Exchange, request: &Request<B>) -> Result<Place, Refusal> {
    // Neither is a request for a page, and both have been used to look behind proxies.
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed);
    }
    let path = request.uri().path();
    if !path.starts_with('/') {
        return Err(Refusal::BadRequest("the request target is not a path"));
    }
    let own = path.strip_prefix(settings.prefix.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // Probes ask by whatever address they find us at.
    if matches!(own, Some("/healthz" | "/readyz")) {
        return Ok(Place::Own);
    }
    if !exchange.names_host {
        return Err(Refusal::BadRequest("the request names no host, or several"));
    }
    // Cookies and redirects belong to one address; under another, a session could not work and a page of the
    // app could be read by whoever points a name of theirs at us.
    if !settings.access.is_host(&exchange.origin.host) {
        return Err(Refusal::Misdirected);
    }
    Ok(if own.is_some() { Place::Own } else { Place::Upstream })
}
