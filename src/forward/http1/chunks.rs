//! A body in chunks as it is read (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

use super::Http1Error;

/// The idle_limit extension of a chunk, which nobody reads.
const MAX_CHUNK_LINE: usize = 4 * 1024;
/// The idle_limit trailers: as long as a head, as they may be in HTTP/2.
const MAX_TRAILER_BYTES: usize = super::head::MAX_HEAD_BYTES as usize;
const MAX_TRAILERS: usize = super::head::MAX_FIELDS as usize;

/// What is next in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Data(Bytes),
    /// Its trailers; nothing follows.
    Trailers(HeaderMap),
    /// Its end, without trailers.
    End,
}

/// Reads chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum ChunkDecoder {
    /// Before a chunk's size.
    #[default]
    Size,
    /// Within a chunk, so far from its end.
    Data(u64),
    /// Before the line end that closes it.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
}

impl ChunkDecoder {
    /// Takes what is next off `buffer`; `None` if it is not there yet.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Decoded>, Http1Error> {
        loop {
            match self {
                Self::Size => {
                    let Some((size, line)) = size(buffer)? else { return Ok(None) };
                    buffer.advance(line);
                    *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                }
                Self::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Some(Decoded::Data(buffer.split_to(here).freeze())));
                }
                Self::DataEnd => match &**buffer {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(None),
                    [..] => return Err(Http1Error::AmbiguousFraming("has more in a chunk than it says")),
                },
                Self::Trailers => return trailers(buffer),
            }
        }
    }
}

/// A chunk's size, and how long the line is that says it.
fn size(buffer: &[u8]) -> Result<Option<(u64, usize)>, Http1Error> {
    const UNUSABLE: Http1Error = Http1Error::AmbiguousFraming("has no usable size of a chunk");
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return if buffer.len() <= MAX_CHUNK_LINE {
            Ok(None)
        } else {
            Err(Http1Error::AmbiguousFraming("has too long a line before a chunk"))
        };
    };
    let line = buffer.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(UNUSABLE)?;
    if line.len() > MAX_CHUNK_LINE || line.contains(&b'\r') {
        return Err(UNUSABLE);
    }
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(UNUSABLE);
    }
    let text = std::str::from_utf8(digits).map_err(|_| UNUSABLE)?;
    let size = u64::from_str_radix(text, 16).map_err(|_| UNUSABLE)?;
    Ok(Some((size, end + 1)))
}

fn trailers(buffer: &mut BytesMut) -> Result<Option<Decoded>, Http1Error> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(Decoded::End));
    }
    let mut fields = [EMPTY_HEADER; MAX_TRAILERS];
    let Status::Complete((length, fields)) = httparse::parse_headers(buffer, &mut fields)? else {
        return if buffer.len() <= MAX_TRAILER_BYTES {
            Ok(None)
        } else {
            Err(Http1Error::AmbiguousFraming("has too long trailers"))
        };
    };
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Http1Error::AmbiguousFraming("has no trailer"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Http1Error::AmbiguousFraming("has no trailer"))?;
        map.append(name, value);
    }
    buffer.advance(length);
    Ok(Some(Decoded::Trailers(map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text`, which comes in pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<(String, Option<HeaderMap>, usize), Http1Error> {
        let (mut chunks, mut buffer, mut body) = (ChunkDecoder::default(), BytesMut::new(), String::new());
        let mut more = text.as_bytes().chunks(step);
        loop {
            match chunks.next(&mut buffer)? {
                Some(Decoded::Data(data)) => body.push_str(std::str::from_utf8(&data).unwrap()),
                Some(Decoded::Trailers(map)) => return Ok((body, Some(map), buffer.len())),
                Some(Decoded::End) => return Ok((body, None, buffer.len())),
                None => buffer.extend_from_slice(more.next().ok_or(Http1Error::Ended)?),
            }
        }
    }

    #[test]
    fn chunks_are_joined_however_they_come() {
        for step in 1..40 {
            let (body, trailers, _) = read("5\r\nhello\r\n00A;a=\"b\"\r\n, everyone\r\n1 \r\n!\r\n0\r\n\r\n", step).unwrap();
            assert_eq!((body.as_str(), trailers), ("hello, everyone!", None));
            let (body, trailers, _) = read("1\r\na\r\n0\r\nx-sum: 5\r\n\r\n", step).unwrap();
            assert_eq!((body.as_str(), trailers.unwrap()["x-sum"].as_bytes()), ("a", &b"5"[..]));
        }
        assert_eq!(read("0\r\n\r\nHTTP/1.1 200", 100).unwrap().2, 12, "what follows is left");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for odd in [
            "\r\n",
            "x\r\n",
            "-1\r\na\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            " 1\r\na\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "10000000000000000\r\na",
            "1;a\rb\r\na\r\n",
            "1\r\na\r\n0\r\nx\r\n\r\n",
            "1\r\na\r\n0\r\nx : y\r\n\r\n",
        ] {
            for step in [1, 100] {
                assert!(matches!(read(odd, step), Err(Http1Error::AmbiguousFraming(_) | Http1Error::Malformed(_))), "{odd:?}");
            }
        }
        for endless in [format!("1;{}", "a".repeat(MAX_CHUNK_LINE)), format!("0\r\nx: {}", "a".repeat(MAX_TRAILER_BYTES))] {
            assert!(matches!(read(&endless, 1000), Err(Http1Error::AmbiguousFraming(_))));
        }
    }
}
