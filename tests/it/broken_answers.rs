//! Answers that break off: what came of one reaches its client, always, and then the break does.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    certificates::Authority,
    eventually::{eventually, stands_still},
    figure,
    frames::{self, Frames},
    logs::lines_with,
    wire::{app, read_head},
};

const MEASURED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nx-app: 1\r\n\r\nhalf of it";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-app: 1\r\n\r\na\r\nhalf of it\r\n";
const HEAD_ALONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nx-app: 1\r\n\r\n";

/// How an app ends its connection within an answer.
#[derive(Clone, Copy, Debug)]
enum How {
    Closes,
    Resets,
}

/// An app that answers each request with this, in one piece, and ends the connection; counts the requests.
async fn breaking_app(answer: &'static str, how: How) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let address = app(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            if read_head(&mut stream).await.is_none() {
                return;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            stream.write_all(answer.as_bytes()).await.unwrap();
            if matches!(how, How::Resets) {
                reset(&stream);
            }
        }
    })
    .await;
    (address, asked)
}

/// The stream's end will be a reset.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

async fn world_before(app: SocketAddr, protocol: &str) -> World {
    World::build().set("upstream_url", &format!("http://{app}")).set("upstream_protocol", protocol).start().await
}

/// Asks over HTTP/1.1, and reads until the connection ends.
async fn ask(stream: &mut TcpStream, cookie: &str, path: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ended_or_reset = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn http2(address: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Asks over HTTP/2: the status, what came of the body, and whether it broke off.
async fn ask_http2(sender: &mut SendRequest<Empty<Bytes>>, cookie: &str, path: &str) -> (StatusCode, Vec<u8>, bool) {
    let request = Request::get(format!("http://app.test{path}")).header("cookie", cookie).body(Empty::new()).unwrap();
    sender.ready().await.expect("only streams break");
    let (head, mut body) = sender.send_request(request).await.expect("the head comes").into_parts();
    assert_eq!(head.headers["x-app"], "1");
    let mut got = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => return (head.status, got, true),
            None => return (head.status, got, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_a_broken_answer_reaches_every_client_of_http_1_and_then_the_connection_ends() {
    for answer in [MEASURED, CHUNKED, HEAD_ALONE] {
        for how in [How::Closes, How::Resets] {
            let (address, asked) = breaking_app(answer, how).await;
            let world = world_before(address, "http1").await;
            let cookie = world.signed_in().await.cookie_header();
            let rounds = usize::try_from(figure("BREAKS", 200)).unwrap();
            let before = asked.load(Ordering::Relaxed);
            for _ in 0..rounds {
                let mut stream = TcpStream::connect(world.address()).await.unwrap();
                let got = ask(&mut stream, &cookie, "/").await;
                let came = if answer == HEAD_ALONE { "\r\n\r\n" } else { "half of it" };
                assert!(
                    got.starts_with("HTTP/1.1 200 OK\r\n") && got.trim_end_matches("\r\n").ends_with(came.trim_end()),
                    "{how:?} {got}"
                );
                assert!(got.contains("x-app: 1") && !got.contains("0\r\n\r\n"), "{how:?} {got}");
            }
            assert_eq!(asked.load(Ordering::Relaxed) - before, rounds, "{how:?}: nobody asks twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_a_broken_answer_reaches_every_client_of_http_2_and_then_its_stream_is_reset() {
    for answer in [MEASURED, CHUNKED, HEAD_ALONE] {
        for how in [How::Closes, How::Resets] {
            let (address, _asked) = breaking_app(answer, how).await;
            let world = world_before(address, "http1").await;
            let cookie = world.signed_in().await.cookie_header();
            let mut sender = http2(world.address()).await;
            let came: &[u8] = if answer == HEAD_ALONE { b"" } else { b"half of it" };
            for round in 1..=figure("BREAKS", 200) {
                // Also beyond the empty frames that are sent on one.
                if round % 70 == 0 {
                    sender = http2(world.address()).await;
                }
                let got = ask_http2(&mut sender, &cookie, "/").await;
                assert_eq!(got, (StatusCode::OK, came.to_vec(), true), "{how:?}");
            }
        }
    }
}

/// An app of HTTP/2 that answers with a head and some of a body, and then ends in `end`: frames, behind which it closes.
async fn breaking_http2_app(end: impl Fn(u32) -> Vec<u8> + Clone + Send + Sync + 'static) -> SocketAddr {
    app(move |stream| {
        let end = end.clone();
        async move {
            let Some(mut frames) = Frames::accept(stream).await else { return };
            while let Some(stream) = frames.next_request().await {
                // `:status: 200`, and `x-app: 1`, never indexed.
                let head = [&[0x88, 0x10, 5][..], b"x-app", &[1], b"1"].concat();
                let answer = [
                    frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &head),
                    frames::frame(frames::DATA, 0, stream, b"half of it"),
                    end(stream),
                ];
                if frames.send(&answer.concat()).await.is_none() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_s_reset_or_goodbye_within_an_answer_is_a_break_whatever_code_it_bears() {
    const NO_ERROR: u32 = 0;
    const CANCEL: u32 = 8;
    let reset = |code: u32| move |stream: u32| frames::frame(frames::RST_STREAM, 0, stream, &code.to_be_bytes());
    // It takes no stream any more, not even this one, which it had begun to answer.
    let goodbye = |_: u32| frames::frame(frames::GOAWAY, 0, 0, &[0; 8]);
    let apps = [
        ("upstream_reset", breaking_http2_app(reset(CANCEL)).await),
        ("upstream_broken", breaking_http2_app(reset(NO_ERROR)).await),
        ("upstream_broken", breaking_http2_app(goodbye).await),
    ];
    for (number, (end, address)) in apps.into_iter().enumerate() {
        let world = world_before(address, "http2").await;
        let cookie = world.signed_in().await.cookie_header();
        let path = format!("/breaks-{number}");
        let mut sender = http2(world.address()).await;
        for _ in 0..20 {
            let got = ask_http2(&mut sender, &cookie, &path).await;
            assert_eq!(got, (StatusCode::OK, b"half of it".to_vec(), true), "{number}");
            let mut stream = TcpStream::connect(world.address()).await.unwrap();
            let old = ask(&mut stream, &cookie, &path).await;
            assert!(old.ends_with("half of it\r\n"), "{number} {old}");
        }
        let lines = lines_with(&["evergate::access", &path]);
        assert_eq!(lines.len(), 40);
        for line in lines {
            assert!(line.contains(&format!("\"end\":\"{end}\"")) && line.contains("\"http.response.body.size\":10"), "{line}");
        }
    }
}

#[tokio::test]
async fn an_app_s_reset_is_passed_on_with_its_code() {
    const CANCEL: u32 = 8;
    const REFUSED_STREAM: u32 = 7;
    for code in [CANCEL, REFUSED_STREAM] {
        let before_the_head = app(move |stream| async move {
            let Some(mut frames) = Frames::accept(stream).await else { return };
            while let Some(stream) = frames.next_request().await {
                frames.send(&frames::frame(frames::RST_STREAM, 0, stream, &code.to_be_bytes())).await;
            }
        })
        .await;
        let within = breaking_http2_app(move |stream| frames::frame(frames::RST_STREAM, 0, stream, &code.to_be_bytes())).await;
        for (number, address) in [before_the_head, within].into_iter().enumerate() {
            let world = world_before(address, "http2").await;
            let visitor = world.signed_in().await;
            let path = format!("/reset-{code}-{number}");
            let mut client = Frames::connect(world.address()).await;
            for stream in [1, 3, 5] {
                client.ask(stream, &visitor.cookie_header(), &path, &[]).await;
                assert_eq!(client.reset_of(stream).await, code, "{number}");
            }
            let line = lines_with(&["evergate::access", &path]).pop().unwrap();
            assert!(line.contains("\"end\":\"upstream_reset\""), "{line}");
            if number == 0 {
                let old = visitor.get(&path).await;
                assert_eq!((old.status, old.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_broken"));
            }
        }
    }
}

#[tokio::test]
async fn the_access_line_says_how_an_answer_ended_and_how_far_it_got() {
    let (address, _asked) = breaking_app(CHUNKED, How::Closes).await;
    let world = world_before(address, "http1").await;
    let cookie = world.signed_in().await.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    ask(&mut stream, &cookie, "/broken-line").await;
    let lines = lines_with(&["evergate::access", "/broken-line"]);
    assert_eq!(lines.len(), 1, "one, when it has ended");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["http.response.status_code"], &line["end"], &line["http.response.body.size"]),
        (&200.into(), &"upstream_broken".into(), &10.into())
    );
    let id = line["request.id"].as_str().unwrap();
    assert_eq!(
        lines_with(&["upstream broke off within its response", id, "the connection ended before the response was complete"])
            .len(),
        1
    );

    let whole = World::start().await;
    let visitor = whole.signed_in().await;
    visitor.get("/whole-line").await;
    let line = lines_with(&["evergate::access", "/whole-line"]).pop().unwrap();
    assert!(line.contains("\"end\":\"complete\""), "{line}");
    let leaving = visitor.open("/stream").await;
    let id = whole.upstream.last().header("x-request-id").unwrap().to_owned();
    assert!(lines_with(&["evergate::access", &id]).is_empty(), "it has not ended");
    drop(leaving);
    eventually("it is noted", async || !lines_with(&["evergate::access", &id, "\"end\":\"client_left\""]).is_empty()).await;
}

#[tokio::test]
async fn a_client_that_still_uploads_reads_what_came_of_a_broken_answer() {
    const MUCH: usize = 8 << 20;
    let address = app(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(MEASURED.as_bytes()).await.unwrap();
        reset(&stream);
    })
    .await;
    let authority = Authority::new();
    let world = World::build().secure(&authority).set("upstream_url", &format!("http://{address}")).start().await;
    let cookie = world.signed_in().await.cookie_header();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: {MUCH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; MUCH]).await.expect("all of it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("no reset loses it");
        assert!(answer.ends_with("half of it"), "{answer}");
    }
    // Over TLS as well, and a client that reads late.
    let mut stream = authority.connect(world.replicas[0].tls_address.unwrap(), "app.test", &["http/1.1"]).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: {MUCH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; MUCH]).await.expect("all of it is taken");
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer).await;
    assert!(answer.ends_with(b"half of it"));
}

#[tokio::test]
async fn a_slow_reader_gets_all_that_came_of_a_large_broken_answer_in_either_version() {
    const MUCH: usize = 4 << 20;
    const PIECE: usize = 16 * 1024;
    let written = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&written);
    let address = app(move |mut stream| {
        let counted = Arc::clone(&counting);
        async move {
            if read_head(&mut stream).await.is_none() {
                return;
            }
            let head = format!("HTTP/1.1 200 OK\r\nx-app: 1\r\ncontent-length: {}\r\n\r\n", MUCH + 1);
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..MUCH / PIECE {
                stream.write_all(&[b'y'; PIECE]).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let world = world_before(address, "http1").await;
    let cookie = world.signed_in().await.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // All sockets on the way are full, or the app has gone.
    stands_still(|| written.load(Ordering::Relaxed)).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.iter().filter(|byte| **byte == b'y').count(), MUCH);
    let mut sender = http2(world.address()).await;
    let (status, got, is_broken) = ask_http2(&mut sender, &cookie, "/").await;
    assert_eq!((status, got.len(), is_broken), (StatusCode::OK, MUCH, true));
}
