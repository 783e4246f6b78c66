//! The head of a request as it is written (RFC 9112 section 3).

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method, header};

/// The space that most heads fit into, in bytes.
const USUAL_HEAD_BYTES: usize = 2 * 1024;

/// How the server is told where a request's body ends (RFC 9112 section 6), or what of the body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// There is no body, or no more of it.
    Nothing,
    /// So many bytes follow.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
}

/// Appends the head of a request to `out`. The types of method, names and values keep them from splitting a line; this function
/// sees to it that what is said of the body is true and said once.
pub fn write_request_head<'a>(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    framing: RequestFraming,
) {
    out.reserve(USUAL_HEAD_BYTES);
    for part in [method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in fields.filter(|(name, _)| **name != header::CONTENT_LENGTH && **name != header::TRANSFER_ENCODING) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    match framing {
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn what_a_head_says_of_the_body_is_true_and_said_once() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-length", "5"), ("content-length", ""), ("transfer-encoding", "chunked"), ("x-a", "b")] {
            headers.append(name, value.parse().unwrap());
        }
        let written = |method, framing| {
            let mut out = BytesMut::new();
            write_request_head(&mut out, &method, "/p?q", headers.iter(), framing);
            String::from_utf8(out.to_vec()).unwrap()
        };
        for (method, framing, head) in [
            (Method::GET, RequestFraming::Nothing, "GET /p?q HTTP/1.1\r\nx-a: b\r\n\r\n"),
            (Method::POST, RequestFraming::Nothing, "POST /p?q HTTP/1.1\r\nx-a: b\r\ncontent-length: 0\r\n\r\n"),
            (Method::GET, RequestFraming::Length(7), "GET /p?q HTTP/1.1\r\nx-a: b\r\ncontent-length: 7\r\n\r\n"),
            (Method::PUT, RequestFraming::Chunked, "PUT /p?q HTTP/1.1\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"),
        ] {
            assert_eq!(written(method, framing), head);
        }
    }
}
