//! The fuzz target of responses over HTTP/1.1: heads, and bodies in chunks.

mod strict_reader;

use bytes::BytesMut;
use http::StatusCode;

use super::{
    body_decoder::{BodyDecoder, BodyStep},
    error::Http1Error,
    limits::MAX_FIELDS,
    response_head::{BodyLength, ParsedHead, ResponseFraming, parse_response_head},
};
use crate::fuzz::run;

use strict_reader::{Follows, Heads, Refused};

/// What is read of a connection: the statuses, how the body ends, its data, and its trailers.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    statuses: Vec<StatusCode>,
    framing: ResponseFraming,
    data: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    left: usize,
    /// The final head as it stands there.
    head: Vec<u8>,
}

/// Reads a response that comes in pieces and ends with the connection.
fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Parsed, Http1Error> {
    let (mut buffer, mut pieces, mut statuses) = (BytesMut::new(), pieces.into_iter(), Vec::new());
    let (final_head, head) = loop {
        let before = buffer.clone();
        match parse_response_head(&mut buffer, false)? {
            Some(ParsedHead::Interim(interim)) => statuses.push(interim.status()),
            Some(ParsedHead::Final(head)) => break (head, before[..before.len() - buffer.len()].to_vec()),
            None => buffer.extend_from_slice(pieces.next().ok_or(Http1Error::UnexpectedEnd)?),
        }
    };
    statuses.push(final_head.response.status());
    let mut parsed = Parsed { statuses, framing: final_head.framing, data: Vec::new(), trailers: Vec::new(), left: 0, head };
    if let ResponseFraming::Body(length) = final_head.framing {
        let mut decoder = BodyDecoder::new(length);
        loop {
            let (frame, is_last) = match decoder.decode(&mut buffer)? {
                BodyStep::Frame(frame) => (Some(frame), false),
                BodyStep::Last(frame) => (frame, true),
                BodyStep::NeedsInput => match pieces.next() {
                    Some(piece) => {
                        buffer.extend_from_slice(piece);
                        continue;
                    }
                    None => {
                        decoder.end_of_connection()?;
                        break;
                    }
                },
            };
            if let Some(trailers) = frame.as_ref().and_then(|frame| frame.trailers_ref()) {
                parsed.trailers = trailers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
            }
            parsed.data.extend(frame.and_then(|frame| frame.into_data().ok()).unwrap_or_default());
            if is_last {
                break;
            }
        }
    }
    parsed.left = buffer.len() + pieces.map(<[u8]>::len).sum::<usize>();
    Ok(parsed)
}

/// The heads of a response, as [`strict_reader::read`] has them.
fn heads(data: &[u8]) -> Result<Heads, Http1Error> {
    let (mut buffer, mut statuses) = (BytesMut::from(data), Vec::new());
    let head = loop {
        match parse_response_head(&mut buffer, false)?.ok_or(Http1Error::UnexpectedEnd)? {
            ParsedHead::Interim(interim) => statuses.push(interim.status().as_u16()),
            ParsedHead::Final(head) => break head,
        }
    };
    statuses.push(head.response.status().as_u16());
    let fields = head.response.headers().iter();
    let mut fields: Vec<_> = fields.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let follows = match head.framing {
        ResponseFraming::Upgraded => Follows::AnotherProtocol,
        ResponseFraming::Body(BodyLength::Exact(0)) => Follows::Nothing,
        ResponseFraming::Body(BodyLength::Exact(bytes)) => Follows::Bytes(bytes),
        ResponseFraming::Body(BodyLength::Chunked) => Follows::Chunks,
        ResponseFraming::Body(BodyLength::UntilClose) => Follows::UntilClose,
    };
    Ok(Heads { statuses, fields, follows, left: buffer.len() })
}

/// What the strict reader takes is taken, and read as the same; what it refuses is refused, or taken for a reason that it lists.
fn compare_with_strict_reader(data: &[u8]) -> Result<Heads, Refused> {
    let strict = strict_reader::read(data, MAX_FIELDS as usize);
    match (&strict, heads(data)) {
        (Ok(strict), found) => assert_eq!(found.as_ref().map_err(ToString::to_string), Ok(strict)),
        (Err(refused), Ok(found)) => {
            assert!(refused.may_be_taken().is_some(), "taken as {found:?}, by a strict reader refused as {refused:?}")
        }
        (Err(_), Err(_)) => {}
    }
    strict
}

/// The values of a field, by a reader that takes lines apart and nothing else.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Vec<&'a [u8]> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let fields = lines.filter_map(|line| line.iter().position(|byte| *byte == b':').map(|at| (&line[..at], &line[at + 1..])));
    fields.filter(|(found, _)| found.trim_ascii().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_ascii()).collect()
}

/// A response is read alike however it is split, and its body ends in the one way that its head says.
#[test]
fn http1_response() {
    let words = [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding",
        "content-length",
        " \t",
        "\n",
        "\r",
        "5\r\n",
        "0\r\n\r\n",
        ";a=b",
        "HTTP/1.0 ",
        "HTTP/1.1 100 Continue\r\n\r\n",
        " 204 ",
        ": ",
    ];
    run("http1_response", &words, |data| {
        let _strict = compare_with_strict_reader(data);
        let whole = parse([data]).map_err(drop);
        let step = data.len() / 8 + 1;
        for at in (0..=data.len()).step_by(step) {
            assert_eq!(parse([&data[..at], &data[at..]]).map_err(drop), whole, "split at {at}");
        }
        assert_eq!(parse(data.chunks(1)).map_err(drop), whole, "byte by byte");
        let Ok(parsed) = whole else { return };
        let (lengths, codings) = (field(&parsed.head, b"content-length"), field(&parsed.head, b"transfer-encoding"));
        assert!(lengths.is_empty() || codings.is_empty(), "a head with two framings");
        match parsed.framing {
            ResponseFraming::Body(BodyLength::Chunked) => assert_eq!(codings.len(), 1),
            ResponseFraming::Body(BodyLength::UntilClose) => assert!(lengths.is_empty() && codings.is_empty()),
            ResponseFraming::Body(BodyLength::Exact(bytes)) => {
                let has_no_body = matches!(parsed.statuses.last().unwrap().as_u16(), 204 | 304);
                assert!(
                    has_no_body
                        || lengths.iter().all(|length| *length == bytes.to_string().as_bytes() || length.starts_with(b"0"))
                );
                assert_eq!(parsed.data.len() as u64, bytes);
            }
            ResponseFraming::Upgraded => assert_eq!(parsed.statuses.last(), Some(&StatusCode::SWITCHING_PROTOCOLS)),
        }
    });
}

/// The strict reader itself, for the comparison to mean anything: what it takes, and why it refuses the rest.
#[test]
fn the_strict_reader_tells_heads_apart() {
    let follows = |head: &str| compare_with_strict_reader(head.as_bytes()).map(|heads| heads.follows);
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok(Follows::Bytes(5))),
        ("HTTP/1.1 200 \r\ntransfer-encoding:Chunked\t\r\n\r\n", Ok(Follows::Chunks)),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n", Ok(Follows::UntilClose)),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Ok(Follows::AnotherProtocol)),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Ok(Follows::Nothing)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Err(Refused::Incomplete)),
        ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", Err(Refused::Malformed)),
        ("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", Err(Refused::Malformed)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refused::Ambiguous)),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err(Refused::Ambiguous)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(Refused::Ambiguous)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Err(Refused::RepeatedLength)),
        ("HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", Err(Refused::BareLineFeed)),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Refused::EmptyLine)),
        ("HTTP/1.1 200\r\n\r\n", Err(Refused::NoSpace)),
        ("HTTP/1.1 999 Beyond\r\n\r\n", Err(Refused::UnknownClass)),
    ] {
        assert_eq!(follows(head), expected, "{head:?}");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(MAX_FIELDS as usize + 1));
    assert_eq!(follows(&many), Err(Refused::TooManyFields));
}
