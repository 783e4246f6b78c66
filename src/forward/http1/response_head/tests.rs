use super::*;

/// Parses `text`, which comes in pieces, up to the final head.
fn parse_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    is_head_request: bool,
) -> Result<Option<ResponseHead>, Http1Error> {
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(parsed) = parse_response_head(&mut buffer, is_head_request)? {
            if let ParsedHead::Final(head) = parsed {
                return Ok(Some(head));
            }
        }
    }
    Ok(None)
}

fn parse(text: &str, is_head_request: bool) -> Result<Option<ResponseHead>, Http1Error> {
    parse_pieces([text.as_bytes()], is_head_request)
}

/// Heads whose end is told in one way, and how.
const CLEAR: &[(&str, BodyLength)] = &[
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", BodyLength::Exact(5)),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\n", BodyLength::Exact(5)),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", BodyLength::Chunked),
    ("HTTP/1.1 200 OK\r\n\r\n", BodyLength::UntilClose),
    ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", BodyLength::Exact(0)),
    ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", BodyLength::Exact(0)),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n",
        BodyLength::Exact(1),
    ),
];

/// Heads that are none, or that could be read in two ways.
const REFUSED: &[&str] = &[
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
];

#[test]
fn a_bodys_end_is_told_in_one_way() {
    for (text, length) in CLEAR {
        let head = parse(text, false).unwrap().unwrap();
        assert_eq!(head.framing, ResponseFraming::Body(*length), "{text}");
        assert!(head.response.headers().get_all(header::CONTENT_LENGTH).iter().count() <= 1);
    }
    let head = parse("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true).unwrap().unwrap();
    assert_eq!(head.framing, ResponseFraming::Body(BodyLength::Exact(0)));
    assert_eq!(head.response.headers()[header::CONTENT_LENGTH], "5");
    let upgraded = parse("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", false).unwrap().unwrap();
    assert_eq!(upgraded.framing, ResponseFraming::Upgraded);
}

#[test]
fn what_could_be_read_in_two_ways_is_no_response() {
    for text in REFUSED {
        assert!(parse(text, false).is_err(), "{text}");
    }
}

#[test]
fn a_head_is_read_alike_however_it_is_split() {
    for text in CLEAR.iter().map(|(text, _)| text).chain(REFUSED) {
        let outcome = |head: Result<Option<ResponseHead>, Http1Error>| {
            let head = head.map_err(drop)?.ok_or(())?;
            Ok::<_, ()>((head.framing, head.idle_limit, head.response.status(), head.response.headers().clone()))
        };
        let whole = outcome(parse(text, false));
        for (first, second) in (0..=text.len()).map(|at| text.as_bytes().split_at(at)) {
            assert_eq!(outcome(parse_pieces([first, second], false)), whole, "{first:?} {second:?}");
        }
        assert_eq!(outcome(parse_pieces(text.as_bytes().chunks(1), false)), whole, "{text}");
    }
}

#[test]
fn a_connection_takes_another_request_only_if_both_versions_agree_on_it() {
    for (text, persists) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, Close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\n", false),
    ] {
        assert_eq!(parse(text, false).unwrap().unwrap().idle_limit, persists.then_some(DEFAULT_IDLE_LIMIT), "{text}");
    }
}

#[test]
fn a_connection_takes_no_other_request_where_content_may_follow_that_its_response_does_not_have() {
    for (text, is_head_request, persists) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", true, false),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, true),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", false, true),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", false, false),
        ("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", false, false),
        ("HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", false, true),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", false, false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", false, true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false, true),
    ] {
        let head = parse(text, is_head_request).unwrap().unwrap();
        assert_eq!(head.idle_limit.is_some(), persists, "{text} {is_head_request}");
    }
}

#[test]
fn a_connection_stays_idle_for_less_than_its_server_says() {
    let limit = |said: &str| {
        let lines: String = said.split('|').map(|line| format!("keep-alive: {line}\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n");
        parse(&text, false).unwrap().unwrap().idle_limit
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
        // What cannot be read says nothing.
        ("timeout", 4_000),
        ("timeout=soon", 4_000),
        ("timeout=-1", 4_000),
        ("", 4_000),
    ] {
        assert_eq!(limit(said), Some(Duration::from_millis(milliseconds)), "{said}");
    }
    assert_eq!(limit("timeout=0"), None);
    assert_eq!(limit("timeout=5|timeout=0"), None);
}

#[test]
fn an_incomplete_head_is_waited_for_and_one_without_end_is_not() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    for end in 0..whole.len() {
        assert!(parse(whole.get(..end).unwrap(), false).unwrap().is_none());
    }
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(MAX_HEAD_BYTES as usize));
    assert!(parse(&endless, false).is_err());
    let lines = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: a\r\n".repeat(count));
    assert!(parse(&lines(MAX_FIELDS as usize), false).unwrap().is_some());
    assert!(parse(&lines(MAX_FIELDS as usize + 1), false).is_err());
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(MAX_HEAD_BYTES as usize));
    assert!(parse(&long, false).is_err(), "also where it comes in one piece");
}
