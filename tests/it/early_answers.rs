//! Apps that answer before they have the whole request, and clients that send all of it before they read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    certificates::Authority,
    eventually::{eventually, in_time},
    wire::{app, read_head},
};

const MUCH: usize = 16 << 20;

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_gets_an_early_answer_however_large_both_are() {
    // It answers as soon as it is asked, and reads at its own pace.
    let address = app(|stream| async move {
        let (mut from, mut to) = stream.into_split();
        tokio::spawn(async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\nconnection: close\r\n\r\n");
            to.write_all(head.as_bytes()).await.unwrap();
            to.write_all(&vec![b'y'; MUCH]).await.unwrap();
        });
        let _end = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let cookie = world.signed_in().await.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head =
        format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\nconnection: close\r\ncontent-length: {MUCH}\r\n\r\n");
    let both = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; MUCH]).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let answer = in_time("neither waits for the other", both).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(&[b'y'; 100]) && answer.len() > MUCH);
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_is_told_no_also_by_whoever_wants_none_of_it() {
    let address = app(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig").await.unwrap();
        stream.shutdown().await.unwrap();
        let _end = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let authority = Authority::new();
    let world = World::build().secure(&authority).set("upstream_url", &format!("http://{address}")).start().await;
    let cookie = world.signed_in().await.cookie_header();
    // The app's no, and ours to strangers, also where they ask for what they do not get, and to what cannot be read.
    let strange = "y".repeat(70_000);
    for (headers, status) in [
        (format!("cookie: {cookie}"), "413"),
        ("x: y".to_owned(), "401"),
        ("connection: upgrade\r\nupgrade: h2c".to_owned(), "401"),
        (format!("x: {strange}"), "431"),
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\n{headers}\r\ncontent-length: {MUCH}\r\n\r\n");
        let plain = TcpStream::connect(world.address()).await.unwrap();
        let secure = authority.connect(world.replicas[0].tls_address.unwrap(), "app.test", &[]).await.unwrap();
        for answer in [told(plain, &head).await, told(secure, &head).await] {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(status != "401" || answer.contains("\r\nconnection: close\r\n"), "{answer}");
        }
    }
}

/// What a client is told that sends all of a long upload first.
async fn told(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; MUCH]).await.expect("all of it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the answer is whole");
    answer
}

#[tokio::test]
async fn a_body_that_breaks_off_after_an_early_answer_began_ends_that_too() {
    let ended = Arc::new(AtomicUsize::new(0));
    let noting = Arc::clone(&ended);
    let address = app(move |mut stream| {
        let noting = Arc::clone(&noting);
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await.unwrap();
            let _until_it_breaks = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            noting.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await;
    let world = World::build()
        .set("client_body_timeout", "300ms")
        .routes(move |_| format!("[[route]]\nrule = \"public\"\nupstream = \"http://{address}\""))
        .start()
        .await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("first") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    eventually("the app is let go", async || ended.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn an_answer_that_comes_before_its_request_is_sent_holds_up_nobody_else() {
    // Answers each head at once, and never reads a body.
    let address = app(|mut stream| async move {
        let _head = read_head(&mut stream).await;
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-upstream: 1\r\n\r\nok").await;
        std::future::pending().await
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let visitor = world.signed_in().await;
    let cookie = visitor.cookie_header();
    let mut slow = TcpStream::connect(world.address()).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: 900000\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert!(in_time("nothing ends the upload before", visitor.get("/")).await.is_upstreams());
}
