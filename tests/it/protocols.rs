//! Protocols: what clients speak, what apps speak, and that neither notices what the other does.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    ext::Protocol,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::harness::{
    ACCESS, World,
    eventually::{eventually, in_time},
    logs::lines_with,
    python::{self, Served},
    visitor::Visitor,
    wire::{app, read_head},
};

pub type Body = BoxBody<Bytes, Infallible>;

pub fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// An app that speaks HTTP/2 by prior knowledge: echoes what it is sent, with trailers behind.
async fn http2_app() -> SocketAddr {
    app(|stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let te = request.headers().get("te").is_some_and(|te| te == "trailers");
            let version = format!("{:?} {authority} {te}", request.version());
            let echoed = request.into_body().collect().await.unwrap().to_bytes();
            let trailers = HeaderMap::from_iter([("x-trailer".parse().unwrap(), HeaderValue::from_static("behind"))]);
            let frames = [Frame::data(echoed), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
            let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
            Ok::<_, Infallible>(
                Response::builder().header("x-upstream", version).header("trailer", "x-trailer").body(body).unwrap(),
            )
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

/// A connection of HTTP/2 by prior knowledge.
pub async fn http2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(visitor: &Visitor, method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://app.test{path}")).header("cookie", visitor.cookie_header())
}

/// Sends bytes that are the last of their connection, and reads to its end.
async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time("the connection ends", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_app_of_http_2_alone_is_reached_by_clients_of_either_version_and_its_trailers_arrive() {
    let app = http2_app().await;
    let world = World::build().set("upstream_url", &format!("http://{app}")).set("upstream_protocol", "http2").start().await;
    let visitor = world.signed_in().await;
    let old = visitor.send(Method::POST, "/", &[("te", "trailers"), ("sec-fetch-site", "same-origin")], "by 1.1").await;
    assert_eq!((old.text().as_str(), old.header("x-upstream")), ("by 1.1", "HTTP/2.0 app.test true"));

    let mut sender = http2(world.address()).await;
    let sent = request(&visitor, Method::POST, "/").header("te", "trailers").body(whole("by 2")).unwrap();
    let collected = sender.send_request(sent).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-trailer"], "behind");
    assert_eq!(collected.to_bytes(), "by 2");

    let cookie = visitor.cookie_header();
    let by_chunks = raw(
        world.address(),
        &format!("GET / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\nte: trailers\r\nconnection: close, te\r\n\r\n"),
    )
    .await;
    assert!(by_chunks.ends_with("0\r\nx-trailer: behind\r\n\r\n"), "{by_chunks}");
}

#[tokio::test]
async fn a_websocket_on_a_stream_of_http_2_is_one_to_an_app_of_http_1_1() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let open = async |visitor: &Visitor, origin: &'static str| {
        let mut sender = http2(world.address()).await;
        let opening = request(visitor, Method::CONNECT, "/websocket")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("origin", origin)
            .header("x-forwarded-user", "admin")
            .body(Empty::new().boxed())
            .unwrap();
        // The connection lasts as long as its sender.
        (sender.send_request(opening).await.unwrap(), sender)
    };
    let (response, _connection) = open(&visitor, "https://app.test").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().get("sec-websocket-accept").is_none() && response.headers().get("upgrade").is_none());
    let stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    for text in ["hello", &"x".repeat(100_000)] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    let seen = world.upstream.last();
    assert_eq!((seen.method.as_str(), seen.header("x-forwarded-user")), ("GET", Some("sub-ann")));
    assert_eq!(open(&visitor, "https://evil.example").await.0.status(), StatusCode::FORBIDDEN, "another site's page");
    assert_eq!(open(&world.visitor(), "https://app.test").await.0.status(), StatusCode::UNAUTHORIZED);
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    let closed = in_time("it is closed", socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(frame.code), 1008);
}

#[tokio::test]
async fn connect_and_trace_are_refused_in_every_version_and_no_page_of_ours_is_a_websocket() {
    let world = World::build().set("admin_groups", "staff").start().await;
    let visitor = world.signed_in().await;
    let mut sender = http2(world.address()).await;
    let tunnel = Request::builder().method(Method::CONNECT).uri("app.test:443").body(Empty::new().boxed()).unwrap();
    assert_eq!(sender.send_request(tunnel).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    for (path, protocol, status) in [
        ("/x", "connect-udp", StatusCode::METHOD_NOT_ALLOWED),
        ("/oauth2/admin", "websocket", StatusCode::METHOD_NOT_ALLOWED),
        ("/oauth2/admin/api/v1/sessions", "websocket", StatusCode::UNAUTHORIZED),
        ("/oauth2/sessions", "websocket", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let other = request(&visitor, Method::CONNECT, path).extension(Protocol::from_static(protocol));
        let other = other.header("origin", "https://app.test").body(Empty::new().boxed()).unwrap();
        assert_eq!(sender.send_request(other).await.unwrap().status(), status, "{path}");
    }
    // Some servers read methods without regard to case.
    for method in ["TRACE", "trace", "Trace", "connect"] {
        let request = request(&visitor, Method::from_bytes(method.as_bytes()).unwrap(), "/").body(Empty::new().boxed()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn http_1_0_is_answered_in_its_own_way() {
    let world = World::start().await;
    let cookie = world.signed_in().await.cookie_header();
    let answer = raw(world.address(), &format!("GET /old HTTP/1.0\r\nhost: app.test\r\ncookie: {cookie}\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("GET /old 0"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    let nameless = raw(world.address(), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(nameless.starts_with("HTTP/1.0 400"), "{nameless}");
}

/// An app that answers each connection with these bytes, once it has read a request's head.
async fn scripted(answer: &'static str) -> SocketAddr {
    app(move |mut stream| async move {
        if read_head(&mut stream).await.is_none() {
            return;
        }
        let _sent = stream.write_all(answer.as_bytes()).await;
        // Read on, so that what comes late does not reset what was said.
        let _end = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

async fn in_front_of(app: SocketAddr, settings: &[(&str, &str)]) -> (World, Visitor) {
    let world = settings.iter().fold(World::build(), |world, (name, value)| world.set(name, value));
    let world = world.set("upstream_url", &format!("http://{app}")).start().await;
    let visitor = world.signed_in().await;
    (world, visitor)
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_those_without_a_length_end_with_the_connection() {
    for (answer, status, text) in [
        ("HTTP/1.1 204 No Content\r\nx-app: 1\r\n\r\n", 204, ""),
        ("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 10\r\n\r\n", 304, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole", 200, "whole"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n", 200, "abcde"),
        ("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "ok"),
    ] {
        let (_world, visitor) = in_front_of(scripted(answer).await, &[]).await;
        let reply = visitor.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, text), "{answer}");
    }
    let (_world, visitor) = in_front_of(scripted("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n").await, &[]).await;
    let head = visitor.send(Method::HEAD, "/", &[], "").await;
    assert_eq!((head.header("content-length"), head.text().as_str()), ("7", ""));
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_told() {
    let world = World::start().await;
    let cookie = world.signed_in().await.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = format!(
        "POST /slow HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 25];
    in_time("it is told", stream.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("POST /slow 4"), "{rest}");
    // Whoever is not signed in is refused before they send anything.
    let stranger =
        raw(world.address(), "POST /slow HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n")
            .await;
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
}

#[tokio::test]
async fn an_app_that_pauses_longer_than_it_may_is_cut_and_the_client_sees_it() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
    for settings in [[("upstream_idle_timeout", "300ms")], [("upstream_total_timeout", "300ms")]] {
        let (_world, visitor) = in_front_of(scripted(begun).await, &settings).await;
        let broken = in_time("nothing else would cut it", visitor.try_send(Method::GET, "/", &[], "")).await;
        assert!(broken.is_none(), "a broken answer, never a short one");
    }
}

#[tokio::test]
async fn a_client_that_went_away_is_499_in_the_log() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let waiting = tokio::spawn(async move { visitor.get("/gated").await });
    eventually("the app has it", async || !world.upstream.requests().is_empty()).await;
    waiting.abort();
    eventually("it is noted", async || !lines_with(&["/gated", "\"http.response.status_code\":499", "client_left"]).is_empty())
        .await;
}

#[tokio::test]
async fn grpc_calls_of_every_kind_pass_with_their_statuses_and_trailers() {
    let app = Served::start("grpc_peer.py", &["serve"]);
    let world = World::build()
        .set("access_log_sample_ratio", "0")
        .set("upstream_url", &format!("http://127.0.0.1:{}", app.port))
        .set("upstream_protocol", "http2")
        .routes(|_| "[[route]]\npath = \"/test.Echo\"\nbearer_tokens = [\"provider\"]\n".to_owned())
        .start()
        .await;
    let cookie = world.signed_in().await.cookie_header();
    let call = async |credential: &str| {
        let output = python::run("grpc_peer.py", &["call", &world.address().port().to_string(), credential]).await;
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("what came of it")
    };
    let expected = json!({
        "unary": "hello for sub-ann", "trailer": "behind", "failing": ["FAILED_PRECONDITION", "no: ü"], "many": 1000,
        "chat": ["ONE", "TWO", "THREE"],
    });
    assert_eq!(call(&cookie).await, expected);
    // A call that failed has its access line, whatever the sample, though its status is 200.
    let of_failing =
        ["evergate::access", "/test.Echo/Failing", "\"rpc.grpc.status_code\":9", "\"http.response.status_code\":200"];
    eventually("its line is written", async || !lines_with(&of_failing).is_empty()).await;
    assert!(lines_with(&["evergate::access", "/test.Echo/Many"]).is_empty());
    let token = world.idp.signed_access_token(&format!("{ACCESS}/test.Echo"), json!({"sub": "sub-ann"}), json!({}));
    assert_eq!(call(&format!("Bearer {token}")).await, expected);
    for refused in ["", "Bearer none", &format!("Bearer {token}x")] {
        assert_eq!(call(refused).await, json!({"refused": "UNAUTHENTICATED"}), "{refused}");
    }
}

#[tokio::test]
async fn a_tunnel_half_of_which_is_closed_goes_on_with_the_other() {
    let app = app(|mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: custom\r\n\r\n").await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        stream.write_all(format!("you said {said}").as_bytes()).await.unwrap();
    })
    .await;
    let world =
        World::build().routes(move |_| format!("[[route]]\nupstream = \"http://{app}\"\nupgrades = [\"custom\"]")).start().await;
    let visitor = world.signed_in().await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let cookie = visitor.cookie_header();
    let head = format!("GET /x HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\nconnection: upgrade\r\nupgrade: custom\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut granted = [0; 12];
    stream.read_exact(&mut granted).await.unwrap();
    assert_eq!(&granted, b"HTTP/1.1 101");
    stream.write_all(b"all of it").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    in_time("it ends", stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.ends_with("you said all of it"), "{rest}");
}

#[tokio::test]
async fn a_request_with_a_body_is_timed_from_its_end() {
    let world = World::build().set("upstream_timeout", "400ms").start().await;
    let visitor = world.signed_in().await;
    let late = visitor.send(Method::POST, "/gated", &[("sec-fetch-site", "same-origin")], "a body").await;
    assert_eq!((late.status, late.header("evergate-response")), (StatusCode::GATEWAY_TIMEOUT, "upstream_timed_out"));
}

#[tokio::test]
async fn an_answer_that_opens_no_websocket_is_none_on_http_2_either() {
    // One that switches without knowing what to: it does not answer the key, which the client never sees.
    let ignorant = scripted("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let world = World::build()
        .routes(move |app| {
            let ignorant = format!("[[route]]\npath = \"/ignorant\"\nupstream = \"http://{ignorant}\"");
            format!("{ignorant}\n[[route]]\nupstream = \"{app}\"")
        })
        .start()
        .await;
    let visitor = world.signed_in().await;
    for path in ["/no-websocket-here", "/ignorant"] {
        let mut sender = http2(world.address()).await;
        let opening = request(&visitor, Method::CONNECT, path)
            .extension(Protocol::from_static("websocket"))
            .header("origin", "https://app.test")
            .body(Empty::new().boxed())
            .unwrap();
        assert_eq!(sender.send_request(opening).await.unwrap().status(), StatusCode::BAD_GATEWAY, "{path}");
    }
}

/// An app that answers `per_connection` requests on each connection and closes it then without a word; counts both.
async fn closing_app(per_connection: usize) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = Arc::clone(&counts);
    let address = app(move |mut stream| {
        counted[0].fetch_add(1, Ordering::Relaxed);
        let counted = Arc::clone(&counted);
        async move {
            for _ in 0..per_connection {
                if read_head(&mut stream).await.is_none() {
                    return;
                }
                counted[1].fetch_add(1, Ordering::Relaxed);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-upstream: 1\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    (address, counts)
}

#[tokio::test]
async fn connections_to_an_app_are_used_again_and_one_that_it_closed_costs_no_request() {
    for (per_connection, most) in [(usize::MAX, 3), (1, 64), (3, 64)] {
        let (app, counts) = closing_app(per_connection).await;
        let (_world, visitor) = in_front_of(app, &[]).await;
        for _ in 0..20 {
            assert!(visitor.get("/").await.is_upstreams());
            let posted = visitor.send(Method::POST, "/", &[("sec-fetch-site", "same-origin")], "").await;
            assert!(posted.is_upstreams());
        }
        let [connections, requests] = [0, 1].map(|at| counts[at].load(Ordering::Relaxed));
        assert_eq!(requests, 40, "none is lost, and none is sent twice");
        assert!(connections <= most, "{connections} connections for {per_connection} requests each");
    }
}
