//! Answers that one version takes and the other does not: what is between Evergate and an app breaks no stream of a client.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    frames::{self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, field, frame},
    logs::lines_with,
    wire::{app, read_head},
};

/// What no trailers may have, and what they may.
const TRAILERS: [(&str, &str); 5] = [
    ("x-sum", "1"),
    ("set-cookie", "evergate_session=evil"),
    ("evergate-response", "signed_in"),
    ("cache-control", "public"),
    ("x-internal", "1"),
];

/// An app of HTTP/1.1 that answers each request with this.
async fn http1_app(answer: String) -> SocketAddr {
    app(move |mut stream| {
        let answer = answer.clone();
        async move {
            while read_head(&mut stream).await.is_some() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

/// An app of HTTP/2 that answers each request with these frames of its stream.
async fn http2_app(answer: impl Fn(u32) -> Vec<u8> + Clone + Send + Sync + 'static) -> SocketAddr {
    app(move |stream| {
        let answer = answer.clone();
        async move {
            let Some(mut frames) = Frames::accept(stream).await else { return };
            while let Some(stream) = frames.next_request().await {
                frames.send(&answer(stream)).await;
            }
        }
    })
    .await
}

fn fields(lines: &[(&str, &str)]) -> Vec<u8> {
    lines.iter().flat_map(|(name, value)| field(name, value)).collect()
}

fn head(stream: u32, flags: u8, lines: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &fields(lines))
}

/// A world before an app, and what a client of HTTP/2 is answered there.
async fn answered(app: SocketAddr, protocol: &str) -> (World, Response<Collected<Bytes>>) {
    let routes = move |_: &str| format!("[[route]]\nupstream = \"http://{app}\"\nremove_answer_headers = [\"x-internal\"]");
    let world = World::build().routes(routes).set("upstream_protocol", protocol).start().await;
    let cookie = world.signed_in().await.cookie_header();
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://app.test/").header("cookie", cookie).body(Empty::new()).unwrap();
    let (head, body) = sender.send_request(request).await.expect("no stream breaks").into_parts();
    let body = body.collect().await.expect("it is whole");
    (world, Response::from_parts(head, body))
}

#[tokio::test]
async fn trailers_bring_nothing_that_a_head_alone_may_have_and_break_no_stream() {
    let lines = |more: &[(&str, &str)]| -> String {
        TRAILERS.iter().chain(more).map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    };
    let hop_by_hop = [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("transfer-encoding", "chunked"),
        ("proxy-connection", "close"),
        ("content-length", "2"),
        ("host", "evil.test"),
    ];
    let begin = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    let old = http1_app(format!("{begin}{}\r\n", lines(&hop_by_hop))).await;
    let new = http2_app(|stream| {
        let begin = [head(stream, 0, &[(":status", "200")]), frame(DATA, 0, stream, b"ok")].concat();
        [begin, head(stream, END_STREAM, &TRAILERS)].concat()
    })
    .await;
    for (address, protocol) in [(old, "http1"), (new, "http2")] {
        let (_world, answer) = answered(address, protocol).await;
        let expected = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        assert_eq!(answer.body().trailers(), Some(&expected), "{protocol}");
        assert_eq!(answer.into_body().to_bytes(), "ok", "{protocol}");
    }
    let only_ours = http1_app(format!("{begin}set-cookie: a=b\r\n\r\n")).await;
    let (_world, answer) = answered(only_ours, "http1").await;
    assert_eq!(answer.body().trailers(), None);
    assert_eq!(answer.into_body().to_bytes(), "ok");
}

#[tokio::test]
async fn an_answer_without_content_has_none_whatever_its_app_sends() {
    let old = http1_app("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n".to_owned()).await;
    let new = |status: &'static str| {
        http2_app(move |stream| {
            let lines = [(":status", status), ("content-length", "5")];
            [head(stream, 0, &lines[..if status == "204" { 2 } else { 1 }]), frame(DATA, END_STREAM, stream, b"hello")].concat()
        })
    };
    for (address, protocol, status) in [
        (old, "http1", StatusCode::NO_CONTENT),
        (new("204").await, "http2", StatusCode::NO_CONTENT),
        (new("304").await, "http2", StatusCode::NOT_MODIFIED),
    ] {
        let (_world, answer) = answered(address, protocol).await;
        assert_eq!((answer.status(), answer.headers().get(header::CONTENT_LENGTH)), (status, None), "{protocol}");
        assert!(answer.into_body().to_bytes().is_empty(), "{protocol} {status}");
    }
}

#[tokio::test]
async fn an_http_2_app_s_equal_lengths_become_one_and_others_are_no_answer() {
    let with = |second: &'static str| {
        http2_app(move |stream| {
            let lines = [(":status", "200"), ("content-length", "2"), ("content-length", second)];
            [head(stream, 0, &lines), frame(DATA, END_STREAM, stream, b"ok")].concat()
        })
    };
    let (_world, answer) = answered(with("2").await, "http2").await;
    assert_eq!(answer.headers().get_all(header::CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["2"]);
    assert_eq!(answer.into_body().to_bytes(), "ok");
    let (_world, answer) = answered(with("3").await, "http2").await;
    assert_eq!(
        (answer.status(), answer.headers()["evergate-response"].as_bytes()),
        (StatusCode::BAD_GATEWAY, &b"upstream_broken"[..])
    );
}

#[tokio::test]
async fn a_reset_before_the_head_that_claims_to_be_no_error_is_one_all_the_same() {
    const NO_ERROR: [u8; 4] = [0; 4];
    let app = http2_app(|stream| frame(RST_STREAM, 0, stream, &NO_ERROR)).await;
    let (_world, answer) = answered(app, "http2").await;
    assert_eq!(
        (answer.status(), answer.headers()["evergate-response"].as_bytes()),
        (StatusCode::BAD_GATEWAY, &b"upstream_broken"[..])
    );
}

#[tokio::test]
async fn a_websocket_to_an_app_of_http_2_alone_fails_and_the_log_says_why() {
    let address = app(|mut stream| async move {
        let _begin = stream.read(&mut [0; 1024]).await;
        let _sent = stream.write_all(&frame(frames::SETTINGS, 0, 0, &[])).await;
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).set("upstream_protocol", "http2").start().await;
    let visitor = world.signed_in().await;
    let lines = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-fetch-site", "same-origin")];
    let reply = visitor.send(http::Method::GET, "/socket", &lines, "").await;
    assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_broken"));
    let cause = ["the upstream failed a request", "an upgrade goes over HTTP/1.1", "the upstream may speak HTTP/2 alone"];
    assert_eq!(lines_with(&cause).len(), 1);
}
