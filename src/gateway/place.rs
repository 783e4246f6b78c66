//! Which place a request goes to.

use http::{HeaderValue, Method, Request, Version, header};

use super::{Settings, exchange::Exchange, refusal::Refusal};
use crate::{
    forward::is_extended_connect,
    routing::{NoRoute, Route},
    server::{LARGEST_HEAD, MOST_LINES},
};

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// A page of ours.
    Own,
    /// An app.
    Route(&'a Route),
}

pub(super) fn find<'a, B>(settings: &'a Settings, exchange: &Exchange, request: &Request<B>) -> Result<Place<'a>, Refusal> {
    // Neither is a request for a page, and both have been used to look behind proxies. A WebSocket on HTTP/2 is one.
    let is_tunnel = *request.method() == Method::CONNECT && !is_extended_connect(request);
    if is_tunnel || *request.method() == Method::TRACE {
        return Err(Refusal::MethodNotAllowed);
    }
    if !is_plainly_framed(request) {
        return Err(Refusal::BadRequest("its transfer coding is not chunked alone"));
    }
    if request.version() == Version::HTTP_2 && request.headers().values().any(begins_or_ends_blank) {
        return Err(Refusal::BadRequest("a header begins or ends with a blank"));
    }
    // What reads them allows some more, where that comes in one piece.
    if request.headers().len() > MOST_LINES || length(request) > LARGEST_HEAD {
        return Err(Refusal::HeadTooLarge);
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
    if !exchange.names_site {
        return Err(if settings.redirect_strays { Refusal::Elsewhere } else { Refusal::Misdirected });
    }
    if exchange.is_in_plain_text && settings.redirect_strays {
        return Err(Refusal::Elsewhere);
    }
    if own.is_some() {
        return Ok(Place::Own);
    }
    match settings.routes.find(exchange.site.authority(), path) {
        Ok(route) => Ok(Place::Route(route)),
        Err(NoRoute::Unknown) => Err(Refusal::NoSuchPage),
        Err(NoRoute::Ambiguous) => Err(Refusal::BadRequest("the path can be read in more than one way")),
    }
}

/// How long the head would be in HTTP/1.1.
fn length<B>(request: &Request<B>) -> usize {
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    request.uri().path_and_query().map_or(0, |path| path.as_str().len()) + lines.sum::<usize>()
}

/// Malformed in HTTP/2 (RFC 9113 section 8.2.1), where nobody trims a field; an app of HTTP/1.1 would.
fn begins_or_ends_blank(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// Whether a body comes as it is or in chunks. Any other coding (RFC 9112 section 6.1) would have to be undone here, or be read
/// by the app, and who does which is what smuggled requests live on.
fn is_plainly_framed<B>(request: &Request<B>) -> bool {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => request.version() == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
