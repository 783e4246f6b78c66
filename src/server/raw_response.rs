//! Responses of HTTP/1 that are written without hyper: interim ones, which it cannot send, and those to requests that it cannot
//! parse.

use bytes::Bytes;
use http::{Response, header};

/// Writes the status line and the fields, without the empty line that ends a head.
fn write_head<B>(out: &mut Vec<u8>, response: &Response<B>) {
    let (status, reason) = (response.status(), response.status().canonical_reason().unwrap_or_default());
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Writes an interim response (RFC 9110 section 15.2), which has no body.
pub(super) fn write_interim(out: &mut Vec<u8>, response: &Response<()>) {
    write_head(out, response);
    out.extend_from_slice(b"\r\n");
}

/// The last response on a connection, with the date of the response that it is written in place of.
pub(super) fn last_response(response: &Response<Bytes>, replaced: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    write_head(&mut out, response);
    let is_date = |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
    if let Some(date) = replaced.split(|byte| *byte == b'\n').find(is_date) {
        out.extend_from_slice(date.trim_ascii_end());
        out.extend_from_slice(b"\r\n");
    }
    let (length, connection) = (header::CONTENT_LENGTH, header::CONNECTION);
    out.extend_from_slice(format!("{length}: {}\r\n{connection}: close\r\n\r\n", response.body().len()).as_bytes());
    out.extend_from_slice(response.body());
    out.into()
}

/// The status of the response whose head these bytes begin; `None` if they begin something else.
pub(super) fn parse_status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_response_has_a_length_and_closes_the_connection() {
        let response = Response::builder().status(431).header("a", "b").body(Bytes::from_static(b"no")).unwrap();
        let replaced = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(
            last_response(&response, replaced),
            "HTTP/1.1 431 Request Header Fields Too Large\r\na: b\r\ndate: now\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        );
        assert_eq!((parse_status(replaced), parse_status(b"\0\0\x06"), parse_status(b"HTTP/1.1 x")), (Some(431), None, None));
    }
}
