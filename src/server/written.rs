//! Heads of answers that we write ourselves, because hyper does not: interim ones, and those to requests that cannot be read.

use bytes::Bytes;
use http::{Response, header};

/// Writes the status line and the fields, without the empty line behind them.
fn begin<B>(out: &mut Vec<u8>, response: &Response<B>) {
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

/// Writes an interim answer (RFC 9110 section 15.2), which ends with its head.
pub(super) fn interim(out: &mut Vec<u8>, response: &Response<()>) {
    begin(out, response);
    out.extend_from_slice(b"\r\n");
}

/// A whole answer behind which the connection ends, in place of `hyper`'s own, which has the date in it.
pub(super) fn last(response: &Response<Bytes>, hyper: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    begin(&mut out, response);
    let is_date = |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
    if let Some(date) = hyper.split(|byte| *byte == b'\n').find(is_date) {
        out.extend_from_slice(date.trim_ascii_end());
        out.extend_from_slice(b"\r\n");
    }
    let (length, close) = (header::CONTENT_LENGTH, header::CONNECTION);
    out.extend_from_slice(format!("{length}: {}\r\n{close}: close\r\n\r\n", response.body().len()).as_bytes());
    out.extend_from_slice(response.body());
    out.into()
}

/// The status of an answer that hyper begins to write; nothing, if that is something else.
pub(super) fn status(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"HTTP/1.1 ").or(bytes.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_written_with_what_its_end_is_told_by() {
        let response = Response::builder().status(431).header("a", "b").body(Bytes::from_static(b"no")).unwrap();
        let hyper = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        assert_eq!(
            last(&response, hyper),
            "HTTP/1.1 431 Request Header Fields Too Large\r\na: b\r\ndate: now\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        );
        assert_eq!((status(hyper), status(b"\0\0\x06"), status(b"HTTP/1.1 x")), (Some(431), None, None));
    }
}
