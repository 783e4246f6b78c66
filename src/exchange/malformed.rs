//! Heads that are refused before anybody asks where they lead: what two servers could read differently (HTTP request smuggling),
//! and what is no request for a page.

use std::mem;

use http::{HeaderValue, Uri, Version, header, request, uri::PathAndQuery};

use super::Exchange;
use crate::server::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS};

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A method that nothing here takes.
    Method,
    /// The head is larger than it may be.
    TooLarge,
    /// It is malformed in this way.
    Because(&'static str),
}

impl Malformed {
    /// Checks the head of `exchange`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn check(exchange: &Exchange, head: &request::Parts) -> Result<(), Self> {
        // Neither asks for a page, and both have been used to look behind proxies.
        // Some servers read methods without regard to case.
        let method = exchange.method.as_str();
        if method.eq_ignore_ascii_case("CONNECT") || method.eq_ignore_ascii_case("TRACE") {
            return Err(Self::Method);
        }
        if !is_plainly_framed(head) {
            return Err(Self::Because("its transfer coding is not chunked alone"));
        }
        if head.version == Version::HTTP_2 && head.headers.values().any(has_outer_whitespace) {
            return Err(Self::Because("a header begins or ends with a blank"));
        }
        // The parser allows some more, where that comes in one piece.
        if has_too_many_fields(head) || length(head) > MAX_HEAD_BYTES {
            return Err(Self::TooLarge);
        }
        // Not `Uri::path`, which has a slash of its own where the target has none.
        if !head.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('/')) {
            return Err(Self::Because("the request target is not a path"));
        }
        Ok(())
    }
}

/// Writes the slash that a URL as a request's target may leave out: `http://host?q` means `/?q` (RFC 9112 section 3.2.1). Over
/// HTTP/2 the target is a path in any case (RFC 9113 section 8.3.1), and one without a slash is refused.
pub fn complete_target(head: &mut request::Parts) {
    if head.version == Version::HTTP_2 || head.uri.scheme().is_none() {
        return;
    }
    let Some(query) = head.uri.path_and_query().map(PathAndQuery::as_str).filter(|target| target.starts_with('?')) else {
        return;
    };
    let Ok(target) = PathAndQuery::try_from(format!("/{query}")) else { return };
    let mut parts = mem::take(&mut head.uri).into_parts();
    parts.path_and_query = Some(target);
    head.uri = Uri::from_parts(parts).unwrap_or_default();
}

/// Whether there are more header fields than one may have. Over HTTP/2 a browser may send each cookie in a field of its own (RFC 9113
/// section 8.2.3), which are one in HTTP/1.1.
fn has_too_many_fields(head: &request::Parts) -> bool {
    let cookies = || head.headers.get_all(header::COOKIE).iter().count();
    head.headers.len() > MAX_HEADER_FIELDS && head.headers.len() - cookies().saturating_sub(1) > MAX_HEADER_FIELDS
}

/// How long the head would be in HTTP/1.1.
fn length(head: &request::Parts) -> usize {
    let lines = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    head.uri.path_and_query().map_or(0, |path| path.as_str().len()) + lines.sum::<usize>()
}

/// Malformed in HTTP/2 (RFC 9113 section 8.2.1), where nobody trims a field value; an app of HTTP/1.1 would.
fn has_outer_whitespace(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// Whether a body comes as it is or chunked. Any other coding (RFC 9112 section 6.1) would have to be decoded here, or by the app;
/// who does which is what request smuggling lives on.
fn is_plainly_framed(head: &request::Parts) -> bool {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => head.version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
