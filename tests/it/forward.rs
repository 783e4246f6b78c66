//! What goes through to the upstream, and what does not.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::harness::{
    World,
    eventually::{eventually, in_time},
    wire::{app, read_head},
};

#[tokio::test]
async fn identity_headers_of_a_client_never_arrive_in_any_spelling() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let spoofs = [
        ("X-Forwarded-User", "admin"),
        ("x_forwarded_user", "admin"),
        ("X-Forwarded_Email", "admin@example.com"),
        ("X-FORWARDED-GROUPS", "admins"),
        ("x-forwarded-access-token", "stolen"),
        ("X-Forwarded-Preferred-Username", "root"),
        ("x-evergate-renewed-at", "1"),
        ("x-auth-request-user", "admin"),
        ("x-real-ip", "1.2.3.4"),
        ("connection", "close, X-Forwarded-User, x-forwarded-email"),
    ];
    for path in ["/", "/public", "/oauth2x"] {
        visitor.send(Method::GET, path, &spoofs, "").await;
        let seen = world.upstream.last();
        assert_eq!(seen.header("x-forwarded-user"), Some("sub-ann"), "{path}");
        assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"), "{path}");
        let all = format!("{:?}", seen.headers);
        for forged in ["admin", "stolen", "root", "1.2.3.4", "renewed-at"] {
            assert!(!all.contains(forged), "{path}: {all}");
        }
    }
}

#[tokio::test]
async fn forwarding_headers_are_written_anew_unless_a_trusted_proxy_wrote_them() {
    let forged = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "gopher"),
        ("forwarded", "for=203.0.113.9"),
        ("x-forwarded-port", "1"),
    ];
    let world = World::start().await;
    let visitor = world.signed_in().await;
    visitor.send(Method::GET, "/", &forged, "").await;
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(
        (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host"), seen.header("host")),
        (Some("https"), Some("app.test"), Some("app.test"))
    );
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=\"app.test\";proto=https"));
    assert_eq!(seen.header("x-forwarded-port"), None);

    let world = World::build().set("proxy_trusted_origins", "127.0.0.0/8,10.0.0.0/8").start().await;
    let visitor = world.signed_in().await;
    let behind = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.1.1.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "app.test"),
        ("host", "inner:3000"),
    ];
    assert!(visitor.send(Method::GET, "/", &behind, "").await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-for"), Some("198.51.100.7, 10.1.1.1"));
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("host")), (Some("http"), Some("app.test")));
}

#[tokio::test]
async fn under_the_name_that_a_network_writes_clients_by_an_app_finds_the_address_that_counted() {
    let build = || World::build().set("proxy_trusted_headers", "Cf-Connecting-Ip,X-Forwarded-For");
    let forged = [("cf-connecting-ip", "6.6.6.6"), ("cf_connecting_ip", "7.7.7.7"), ("x-cluster-client-ip", "8.8.8.8")];
    let told = async |world: &World| {
        let visitor = world.signed_in().await;
        assert!(visitor.send(Method::GET, "/", &forged, "").await.is_upstreams());
        let seen = world.upstream.last();
        let told = ["cf-connecting-ip", "cf_connecting_ip", "x-cluster-client-ip", "x-forwarded-for"];
        told.map(|name| seen.header(name).map(str::to_owned))
    };
    let socket = Some("127.0.0.1".to_owned());
    assert_eq!(told(&build().start().await).await, [socket.clone(), None, None, socket], "from anybody");
    let behind = build().set("proxy_trusted_origins", "127.0.0.0/8").start().await;
    let client = Some("6.6.6.6".to_owned());
    assert_eq!(told(&behind).await, [client.clone(), None, None, client], "from a trusted proxy");
}

#[tokio::test]
async fn requests_and_answers_pass_as_they_are() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let body = if method == Method::GET { "" } else { "some body" };
        let reply = visitor.send(method.clone(), "/a/%2F/b;c?x=%20&y", &[("accept-language", "eo")], body).await;
        assert_eq!(reply.text(), format!("{method} /a/%2F/b;c?x=%20&y {}", body.len()));
        assert_eq!(world.upstream.last().header("accept-language"), Some("eo"));
    }
    let reply = visitor.get("/cookies").await;
    assert_eq!(reply.set_cookies(), ["a=1", "b=2"], "the app's own cookies stay two lines");
}

#[tokio::test]
async fn an_upstream_cannot_pass_its_answers_off_as_ours() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let reply = visitor.get("/forged").await;
    assert_eq!((reply.header("x-app"), reply.header("evergate-response"), reply.header("evergate-answer")), ("1", "", ""));
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/stream")
        .header("host", "app.test")
        .header("cookie", format!("__Host-evergate_session={}", visitor.session().unwrap()));
    let mut answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let first = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first ", "the first piece is here before the last one is made");
    world.upstream.open_gate();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "second");
    let large = "x".repeat(8 << 20);
    assert_eq!(visitor.send(Method::POST, "/large", &[], &large).await.text(), format!("POST /large {}", large.len()));
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://app.test/two")
        .header("cookie", "a=1")
        .header("cookie", format!("__Host-evergate_session={}", visitor.session().unwrap()))
        .header("cookie", "b=2");
    let answer = sender.send_request(request.body(Full::<Bytes>::from("body")).unwrap()).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "POST /two 4");
    let seen = world.upstream.last();
    assert_eq!((seen.header("cookie"), seen.header("host")), (Some("a=1; b=2"), Some("app.test")));
}

#[tokio::test]
async fn websockets_pass_both_ways_with_the_identity_of_their_user() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    for text in ["hello", &"x".repeat(100_000)] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-user"), Some("sub-ann"));
    assert_eq!(seen.header("cookie"), None);
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_websocket_without_a_session_is_refused_and_never_reaches_the_upstream() {
    let world = World::start().await;
    let request = "ws://app.test/websocket".into_client_request().unwrap();
    let stream = TcpStream::connect(world.address()).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Err(tokio_tungstenite::tungstenite::Error::Http(reply)) => assert_eq!(reply.status(), StatusCode::UNAUTHORIZED),
        other => panic!("{other:?}"),
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(|| async { "by socket" })).await });
    let world = World::build().set("upstream_url", &format!("unix:{}", path.display())).start().await;
    let visitor = world.signed_in().await;
    for _ in 0..3 {
        assert_eq!(visitor.get("/").await.text(), "by socket");
    }
}

#[tokio::test]
async fn an_upstream_that_fails_is_told_apart() {
    // Taken and not listened on, so that nothing else can be there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = closed.local_addr().unwrap();
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let reply = world.signed_in().await.fetch("/").await;
    assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_unreachable"));

    let address = app(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let reply = world.signed_in().await.fetch("/").await;
    assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_broken"));

    let world = World::build().set("upstream_timeout", "300ms").start().await;
    let reply = world.signed_in().await.fetch("/gated").await;
    assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::GATEWAY_TIMEOUT, "upstream_timed_out"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_be_broken() {
    let address = app(|mut stream| async move {
        let _head = read_head(&mut stream).await;
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf \r\n").await;
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let visitor = world.signed_in().await;
    assert!(visitor.try_send(Method::GET, "/", &[], "").await.is_none(), "never a short answer that looks whole");
}

#[tokio::test]
async fn methods_and_targets_that_are_not_requests_for_a_page_are_refused() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let cookie = format!("__Host-evergate_session={}", visitor.session().unwrap());
    for (line, status) in [
        ("TRACE / HTTP/1.1", "405"),
        ("CONNECT app.test:443 HTTP/1.1", "405"),
        ("OPTIONS * HTTP/1.1", "400"),
        ("GET http://evil.example/ HTTP/1.1", "400"),
        ("GET http://app.test/absolute HTTP/1.1", "200"),
        ("GET / HTTP/1.0", "200"),
    ] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream
            .write_all(format!("{line}\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        let _closed_or_reset = in_time("the connection ends", stream.read_to_string(&mut answer)).await;
        assert!(answer.get(9..12) == Some(status), "{line}: {answer}");
        assert_eq!(answer.contains("allow: GET, HEAD, POST, PUT, PATCH, "), status == "405", "{line}: {answer}");
    }
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream
        .write_all(
            format!("GET / HTTP/1.1\r\nHost: app.test\r\nHost: evil.example\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(world.upstream.requests().len(), 2);
}

#[tokio::test]
async fn framing_that_two_servers_could_read_differently_is_not_forwarded() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let cookie = format!("__Host-evergate_session={}", visitor.session().unwrap());
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "Content-Length: +5\r\n\r\nhello",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "X: a\r\n b: c\r\n\r\n",
        "Bad Name: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream
            .write_all(
                format!("POST / HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\n{framing}").as_bytes(),
            )
            .await
            .unwrap();
        let mut answer = String::new();
        let _closed_or_reset = in_time("the connection ends", stream.read_to_string(&mut answer)).await;
        assert!(!answer.contains("200 OK"), "{framing:?}: {answer}");
    }
    // Both at once: the chunks count, and no length goes on beside them (RFC 9112 section 6.3).
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(format!("POST /both HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _closed_or_reset = in_time("the connection ends", stream.read_to_string(&mut answer)).await;
    assert!(answer.contains("POST /both 5") || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn draining_closes_websockets_properly_and_lets_requests_finish() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    socket.send(Message::text("before")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let under_way: Vec<_> = (0..50)
        .map(|_| {
            let visitor = visitor.clone();
            tokio::spawn(async move { visitor.get("/gated").await })
        })
        .collect();
    eventually("the requests have reached the upstream", async || {
        world.upstream.requests().iter().filter(|seen| seen.target == "/gated").count() == 50
    })
    .await;
    let address = world.address();
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    let closed = socket.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
    assert_eq!(u16::from(frame.code), 1012, "service restart");
    eventually("nobody is let in any more", async || TcpStream::connect(address).await.is_err()).await;
    world.upstream.open_gate();
    for request in under_way {
        assert_eq!(request.await.unwrap().text(), "through the gate");
    }
    assert!(stopping.await.unwrap(), "and all within the deadline");
}

#[tokio::test]
async fn a_foreign_page_changes_nothing_with_our_user_s_cookie() {
    let world = World::build().set("allowed_origins", "https://friend.example").start().await;
    let visitor = world.signed_in().await;
    let evil = [("origin", "https://evil.app.test"), ("sec-fetch-site", "same-site")];
    let refused = visitor.send(Method::POST, "/transfer", &evil, "all=1").await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::FORBIDDEN, "access_denied"));
    assert_eq!(refused.header("evergate-answer"), "access_denied", "the header's old name is sent for one more release");
    let handshake =
        [evil[0], ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];
    assert_eq!(visitor.send(Method::GET, "/websocket", &handshake, "").await.status, StatusCode::FORBIDDEN);
    assert!(world.upstream.requests().is_empty());
    for origin in ["https://app.test", "https://friend.example"] {
        assert!(visitor.send(Method::POST, "/transfer", &[("origin", origin)], "").await.is_upstreams(), "{origin}");
    }
}

#[tokio::test]
async fn trailers_of_a_request_say_nothing_to_the_upstream() {
    let received = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = std::sync::Arc::clone(&received);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 10_000];
            while let Ok(read) = stream.read(&mut buffer).await {
                bytes.lock().unwrap().extend_from_slice(&buffer[..read]);
                if read == 0 || bytes.lock().unwrap().ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let visitor = world.signed_in().await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let cookie = format!("__Host-evergate_session={}", visitor.session().unwrap());
    let request = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Forwarded-User\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-User: admin\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let received = String::from_utf8_lossy(&received.lock().unwrap()).into_owned();
    assert!(
        received.contains("abc") && received.contains("sub-ann") && !received.contains("admin") && !received.contains("trailer"),
        "{received}"
    );
}

#[tokio::test]
async fn a_cookie_in_another_script_locks_nobody_out() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let cookie = format!("name=Zo\u{eb}; __Host-evergate_session={}", visitor.session().unwrap());
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: app.test\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
