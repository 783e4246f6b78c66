//! The head of a request as it is written (RFC 9112 section 3), and of an answer as it is read (sections 4 and 6.3).

use std::{mem::MaybeUninit, time::Duration};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::Http1Error;

/// The idle_limit head of an answer.
pub(in crate::forward) const MAX_HEAD_BYTES: u32 = 128 * 1024;
/// So many fields it may have: bytes are the limit, and these keep what is made of them in bounds.
pub(in crate::forward) const MAX_FIELDS: u32 = 256;

/// Shorter than common servers let a connection rest that say nothing of it: for Node.js and uvicorn that is five seconds.
const DEFAULT_IDLE_LIMIT: Duration = Duration::from_secs(4);
/// No connection rests for longer, whatever its app says.
const MAX_IDLE_LIMIT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Most heads of requests are shorter.
const USUAL: usize = 2 * 1024;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// How long the connection may rest after this before it bears another request; nothing, if it bears none (RFC 9112 section
    /// 9.3).
    pub(super) rest: Option<Duration>,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    /// An interim answer (RFC 9110 section 15.2).
    Interim(Response<()>),
    /// The answer's.
    Answer(Head),
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// A body.
    Body(BodyLength),
    /// Another protocol.
    Switched,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// It has so many bytes.
    Exact(u64),
    /// It comes in chunks.
    Chunked,
    /// The connection ends with it.
    UntilClose,
}

/// How an app is told where a request's body ends (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// There is none, or nothing more.
    Nothing,
    /// So many bytes are to follow.
    Length(u64),
    /// It comes in chunks.
    Chunked,
}

/// Writes the head of a request. That no line is split by what stands in it is what the types say; that what is said of the
/// body is true, and said once, is seen to here.
pub(super) fn write<'a>(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    lines: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    framed: RequestFraming,
) {
    out.reserve(USUAL);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in lines.filter(|(name, _)| **name != header::CONTENT_LENGTH && **name != header::TRANSFER_ENCODING) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match framed {
        RequestFraming::Length(length) => out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes()),
        RequestFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // Some servers wait for a length where these methods have no body (RFC 9110 section 8.6).
        RequestFraming::Nothing if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        RequestFraming::Nothing => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Takes the next head off `buffer`, which is an interim one or the answer's; `None` if it is not all there yet. `to_head` says
/// that a HEAD was asked, whose answer has no body whatever it says.
pub(super) fn read(buffer: &mut BytesMut, to_head: bool) -> Result<Option<Read>, Http1Error> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS as usize];
    let mut parsed = httparse::Response::new(&mut []);
    let read = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, buffer, &mut fields)?;
    let length = match read {
        Status::Complete(length) if length <= MAX_HEAD_BYTES as usize => length,
        Status::Partial if buffer.len() < MAX_HEAD_BYTES as usize => return Ok(None),
        Status::Complete(_) | Status::Partial => return Err(Http1Error::AmbiguousFraming("has too long a head")),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or(0)).map_err(|_| Http1Error::AmbiguousFraming("has no status"))?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in &*parsed.headers {
        // Neither fails: the parser has looked.
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Http1Error::AmbiguousFraming("has no header"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Http1Error::AmbiguousFraming("has no header"))?;
        headers.append(name, value);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        *response.headers_mut() = headers;
        buffer.advance(length);
        return Ok(Some(Read::Interim(response)));
    }
    let is_new = parsed.version == Some(1);
    let framing = framing(status, &mut headers, is_new, to_head)?;
    let persists = match is_new {
        true => !says(&headers, b"close"),
        false => says(&headers, b"keep-alive"),
    } && framing != Framing::Body(BodyLength::UntilClose);
    let rest = idle_limit(&headers).filter(|_| persists);
    *response.headers_mut() = headers;
    let reason = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason));
    if let Some(reason) = reason.and_then(|reason| ReasonPhrase::try_from(reason.to_owned()).ok()) {
        response.extensions_mut().insert(reason);
    }
    buffer.advance(length);
    Ok(Some(Read::Answer(Head { response, framing, rest })))
}

/// Whether `Connection` has a word.
fn says(headers: &HeaderMap, word: &[u8]) -> bool {
    let mut lines = headers.get_all(header::CONNECTION).iter();
    lines.any(|line| line.as_bytes().split(|byte| *byte == b',').any(|said| said.trim_ascii().eq_ignore_ascii_case(word)))
}

/// How long an app lets its connection rest, by what it says (`Keep-Alive: timeout=5, max=100`, RFC 2068 section 19.7.1.1, which RFC
/// 9112 appendix C.2.2 refers to) or by what is usual. A second less than it says, for what is on its way; of a single one, half.
fn idle_limit(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(KEEP_ALIVE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let said = lines.filter_map(|parameter| {
        let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(Duration::from_secs(seconds))
    });
    let Some(said) = said.min() else { return Some(DEFAULT_IDLE_LIMIT) };
    let rest = said.saturating_sub((said / 2).min(Duration::from_secs(1))).min(MAX_IDLE_LIMIT);
    (!rest.is_zero()).then_some(rest)
}

/// RFC 9112 section 6.3, but that whatever could be read in more than one way is refused.
fn framing(status: StatusCode, headers: &mut HeaderMap, is_new: bool, to_head: bool) -> Result<Framing, Http1Error> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(coding), None) if is_new && coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Some(coding),
        (Some(_), _) => return Err(Http1Error::AmbiguousFraming("has a transfer coding that is not chunked alone")),
    };
    if coding.is_some() && length.is_some() {
        return Err(Http1Error::AmbiguousFraming("has both a length and a transfer coding"));
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Framing::Switched);
    }
    let has_no_body = to_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(Framing::Body(match (coding, length) {
        _ if has_no_body => BodyLength::Exact(0),
        (Some(_), _) => BodyLength::Chunked,
        (None, Some(length)) => BodyLength::Exact(length),
        (None, None) => BodyLength::UntilClose,
    }))
}

/// The length that an answer says, once. Several fields that say the same become one.
fn content_length(headers: &mut HeaderMap) -> Result<Option<u64>, Http1Error> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let is_number = !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit);
    let length = first.to_str().ok().filter(|_| is_number).and_then(|text| text.parse().ok());
    let length = length.ok_or(Http1Error::AmbiguousFraming("has no usable length"))?;
    let mut others = lines.peekable();
    if others.peek().is_some() {
        if others.any(|other| other != first) {
            return Err(Http1Error::AmbiguousFraming("has two lengths"));
        }
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, to_head: bool) -> Result<Option<Head>, Http1Error> {
        let mut buffer = BytesMut::from(text);
        loop {
            match read(&mut buffer, to_head)? {
                None => return Ok(None),
                Some(Read::Answer(head)) => return Ok(Some(head)),
                Some(Read::Interim(_)) => {}
            }
        }
    }

    #[test]
    fn what_a_head_says_of_the_body_is_true_and_said_once() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-length", "5"), ("content-length", ""), ("transfer-encoding", "chunked"), ("x-a", "b")] {
            headers.append(name, value.parse().unwrap());
        }
        let written = |method, framed| {
            let mut out = BytesMut::new();
            write(&mut out, &method, "/p?q", headers.iter(), framed);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(written(Method::GET, RequestFraming::Nothing), "GET /p?q HTTP/1.1\r\nx-a: b\r\n\r\n");
        assert_eq!(written(Method::POST, RequestFraming::Nothing), "POST /p?q HTTP/1.1\r\nx-a: b\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(written(Method::GET, RequestFraming::Length(7)), "GET /p?q HTTP/1.1\r\nx-a: b\r\ncontent-length: 7\r\n\r\n");
        assert_eq!(
            written(Method::PUT, RequestFraming::Chunked),
            "PUT /p?q HTTP/1.1\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_bodys_end_is_told_in_one_way() {
        use BodyLength::{Chunked, Exact, UntilClose};
        for (head, length) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Exact(5)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", Exact(5)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked),
            ("HTTP/1.1 200 OK\r\n\r\n", UntilClose),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Exact(0)),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Exact(0)),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n",
                Exact(1),
            ),
        ] {
            let read = read_all(head, false).unwrap().unwrap();
            assert_eq!(read.framing, Framing::Body(length), "{head}");
            assert!(read.response.headers().get_all(header::CONTENT_LENGTH).iter().count() <= 1);
        }
        let head = read_all("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Body(Exact(0)));
        assert_eq!(head.response.headers()[header::CONTENT_LENGTH], "5");
        let switched = read_all("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", false).unwrap().unwrap();
        assert_eq!(switched.framing, Framing::Switched);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_answer() {
        for head in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx : a\r\n\r\n",
            "HTTP/1.1 099 Odd\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
        ] {
            assert!(read_all(head, false).is_err(), "{head}");
        }
    }

    #[test]
    fn a_connection_bears_another_request_only_if_both_versions_agree_on_it() {
        for (head, persists) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
        ] {
            assert_eq!(read_all(head, false).unwrap().unwrap().rest, persists.then_some(DEFAULT_IDLE_LIMIT), "{head}");
        }
    }

    #[test]
    fn a_connection_rests_for_less_than_its_app_says() {
        let rest = |said: &str| {
            let lines: String = said.split('|').map(|line| format!("keep-alive: {line}\r\n")).collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n");
            read_all(&head, false).unwrap().unwrap().rest
        };
        for (said, milliseconds) in [
            ("timeout=5", 4_000),
            ("timeout=5, max=100", 4_000),
            ("max=100 , Timeout = \"10\"", 9_000),
            ("timeout=2", 1_000),
            ("timeout=1", 500),
            ("timeout=20|timeout=10", 9_000),
            ("timeout=75", 30_000),
            ("timeout=18446744073709551615", 30_000),
            // What says nothing that can be read.
            ("timeout", 4_000),
            ("timeout=soon", 4_000),
            ("timeout=-1", 4_000),
            ("", 4_000),
        ] {
            assert_eq!(rest(said), Some(Duration::from_millis(milliseconds)), "{said}");
        }
        assert_eq!(rest("timeout=0"), None);
        assert_eq!(rest("timeout=5|timeout=0"), None);
    }

    #[test]
    fn a_head_in_parts_is_waited_for_and_one_without_end_is_not() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        for end in 0..whole.len() {
            assert!(read_all(whole.get(..end).unwrap(), false).unwrap().is_none());
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(MAX_HEAD_BYTES as usize));
        assert!(read_all(&endless, false).is_err());
        let lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: a\r\n".repeat(count));
        assert!(read_all(&lines(MAX_FIELDS as usize), false).unwrap().is_some());
        assert!(read_all(&lines(MAX_FIELDS as usize + 1), false).is_err());
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES as usize));
        assert!(read_all(&long, false).is_err(), "also where it comes all at once");
    }
}
