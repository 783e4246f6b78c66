//! Uploads that nobody takes any more of, which are given up after half a minute without progress.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    eventually::eventually_within,
    wire::{app, read_head},
};

const MUCH: usize = 16 << 20;

#[tokio::test]
async fn an_upload_that_its_app_takes_no_more_of_holds_its_place_and_not_for_ever() {
    // Answers each head at once, and never reads a body.
    let address = app(|mut stream| async move {
        let _head = read_head(&mut stream).await;
        let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-upstream: 1\r\n\r\nok").await;
        std::future::pending().await
    })
    .await;
    let settings = [("upstream_url", format!("http://{address}")), ("upstream_max_requests", "1".to_owned())];
    let build = settings.iter().fold(World::build(), |build, (name, value)| build.set(name, value));
    let world = build.start().await;
    let visitor = world.signed_in().await;
    let cookie = visitor.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: {MUCH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        stream.read_buf(&mut answer).await.unwrap();
    }
    let stuck = tokio::spawn(async move { stream.write_all(&vec![b'x'; MUCH]).await });
    for _ in 0..50 {
        assert_eq!(visitor.get("/").await.header("evergate-response"), "upstream_busy", "its answer is over, and it is not");
    }
    eventually_within(Duration::from_secs(300), "it is given up", async || visitor.get("/").await.is_upstreams()).await;
    stuck.abort();
}
