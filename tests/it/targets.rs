//! Request targets that should be percent-encoded and are not: what cannot be read in two ways reaches the app byte for byte.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    frames::{self, Frames},
    wire::{app, read_head},
};

const TARGETS: [&str; 12] = [
    r#"/?q={"a":1}"#,
    "/?q=<b>&r=a>b",
    r"/?q=\^|[]`~'",
    "/?q=%zz&r=%",
    "/?q=ü&r=日本",
    "/?a//b/../c",
    "/?q=a?b",
    r#"/{"a":1}"#,
    "/a<b>c",
    "/a^b`c|d",
    "/ü",
    "/?",
];

/// What is answered to a request whose line has this target as it is.
async fn answer_over_http1(world: &World, cookie: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Asks for each of them over each version, with a cookie.
async fn ask_for_all(world: &World) {
    let cookie = world.signed_in().await.cookie_header();
    for target in TARGETS {
        let answer = answer_over_http1(world, &cookie, target).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target} {answer}");
        let mut client = Frames::connect(world.address()).await;
        client.ask(1, &cookie, target, &[]).await;
        while client.next().await.expect(target).kind != frames::HEADERS {}
    }
}

fn seen(targets: &Mutex<Vec<String>>) -> Vec<String> {
    targets.lock().unwrap().drain(..).collect()
}

fn each_twice() -> Vec<String> {
    TARGETS.iter().flat_map(|target| [(*target).to_owned(), (*target).to_owned()]).collect()
}

#[tokio::test]
async fn what_cannot_be_read_in_two_ways_reaches_the_app_byte_for_byte_over_every_version() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&targets);
    let old = app(move |mut stream| {
        let noting = Arc::clone(&noting);
        async move {
            while let Some((head, _)) = read_head(&mut stream).await {
                noting.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let noting = Arc::clone(&targets);
    let new = app(move |stream| {
        let noting = Arc::clone(&noting);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                noting.lock().unwrap().push(request.uri().path_and_query().unwrap().as_str().to_owned());
                async { Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())) }
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    for (address, protocol) in [(old, "http1"), (new, "http2")] {
        let settings = [("upstream_url", format!("http://{address}")), ("upstream_protocol", protocol.to_owned())];
        let world = settings.iter().fold(World::build(), |world, (name, value)| world.set(name, value)).start().await;
        ask_for_all(&world).await;
        assert_eq!(seen(&targets), each_twice(), "{protocol}");
    }
}

#[tokio::test]
async fn a_url_without_a_path_means_the_root_and_a_path_without_a_slash_is_none() {
    let world = World::start().await;
    let cookie = world.signed_in().await.cookie_header();
    for (target, seen) in [("http://app.test?/private", "/?/private"), ("http://app.test?", "/?"), ("http://app.test", "/")] {
        let answer = answer_over_http1(&world, &cookie, target).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target} {answer}");
        assert_eq!(world.upstream.last().target, seen, "{target}");
    }
    let before = world.upstream.requests().len();
    for target in ["?y", "?", "*"] {
        let mut client = Frames::connect(world.address()).await;
        client.ask(1, &cookie, target, &[]).await;
        let answer = loop {
            let next = client.next().await.expect("an answer");
            if matches!(next.kind, frames::HEADERS | frames::RST_STREAM) {
                break next;
            }
        };
        // `:status: 400` of HPACK's table, or the stream's reset where no request is made of it.
        assert!(answer.kind == frames::RST_STREAM || answer.payload[0] == 0x8c, "{target} {answer:?}");
    }
    assert_eq!(world.upstream.requests().len(), before);
}

/// What one server cuts off as a fragment is a part of the path to another.
#[tokio::test]
async fn a_fragment_in_a_target_is_refused_over_every_version_and_where_an_ingress_asks_about_it() {
    let world = World::build().set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1").start().await;
    let cookie = world.signed_in().await.cookie_header();
    let before = world.upstream.requests().len();
    for target in [
        "/page#",
        "/page#/../admin",
        "/page?q#x",
        "http://app.test/page#x",
        "http://app.test#x",
        "/oauth2/auth/page#/../admin",
        "/oauth2/healthz#x",
    ] {
        let answer = answer_over_http1(&world, &cookie, target).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target} {answer}");
    }
    for target in ["/page#", "/page?q#x", "/oauth2/auth/page#/../admin"] {
        let mut client = Frames::connect(world.address()).await;
        client.ask(1, &cookie, target, &[]).await;
        let answer = loop {
            let next = client.next().await.expect("an answer");
            if matches!(next.kind, frames::HEADERS | frames::RST_STREAM) {
                break next;
            }
        };
        assert_eq!(answer.kind, frames::RST_STREAM, "{target} {answer:?}");
    }
    assert_eq!(world.upstream.requests().len(), before);
    let encoded = answer_over_http1(&world, &cookie, "/page%23x").await;
    assert!(encoded.starts_with("HTTP/1.1 200 "), "a sign that is escaped is a part of the path: {encoded}");
}

#[tokio::test]
async fn a_page_whose_address_has_such_bytes_is_come_back_to_after_a_login() {
    let world = World::start().await;
    let visitor = world.visitor();
    let page = visitor.browse(&world.idp, "/page?q={%22a%22:1}").await;
    assert!(page.status.is_success());
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = "GET /?q={\"a\":\"<b>\"} HTTP/1.1\r\nhost: app.test\r\naccept: text/html\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 303 "), "{answer}");
}
