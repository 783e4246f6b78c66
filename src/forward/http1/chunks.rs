//! A body in chunks as it is read (RFC 9112 section 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use httparse::{EMPTY_HEADER, Status};

use super::{
    error::Http1Error,
    limits::{MAX_FIELDS, MAX_HEAD_BYTES},
    response_head::header_map,
};

/// The longest line before a chunk, in bytes without its end: a size, and extensions, which nobody reads.
const MAX_CHUNK_LINE: usize = 4 * 1024;

/// What comes next in a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Data, which is not always a whole chunk.
    Data(Bytes),
    /// The end, with the trailer section if there is one; nothing of the body follows.
    End(Option<HeaderMap>),
}

/// Decodes chunks.
#[derive(Clone, Copy, Debug, Default)]
pub enum ChunkDecoder {
    /// Before the size of a chunk.
    #[default]
    Size,
    /// Within the data of a chunk, of which so many bytes are left.
    Data(u64),
    /// Before the line end that closes a chunk.
    DataEnd,
    /// Behind the last chunk, before the end of the trailer section.
    Trailers,
}

impl ChunkDecoder {
    /// Takes what comes next off the front of `buffer`; `None` if more bytes are needed for that.
    ///
    /// # Errors
    /// [`Http1Error`] if this is not a chunked body.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Decoded>, Http1Error> {
        loop {
            match self {
                Self::Size => {
                    let Some(line) = parse_chunk_line(buffer)? else { return Ok(None) };
                    buffer.advance(line.bytes);
                    *self = if line.size == 0 { Self::Trailers } else { Self::Data(line.size) };
                }
                Self::Data(_) if buffer.is_empty() => return Ok(None),
                Self::Data(left) => {
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
                    [..] => return Err(Http1Error::AmbiguousFraming("a chunk that is longer than it says")),
                },
                Self::Trailers => return Ok(parse_trailers(buffer)?.map(Decoded::End)),
            }
        }
    }
}

/// The line before the data of a chunk.
struct ChunkLine {
    /// The size of the data, in bytes.
    size: u64,
    /// The length of the line, in bytes.
    bytes: usize,
}

fn parse_chunk_line(buffer: &[u8]) -> Result<Option<ChunkLine>, Http1Error> {
    const INVALID: Http1Error = Http1Error::AmbiguousFraming("an invalid chunk size");
    const TOO_LONG: Http1Error = Http1Error::TooLong("line before a chunk");
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        // The last byte may be the first of the line's end.
        return if buffer.len() <= MAX_CHUNK_LINE + 1 { Ok(None) } else { Err(TOO_LONG) };
    };
    let line = buffer.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(INVALID)?;
    if line.len() > MAX_CHUNK_LINE {
        return Err(TOO_LONG);
    }
    if line.contains(&b'\r') {
        return Err(INVALID);
    }
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(INVALID);
    }
    let text = std::str::from_utf8(digits).map_err(|_| INVALID)?;
    let size = u64::from_str_radix(text, 16).map_err(|_| INVALID)?;
    Ok(Some(ChunkLine { size, bytes: end + 1 }))
}

/// Takes the trailer section, which may be empty, off the front of `buffer`; `None` if it is not complete yet.
fn parse_trailers(buffer: &mut BytesMut) -> Result<Option<Option<HeaderMap>>, Http1Error> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(None));
    }
    let mut fields = [EMPTY_HEADER; MAX_FIELDS as usize];
    match httparse::parse_headers(buffer, &mut fields)? {
        Status::Complete((length, fields)) if length <= MAX_HEAD_BYTES as usize => {
            let trailers = header_map(fields)?;
            buffer.advance(length);
            Ok(Some(Some(trailers)))
        }
        Status::Partial if buffer.len() < MAX_HEAD_BYTES as usize => Ok(None),
        Status::Complete(_) | Status::Partial => Err(Http1Error::TooLong("trailer section")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes a body that comes in pieces: its data, its trailers, and how many bytes behind it are left.
    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(String, Option<HeaderMap>, usize), Http1Error> {
        let (mut decoder, mut buffer, mut body) = (ChunkDecoder::default(), BytesMut::new(), String::new());
        let mut pieces = pieces.into_iter();
        loop {
            match decoder.decode(&mut buffer)? {
                Some(Decoded::Data(data)) => body.push_str(std::str::from_utf8(&data).unwrap()),
                Some(Decoded::End(trailers)) => {
                    return Ok((body, trailers, buffer.len() + pieces.map(<[u8]>::len).sum::<usize>()));
                }
                None => buffer.extend_from_slice(pieces.next().ok_or(Http1Error::UnexpectedEnd)?),
            }
        }
    }

    const BODIES: [&str; 3] = [
        "5\r\nhello\r\n00A;a=\"b\"\r\n, everyone\r\n1 \r\n!\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\nx-sum: 5\r\n\r\n",
        "0\r\n\r\nHTTP/1.1 200",
    ];

    const REFUSED: [&str; 13] = [
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
    ];

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let [first, second, third] = BODIES.map(|body| decode([body.as_bytes()]).unwrap());
        assert_eq!(first, ("hello, everyone!".to_owned(), None, 0));
        assert_eq!((second.0.as_str(), second.1.unwrap()["x-sum"].as_bytes()), ("a", &b"5"[..]));
        assert_eq!(third, (String::new(), None, 12));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for odd in REFUSED {
            let refused = decode([odd.as_bytes()]);
            assert!(matches!(refused, Err(Http1Error::AmbiguousFraming(_) | Http1Error::Syntax(_))), "{odd:?}");
        }
    }

    #[test]
    fn a_body_is_read_alike_however_it_is_split() {
        for text in BODIES.into_iter().chain(REFUSED) {
            let whole = decode([text.as_bytes()]).map_err(drop);
            for (first, second) in (0..=text.len()).map(|at| text.as_bytes().split_at(at)) {
                assert_eq!(decode([first, second]).map_err(drop), whole, "{first:?} {second:?}");
            }
            assert_eq!(decode(text.as_bytes().chunks(1)).map_err(drop), whole, "{text}");
        }
    }

    #[test]
    fn lines_and_trailers_are_bounded_however_they_are_split() {
        let line = |bytes: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "a".repeat(bytes - 2));
        let trailers = |bytes: usize| format!("0\r\nx:{}\r\n\r\n", "a".repeat(bytes - 6));
        for (text, is_accepted) in [
            (line(MAX_CHUNK_LINE), true),
            (line(MAX_CHUNK_LINE + 1), false),
            (trailers(MAX_HEAD_BYTES as usize), true),
            (trailers(MAX_HEAD_BYTES as usize + 1), false),
        ] {
            for step in [text.len(), text.len() - 1, text.len() - 2, text.len() - 3, MAX_CHUNK_LINE + 1, 1000] {
                assert_eq!(decode(text.as_bytes().chunks(step)).is_ok(), is_accepted, "{} bytes by {step}", text.len());
            }
        }
        for endless in [format!("1;{}", "a".repeat(MAX_CHUNK_LINE)), format!("0\r\nx: {}", "a".repeat(MAX_HEAD_BYTES as usize))] {
            assert!(matches!(decode(endless.as_bytes().chunks(1000)), Err(Http1Error::TooLong(_))));
        }
    }
}
