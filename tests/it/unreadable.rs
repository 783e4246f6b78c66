//! Requests that the server refuses before anybody has read them: each such answer is one of ours, with a name, and leaves a
//! line. And how large heads may be, which is the same in every version and both ways.

use std::net::SocketAddr;

use http::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{
        World,
        frames::{self, Frames},
        logs::lines_with,
        wire::{app, read_head},
    },
    protocols::{http2, whole},
};

/// Sends this and reads to the end.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_by_name_and_leaves_a_line() {
    let world = World::start().await;
    let many = format!("GET / HTTP/1.1\r\nhost: app.test\r\n{}\r\n", "x: y\r\n".repeat(600));
    let long = format!("GET / HTTP/1.1\r\nhost: app.test\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let target = format!("GET /{} HTTP/1.1\r\nhost: app.test\r\n\r\n", "a".repeat(65_535));
    for (what, bytes, status, answer) in [
        ("a folded line", "GET / HTTP/1.1\r\nhost: app.test\r\nx: a\r\n b\r\n\r\n", 400, "bad_request"),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "bad_request",
        ),
        ("a target with a space", "GET /a b HTTP/1.1\r\nhost: app.test\r\n\r\n", 400, "bad_request"),
        ("a target that is none", "GET a/b HTTP/1.1\r\nhost: app.test\r\n\r\n", 400, "bad_request"),
        ("a version that is none", "GET / HTTP/9.9\r\nhost: app.test\r\n\r\n", 400, "bad_request"),
        ("a method that is none", "G(T / HTTP/1.1\r\nhost: app.test\r\n\r\n", 400, "bad_request"),
        ("TLS", "\x16\x03\x01\x02\r\n\r\n", 400, "bad_request"),
        ("a NUL", "GET / HTTP/1.1\r\nhost: app.test\r\nx: a\0b\r\n\r\n", 400, "bad_request"),
        ("an unknown coding", "POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: x\r\n\r\n", 400, "bad_request"),
        ("many lines", &many, 431, "head_too_large"),
        ("a long head", &long, 431, "head_too_large"),
        ("a long target", &target, 431, "head_too_large"),
    ] {
        // First on its connection, and behind a request that was read.
        let behind = format!("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n{bytes}");
        for bytes in [bytes, &behind] {
            let answered = raw(world.address(), bytes.as_bytes()).await;
            let last = answered.rfind("HTTP/1.1 ").map_or("", |at| answered.split_at(at).1);
            let (head, body) = last.split_once("\r\n\r\n").unwrap_or_default();
            // Which of the two is noticed first is a matter of how it comes.
            let is_target = what == "a long target" && head.starts_with("HTTP/1.1 414 ");
            let (status, answer) = if is_target { (414, "target_too_long") } else { (status, answer) };
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answered}");
            assert!(head.contains(&format!("evergate-response: {answer}\r\n")), "{what}: {head}");
            assert!(head.contains("\r\nconnection: close") && head.contains("\r\ndate: "), "{what}: {head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{what}: {head}");
            let is_page = head.contains("content-type: text/html");
            // The others are read, and do not ask for a page, or are malformed as no browser's are.
            assert!(is_page || what != "many lines", "{what}: {head}");
            assert!(!is_page || status != 400, "{what}: {head}");
            let id = if is_page {
                assert!(head.contains("content-language: en, de\r\n"), "nobody knows what is read there: {head}");
                assert!(body.contains("<html lang=\"en\">") && body.contains("<div lang=\"de\">"), "{what}: {body}");
                let is_cured = body.contains("Delete this site&#39;s cookies") && body.contains("Löschen Sie die Cookies");
                assert_eq!(is_cured, status == 431, "{what}: {body}");
                body.split("<footer>Request ").nth(1).unwrap().split('<').next().unwrap().to_owned()
            } else {
                let body: serde_json::Value = serde_json::from_str(body).unwrap();
                body["request_id"].as_str().unwrap().to_owned()
            };
            let lines = lines_with(&["evergate::access", &id]);
            assert_eq!(lines.len(), 1, "{what}");
            let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
            assert_eq!((&line["http.response.status_code"], &line["response"]), (&status.into(), &answer.into()), "{what}");
        }
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn three_hundred_cookies_are_one_line_over_http_2_too() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut requests = http2(world.address()).await;
    let mut ask = async |name: &'static str| {
        let mut request = Request::get("http://app.test/").header("cookie", visitor.cookie_header());
        for number in 0..300 {
            request = request.header(name, format!("c{number}=v"));
        }
        requests.send_request(request.body(whole("")).unwrap()).await.unwrap().status()
    };
    assert_eq!(ask("cookie").await, StatusCode::OK);
    assert_eq!(ask("x-line").await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let seen = world.upstream.last();
    assert_eq!(seen.headers.get_all("cookie").iter().count(), 1);
    assert!(seen.header("cookie").unwrap().contains("c0=v; c1=v; "));
}

/// A head of a request with so many more lines, of so many bytes each, over HTTP/1.1 and over HTTP/2: their statuses.
async fn statuses(world: &World, cookie: &str, lines: usize, length: usize) -> [String; 2] {
    let value = "v".repeat(length);
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let fields = format!("x-line: {value}\r\n").repeat(lines);
    let head = format!("GET / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    let by_1 = String::from_utf8_lossy(&status[9..]).into_owned();

    let mut client = Frames::connect(world.address()).await;
    let mut block = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", "/")] {
        block.extend(frames::field(name, value));
    }
    block.extend(frames::field("cookie", cookie));
    block.extend(frames::field("x-line", &value).repeat(lines));
    let (first, rest) = block.split_at(block.len().min(16_000));
    client.send(&frames::frame(frames::HEADERS, frames::END_STREAM, 1, first)).await.unwrap();
    for piece in rest.chunks(16_000) {
        client.send(&frames::frame(9, 0, 1, piece)).await.unwrap();
    }
    client.send(&frames::frame(9, frames::END_HEADERS, 1, &[])).await.unwrap();
    let answer = loop {
        let next = client.next().await.expect("an answer");
        if next.kind == frames::HEADERS {
            break next;
        }
    };
    // Literal or from the static table, the digits or their index tell it.
    let by_2 = match answer.payload.first() {
        Some(0x88) => "200".to_owned(),
        _ => "431".to_owned(),
    };
    [by_1, by_2]
}

#[tokio::test]
async fn a_request_may_have_hundreds_of_lines_and_64_kib_in_every_version() {
    let address = app(|mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let cookie = world.signed_in().await.cookie_header();
    for (lines, length, expected) in
        [(150, 10, "200"), (240, 10, "200"), (270, 10, "431"), (30, 2_000, "200"), (40, 2_000, "431")]
    {
        assert_eq!(statuses(&world, &cookie, lines, length).await, [expected, expected], "{lines} lines of {length}");
    }
}

#[tokio::test]
async fn an_answer_may_have_hundreds_of_lines_and_128_kib_in_every_version() {
    /// How many lines, and how long they are, is in the path: `/lines/length`.
    fn wanted(path: &str) -> (usize, String) {
        let mut numbers = path.trim_start_matches('/').split('/').map(|number| number.parse::<usize>().unwrap_or(0));
        (numbers.next().unwrap_or(0), "v".repeat(numbers.next().unwrap_or(0)))
    }
    let old = app(|mut stream| async move {
        while let Some((head, _)) = read_head(&mut stream).await {
            let (lines, value) = wanted(head.split(' ').nth(1).unwrap());
            let fields = format!("x-line: {value}\r\n").repeat(lines);
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{fields}\r\n").as_bytes()).await.unwrap();
        }
    })
    .await;
    let new = app(|stream| async move {
        let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
            let (lines, value) = wanted(request.uri().path());
            let answer = (0..lines).fold(http::Response::builder(), |answer, _| answer.header("x-line", &value));
            Ok::<_, std::convert::Infallible>(answer.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap())
        });
        let executor = hyper_util::rt::TokioExecutor::new();
        let builder = hyper::server::conn::http2::Builder::new(executor);
        let _ended = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
    })
    .await;
    for (address, protocol) in [(old, "http1"), (new, "http2")] {
        let settings = [("upstream_url", format!("http://{address}")), ("upstream_protocol", protocol.to_owned())];
        let world = settings.iter().fold(World::build(), |world, (name, value)| world.set(name, value)).start().await;
        let cookie = world.signed_in().await.cookie_header();
        for (lines, length, expected) in [(150, 10, 200), (240, 10, 200), (270, 10, 502), (60, 2_000, 200), (80, 2_000, 502)] {
            let head =
                format!("GET /{lines}/{length} HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n");
            let answer = raw(world.address(), head.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{protocol} {lines} {length}");
            if expected == 200 {
                assert_eq!(answer.matches("x-line: v").count(), lines);
            }
        }
    }
}
