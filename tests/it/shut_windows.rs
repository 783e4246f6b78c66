//! Clients of HTTP/2 that keep the window of a stream shut: their responses end when others of their session do, or of their age,
//! and hold nothing any longer.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use crate::harness::{
    World,
    eventually::eventually,
    frames::{DATA, END_HEADERS, Frames, HEADERS, field, frame},
    logs::lines_with,
    wire::{app, read_head},
};

/// The window that a stream has before its client says more.
const WINDOW: usize = 65_535;

/// An app whose responses have no end, but for that to `/small`.
async fn endless_app() -> SocketAddr {
    app(|mut stream| async move {
        while let Some((head, _)) = read_head(&mut stream).await {
            if head.starts_with("GET /small") {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsmall").await.unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[7; 4096]).await.is_ok() {}
        }
    })
    .await
}

/// Asks for a response, and takes of it what its window allows.
async fn fill_window(client: &mut Frames, stream: u32) {
    let mut taken = 0;
    while taken < WINDOW {
        let next = client.next().await.unwrap();
        taken += if next.kind == DATA && next.stream == stream { next.payload.len() } else { 0 };
    }
}

async fn ends(path: &str, end: &str) {
    let end = format!("\"end\":\"{end}\"");
    eventually("the access line says why", async || !lines_with(&["evergate::access", path, &end]).is_empty()).await;
}

#[tokio::test]
async fn a_response_that_its_client_does_not_take_ends_with_its_session_and_leaves_its_place_to_others() {
    let app = endless_app().await;
    let world = World::build().set("upstream_url", &format!("http://{app}")).set("upstream_max_requests", "1").start().await;
    let (ann, bob) = (world.signed_in().await, world.signed_in().await);
    let mut client = Frames::connect(world.address()).await;
    client.ask(1, &ann.cookie_header(), "/shut-by-session", &[]).await;
    fill_window(&mut client, 1).await;
    assert_eq!(bob.fetch("/small").await.header("evergate-response"), "upstream_busy");

    ann.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    let reset = tokio::time::timeout(Duration::from_secs(30), client.reset_of(1)).await;
    reset.expect("nothing else would end it within a minute");
    ends("/shut-by-session", "session_ended").await;
    eventually("its place is free", async || bob.fetch("/small").await.text() == "small").await;
}

#[tokio::test]
async fn a_response_that_its_client_does_not_take_ends_with_its_time() {
    let app = endless_app().await;
    let world = World::build().set("upstream_url", &format!("http://{app}")).set("upstream_total_timeout", "1s").start().await;
    let ann = world.signed_in().await;
    let mut client = Frames::connect(world.address()).await;
    client.ask(1, &ann.cookie_header(), "/shut-by-time", &[]).await;
    fill_window(&mut client, 1).await;
    let reset = tokio::time::timeout(Duration::from_secs(30), client.reset_of(1)).await;
    reset.expect("nothing else would end it within a minute");
    ends("/shut-by-time", "too_slow").await;
}

#[tokio::test]
async fn a_call_whose_response_is_not_taken_ends_for_an_app_of_http_2_as_well() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let app = app(move |stream| {
        let open = Arc::clone(&counted);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let open = Arc::clone(&open);
                async move {
                    open.fetch_add(1, Ordering::Relaxed);
                    // For as long as the client's half of the call is open.
                    tokio::spawn(async move {
                        let _ended = request.into_body().collect().await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                    let endless =
                        futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![7; 4096]))));
                    Ok::<_, Infallible>(Response::new(StreamBody::new(endless.boxed())))
                }
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let world = World::build()
        .set("upstream_url", &format!("http://{app}"))
        .set("upstream_protocol", "http2")
        .set("upstream_total_timeout", "2s")
        .start()
        .await;
    let ann = world.signed_in().await;
    let mut client = Frames::connect(world.address()).await;
    let (cookie, mut block) = (ann.cookie_header(), Vec::new());
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "app.test"),
        (":path", "/call"),
        ("cookie", &cookie),
        ("sec-fetch-site", "same-origin"),
    ];
    fields.iter().for_each(|(name, value)| block.extend(field(name, value)));
    client.send(&frame(HEADERS, END_HEADERS, 1, &block)).await.unwrap();
    client.send(&frame(DATA, 0, 1, b"a first message")).await.unwrap();
    fill_window(&mut client, 1).await;
    assert_eq!(open.load(Ordering::Relaxed), 1);

    let reset = tokio::time::timeout(Duration::from_secs(30), client.reset_of(1)).await;
    reset.expect("nothing else would end it within a minute");
    eventually("the app's half ends", async || open.load(Ordering::Relaxed) == 0).await;
}
