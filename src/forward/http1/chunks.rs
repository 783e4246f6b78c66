//! A body in chunks as it is read (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

use super::Broken;

/// The longest extension of a chunk, which nobody reads.
const LONGEST_EXTENSION: usize = 4 * 1024;
/// The longest trailers: as long as a head, as they may be in HTTP/2.
const LARGEST_TRAILERS: usize = super::head::LARGEST as usize;
const MOST_TRAILERS: usize = super::head::MOST_FIELDS as usize;

/// What is next in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// Its trailers; nothing follows.
    Trailers(HeaderMap),
    /// Its end, without trailers.
    End,
}

/// Reads chunks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Chunks {
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

impl Chunks {
    /// Takes what is next off `buffer`; `None` if it is not there yet.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Broken> {
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
                    return Ok(Some(Piece::Data(buffer.split_to(here).freeze())));
                }
                Self::DataEnd => match &**buffer {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(None),
                    [..] => return Err(Broken::Unclear("has more in a chunk than it says")),
                },
                Self::Trailers => return trailers(buffer),
            }
        }
    }
}

/// A chunk's size, and how long the line is that says it.
fn size(buffer: &[u8]) -> Result<Option<(u64, usize)>, Broken> {
    const UNUSABLE: Broken = Broken::Unclear("has no usable size of a chunk");
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return if buffer.len() <= LONGEST_EXTENSION {
            Ok(None)
        } else {
            Err(Broken::Unclear("has too long a line before a chunk"))
        };
    };
    let line = buffer.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(UNUSABLE)?;
    if line.len() > LONGEST_EXTENSION || line.contains(&b'\r') {
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

fn trailers(buffer: &mut BytesMut) -> Result<Option<Piece>, Broken> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(Piece::End));
    }
    let mut fields = [EMPTY_HEADER; MOST_TRAILERS];
    let Status::Complete((length, fields)) = httparse::parse_headers(buffer, &mut fields)? else {
        return if buffer.len() <= LARGEST_TRAILERS { Ok(None) } else { Err(Broken::Unclear("has too long trailers")) };
    };
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Broken::Unclear("has no trailer"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Broken::Unclear("has no trailer"))?;
        map.append(name, value);
    }
    buffer.advance(length);
    Ok(Some(Piece::Trailers(map)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text`, which comes in pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<(String, Option<HeaderMap>, usize), Broken> {
        let (mut chunks, mut buffer, mut body) = (Chunks::default(), BytesMut::new(), String::new());
        let mut more = text.as_bytes().chunks(step);
        loop {
            match chunks.next(&mut buffer)? {
                Some(Piece::Data(data)) => body.push_str(std::str::from_utf8(&data).unwrap()),
                Some(Piece::Trailers(map)) => return Ok((body, Some(map), buffer.len())),
                Some(Piece::End) => return Ok((body, None, buffer.len())),
                None => buffer.extend_from_slice(more.next().ok_or(Broken::Ended)?),
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
                assert!(matches!(read(odd, step), Err(Broken::Unclear(_) | Broken::Malformed(_))), "{odd:?}");
            }
        }
        for endless in [format!("1;{}", "a".repeat(LONGEST_EXTENSION)), format!("0\r\nx: {}", "a".repeat(LARGEST_TRAILERS))] {
            assert!(matches!(read(&endless, 1000), Err(Broken::Unclear(_))));
        }
    }
}
