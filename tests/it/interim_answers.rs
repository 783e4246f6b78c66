//! Interim answers (RFC 9110 section 15.2): what an app says before its answer reaches the client before its answer.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use crate::harness::{
    World,
    eventually::{eventually, in_time},
    frames::{self, Frames},
    wire::{app, read_head},
};

/// An app that gives two hints, and answers when it may.
async fn hinting_app(may_answer: watch::Receiver<bool>) -> SocketAddr {
    app(move |mut stream| {
        let mut may_answer = may_answer.clone();
        async move {
            while let Some((head, _)) = read_head(&mut stream).await {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\nevergate-response: signed_in\r\nevergate-answer: signed_in\r\nset-cookie: __Host-evergate_session=planted\r\nclear-site-data: \"cookies\"\r\ncontent-length: 5\r\n\r\n";
                stream.write_all(hints.as_bytes()).await.unwrap();
                may_answer.wait_for(|may| *may).await.unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-upstream: 1\r\n\r\n{path}", path.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

/// The same app over HTTP/2.
async fn hinting_http2_app(may_answer: watch::Receiver<bool>) -> SocketAddr {
    app(move |stream| {
        let mut may_answer = may_answer.clone();
        async move {
            let Some(mut frames) = Frames::accept(stream).await else { return };
            while let Some(stream) = frames.next_request().await {
                let head = |lines: &[(&str, &str)]| {
                    let block: Vec<u8> = lines.iter().flat_map(|(name, value)| frames::field(name, value)).collect();
                    frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &block)
                };
                let hint = [
                    (":status", "103"),
                    ("link", "</a.css>; rel=preload"),
                    ("evergate-response", "signed_in"),
                    ("evergate-answer", "signed_in"),
                    ("set-cookie", "__Host-evergate_session=planted"),
                    ("clear-site-data", "\"cookies\""),
                ];
                // Switching protocols is nothing that HTTP/2 has.
                let hints = [head(&[(":status", "100")]), head(&[(":status", "101")]), head(&[(":status", "102")]), head(&hint)];
                frames.send(&hints.concat()).await;
                may_answer.wait_for(|may| *may).await.unwrap();
                let answer = head(&[(":status", "200"), ("x-upstream", "1")]);
                frames.send(&[answer, frames::frame(frames::DATA, frames::END_STREAM, stream, b"/first")].concat()).await;
            }
        }
    })
    .await
}

const HINTS: &str = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";

#[tokio::test]
async fn hints_reach_a_client_of_http_1_1_while_the_app_still_thinks_and_without_what_is_not_for_it() {
    let (answer, may_answer) = watch::channel(false);
    for (address, protocol) in [(hinting_app(may_answer.clone()).await, "http1"), (hinting_http2_app(may_answer).await, "http2")]
    {
        hints_come_first(address, protocol, &answer).await;
    }
}

async fn hints_come_first(app: SocketAddr, protocol: &str, answer: &watch::Sender<bool>) {
    let world = World::build().set("upstream_url", &format!("http://{app}")).set("upstream_protocol", protocol).start().await;
    answer.send(true).unwrap();
    let cookie = world.signed_in().await.cookie_header();
    answer.send(false).unwrap();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(format!("GET /first HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\n\r\n").as_bytes()).await.unwrap();
    let mut hints = vec![0; HINTS.len()];
    in_time("they do not wait for the answer", stream.read_exact(&mut hints)).await.unwrap();
    assert_eq!(String::from_utf8(hints).unwrap(), HINTS);
    answer.send(true).unwrap();
    let mut got = Vec::new();
    eventually("the answer follows", async || {
        stream.read_buf(&mut got).await.unwrap();
        // In chunks where the app says no length.
        got.windows(6).any(|body| body == b"/first")
    })
    .await;
    assert!(got.starts_with(b"HTTP/1.1 200 OK\r\n"), "{protocol}");
}

#[tokio::test]
async fn hints_stand_before_their_own_answer_when_requests_are_sent_in_a_row_and_never_go_to_http_1_0() {
    let (_answer, may_answer) = watch::channel(true);
    let address = hinting_app(may_answer).await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let cookie = world.signed_in().await.cookie_header();
    let mut requests = String::new();
    for number in 0..30 {
        let last = if number == 29 { "connection: close\r\n" } else { "" };
        requests += &format!("GET /{number} HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\n{last}\r\n");
    }
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let mut rest = answers.as_str();
    for number in 0..30 {
        rest = rest.strip_prefix(HINTS).unwrap_or_else(|| panic!("{number}: {rest}"));
        let (head, after) = rest.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        rest = after.strip_prefix(&format!("/{number}")).unwrap();
    }
    assert!(rest.is_empty());
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(format!("GET /old HTTP/1.0\r\nhost: app.test\r\ncookie: {cookie}\r\n\r\n").as_bytes()).await.unwrap();
    let mut old = String::new();
    stream.read_to_string(&mut old).await.unwrap();
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && !old.contains("Early"), "{old}");
}
