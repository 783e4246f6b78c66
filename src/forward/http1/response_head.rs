//! The head of a response as it is read (RFC 9112 sections 4 and 6.3).

use std::{mem::MaybeUninit, time::Duration};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::{
    error::Http1Error,
    limits::{MAX_FIELDS, MAX_HEAD_BYTES},
};

/// How long a connection stays idle whose server does not say for how long it may. Shorter than the usual limits of servers that
/// say nothing: for Node.js and uvicorn that is five seconds.
const DEFAULT_IDLE_LIMIT: Duration = Duration::from_secs(4);
/// No connection stays idle for longer, whatever its server says.
const MAX_IDLE_LIMIT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// One head out of the sequence that answers a request.
#[derive(Debug)]
pub enum ParsedHead {
    /// An interim response (RFC 9110 section 15.2); another head follows.
    Interim(Response<()>),
    /// The head of the final response.
    Final(ResponseHead),
}

/// The head of a final response.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status and header fields. A reason phrase that is not the usual one is an extension ([`ReasonPhrase`]).
    pub response: Response<()>,
    /// What follows the head.
    pub framing: ResponseFraming,
    /// How long the connection may stay idle after the response; `None` if it takes no further request (RFC 9112 section 9.3).
    pub idle_limit: Option<Duration>,
}

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// A body.
    Body(BodyLength),
    /// Another protocol.
    Upgraded,
}

/// How the end of a response's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// It has so many bytes.
    Exact(u64),
    /// It comes in chunks.
    Chunked,
    /// The connection ends with it.
    UntilClose,
}

/// Takes the next head off the front of `buffer`; `None`, with the buffer as it was, if the head is not complete yet. The
/// response to a HEAD request has no body whatever its head says.
///
/// # Errors
/// [`Http1Error`] if this is not the head of a response, is too long, or could be read in more than one way.
pub fn parse_response_head(buffer: &mut BytesMut, is_head_request: bool) -> Result<Option<ParsedHead>, Http1Error> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS as usize];
    let mut parsed = httparse::Response::new(&mut []);
    let length = match ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, buffer, &mut fields)? {
        Status::Complete(length) if length <= MAX_HEAD_BYTES as usize => length,
        Status::Partial if buffer.len() < MAX_HEAD_BYTES as usize => return Ok(None),
        Status::Complete(_) | Status::Partial => return Err(Http1Error::TooLong("head")),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or(0)).map_err(|_| Http1Error::Invalid("status"))?;
    let version = if parsed.version == Some(1) { MinorVersion::One } else { MinorVersion::Zero };
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = header_map(parsed.headers)?;
    let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
    let head = if is_interim {
        ParsedHead::Interim(response)
    } else {
        let framing = framing(status, version, response.headers_mut(), is_head_request)?;
        let is_reusable = is_persistent(version, response.headers(), framing)
            && !may_be_followed_by_content(status, response.headers(), is_head_request);
        let idle_limit = idle_limit(response.headers()).filter(|_| is_reusable);
        let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason));
        if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.to_owned()).ok()) {
            response.extensions_mut().insert(reason);
        }
        ParsedHead::Final(ResponseHead { response, framing, idle_limit })
    };
    buffer.advance(length);
    Ok(Some(head))
}

/// The version of HTTP/1 that a response is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MinorVersion {
    Zero,
    One,
}

/// Makes a map of parsed fields. The parser has looked at names and values, so that neither fails.
pub(super) fn header_map(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Http1Error> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Http1Error::Invalid("field name"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Http1Error::Invalid("field value"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Whether the connection takes another request (RFC 9112 section 9.3).
fn is_persistent(version: MinorVersion, headers: &HeaderMap, framing: ResponseFraming) -> bool {
    let stays_open = match version {
        MinorVersion::One => !has_connection_option(headers, b"close"),
        MinorVersion::Zero => has_connection_option(headers, b"keep-alive"),
    };
    stays_open && framing != ResponseFraming::Body(BodyLength::UntilClose)
}

/// Whether an app that knows no better may send content behind a head that ends the response: the same handler often answers HEAD
/// and GET. That content would be read as the response to the next request.
fn may_be_followed_by_content(status: StatusCode, headers: &HeaderMap, is_head_request: bool) -> bool {
    let announces_content = || {
        headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'))
    };
    is_head_request || (has_no_content(status) && announces_content())
}

/// Whether a response of this status ends with its head, whatever that says (RFC 9112 section 6.3).
pub fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn has_connection_option(headers: &HeaderMap, option: &[u8]) -> bool {
    let mut lines = headers.get_all(header::CONNECTION).iter();
    lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(|said| said.trim_ascii().eq_ignore_ascii_case(option)))
}

/// How long the server keeps an idle connection, by what it says (`Keep-Alive: timeout=5, max=100`, RFC 2068 section 19.7.1.1,
/// which RFC 9112 appendix C.2.2 refers to) or by what is usual. A second less than it says, for what is on its way; of a single
/// second, half.
fn idle_limit(headers: &HeaderMap) -> Option<Duration> {
    let parameters = headers.get_all(KEEP_ALIVE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let timeouts = parameters.filter_map(|parameter| {
        let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(Duration::from_secs(seconds))
    });
    let Some(timeout) = timeouts.min() else { return Some(DEFAULT_IDLE_LIMIT) };
    let limit = timeout.saturating_sub((timeout / 2).min(Duration::from_secs(1))).min(MAX_IDLE_LIMIT);
    (!limit.is_zero()).then_some(limit)
}

/// Decides what follows the head (RFC 9112 section 6.3), but refuses whatever could be read in more than one way.
fn framing(
    status: StatusCode,
    version: MinorVersion,
    headers: &mut HeaderMap,
    is_head_request: bool,
) -> Result<ResponseFraming, Http1Error> {
    let length = content_length(headers)?;
    let is_chunked = is_chunked(headers, version)?;
    if is_chunked && length.is_some() {
        return Err(Http1Error::AmbiguousFraming("both a length and a transfer coding"));
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(ResponseFraming::Upgraded);
    }
    let has_no_body = is_head_request || has_no_content(status);
    Ok(ResponseFraming::Body(match length {
        _ if has_no_body => BodyLength::Exact(0),
        _ if is_chunked => BodyLength::Chunked,
        Some(length) => BodyLength::Exact(length),
        None => BodyLength::UntilClose,
    }))
}

/// Whether the body comes in chunks. Any other transfer coding is refused, and so is one in HTTP/1.0, which has none.
fn is_chunked(headers: &HeaderMap, version: MinorVersion) -> Result<bool, Http1Error> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(false) };
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if version == MinorVersion::One && is_chunked && codings.next().is_none() {
        Ok(true)
    } else {
        Err(Http1Error::AmbiguousFraming("a transfer coding that is not chunked alone"))
    }
}

/// The length that the head says. Several fields that say the same become one.
///
/// # Errors
/// [`Http1Error::AmbiguousFraming`] if they do not, or one says no number.
pub fn content_length(headers: &mut HeaderMap) -> Result<Option<u64>, Http1Error> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let is_number = !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().filter(|_| is_number).and_then(|text| text.parse().ok());
    let length = length.ok_or(Http1Error::AmbiguousFraming("an invalid length"))?;
    let mut others = lines.peekable();
    if others.peek().is_some() {
        if others.any(|other| other != first) {
            return Err(Http1Error::AmbiguousFraming("two lengths"));
        }
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests;
