//! Apps that take their time, or take no more requests; and clients that take theirs.

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
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    harness::{World, eventually::eventually, wire::app},
    protocols::{Body, http2},
};

/// No outcome here takes this long.
const LONG: Duration = Duration::from_secs(60);

/// An app of either version that answers with the length of what it was sent, and takes nothing of it at `/stalls`.
async fn counting_app(speaks_http2: bool) -> SocketAddr {
    app(move |stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/stalls" {
                std::future::pending::<()>().await;
            }
            let taken = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(taken.to_string()))))
        });
        let stream = TokioIo::new(stream);
        let _ended = if speaks_http2 {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
        } else {
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
        };
    })
    .await
}

fn protocol(speaks_http2: bool) -> &'static str {
    if speaks_http2 { "http2" } else { "http1" }
}

/// A body of these pieces, with as long a pause before each but the first.
fn pieces(pieces: &'static [&'static str], pause: Duration) -> Body {
    let pieces = stream::iter(pieces.iter().enumerate()).then(move |(at, piece)| async move {
        sleep(if at > 0 { pause } else { Duration::ZERO }).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes())))
    });
    BodyExt::boxed(StreamBody::new(Box::pin(pieces)))
}

#[tokio::test]
async fn an_app_that_takes_no_more_of_an_upload_is_not_waited_for_and_a_client_that_is_slow_is() {
    for speaks_http2 in [false, true] {
        let app = counting_app(speaks_http2).await;
        let routes = move |_: &str| format!("[[route]]\npath = \"/\"\nrule = \"public\"\nupstream = \"http://{app}\"\n");
        let world = World::build()
            .set("upstream_timeout", "1s")
            .set("upstream_protocol", protocol(speaks_http2))
            .routes(routes)
            .start()
            .await;
        let mut connection = http2(world.address()).await;
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16 * 1024]))));
        let upload = Request::post("http://app.test/stalls").body(BodyExt::boxed(StreamBody::new(endless))).unwrap();
        let refused = timeout(LONG, connection.send_request(upload)).await.expect("it is not waited for").unwrap();
        assert_eq!(refused.status(), StatusCode::GATEWAY_TIMEOUT, "{}", protocol(speaks_http2));
        assert_eq!(refused.headers()["evergate-response"], "upstream_timed_out");

        // On a slow machine the app may take more than its second, now and then; a client that is slow is so each time.
        eventually("a slow client is waited for", async || {
            let slow = Request::post("http://app.test/").body(pieces(&["a", "bc", "d"], Duration::from_secs(2))).unwrap();
            let answer = timeout(LONG, connection.send_request(slow)).await.unwrap().unwrap();
            let is_served = answer.status() == StatusCode::OK;
            is_served && answer.into_body().collect().await.unwrap().to_bytes() == "4"
        })
        .await;
    }
}

/// An app of HTTP/2 that answers while its gate is open.
struct GatedApp {
    address: SocketAddr,
    held: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    gate: watch::Sender<bool>,
}

/// One whose every connection takes so many requests at a time.
async fn http2_app_of(streams: u32) -> GatedApp {
    let (held, connections, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
    let (holding, connected, gated) = (Arc::clone(&held), Arc::clone(&connections), gate.clone());
    let address = app(move |stream| {
        connected.fetch_add(1, Ordering::Relaxed);
        let (held, gate) = (Arc::clone(&holding), gated.clone());
        async move {
            let service = service_fn(move |_request: Request<Incoming>| {
                let (held, mut gate) = (Arc::clone(&held), gate.subscribe());
                async move {
                    held.fetch_add(1, Ordering::Relaxed);
                    let _open = gate.wait_for(|open| *open).await;
                    held.fetch_sub(1, Ordering::Relaxed);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"at last"))))
                }
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ended = builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    GatedApp { address, held, connections, gate }
}

#[tokio::test]
async fn requests_beyond_what_an_app_s_connections_take_go_over_further_ones_and_then_wait_and_are_refused_when_they_must_for_long()
 {
    let app = http2_app_of(1).await;
    let address = app.address;
    let world = World::build()
        .set("upstream_url", &format!("http://{address}"))
        .set("upstream_protocol", "http2")
        .set("upstream_connect_timeout", "10m")
        .routes(move |_| format!("[[route]]\npath = \"/hurried\"\nupstream = \"http://{address}\"\nconnect_timeout = \"1s\"\n"))
        .start()
        .await;
    let ann = world.signed_in().await;
    let ask = |path: &'static str| {
        let ann = ann.clone();
        tokio::spawn(async move { ann.fetch(path).await })
    };
    let many: Vec<_> = (0..64).map(|_| ask("/")).collect();
    eventually("each has a connection of its own", async || app.held.load(Ordering::Relaxed) == 64).await;
    assert_eq!(app.connections.load(Ordering::Relaxed), 64);

    let waiting: Vec<_> = (0..10).map(|_| ask("/")).collect();
    // The other route has connections of its own, and these are full as well. On a slow machine some take longer than it allows.
    let insist = || {
        let ann = ann.clone();
        tokio::spawn(async move {
            loop {
                let reply = ann.fetch("/hurried").await;
                if reply.status == StatusCode::OK {
                    return reply;
                }
            }
        })
    };
    let others: Vec<_> = (0..64).map(|_| insist()).collect();
    eventually("each has a connection of its own", async || app.held.load(Ordering::Relaxed) == 128).await;
    let connections = app.connections.load(Ordering::Relaxed);
    let refused = ann.fetch("/hurried").await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "upstream_busy"));

    assert_eq!(app.held.load(Ordering::Relaxed), 128, "those that wait are at no app");
    app.gate.send_replace(true);
    for asked in many.into_iter().chain(waiting).chain(others) {
        assert_eq!(timeout(LONG, asked).await.expect("it has its turn").unwrap().text(), "at last");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), connections, "connections that are free are used");
}

#[tokio::test]
async fn few_connections_bear_many_requests_where_the_app_takes_them() {
    let app = http2_app_of(200).await;
    let world =
        World::build().set("upstream_url", &format!("http://{}", app.address)).set("upstream_protocol", "http2").start().await;
    let ann = world.signed_in().await;
    app.gate.send_replace(true);
    for _ in 0..3 {
        assert_eq!(ann.fetch("/").await.text(), "at last");
    }
    assert_eq!(app.connections.load(Ordering::Relaxed), 1, "one after the other they need one");
    app.gate.send_replace(false);
    let asked = tokio::spawn(async move { ann.fetch_at_once(300, "/").await });
    eventually("the app has all of them", async || app.held.load(Ordering::Relaxed) == 300).await;
    assert_eq!(app.connections.load(Ordering::Relaxed), 8);
    app.gate.send_replace(true);
    for reply in timeout(LONG, asked).await.expect("all are served").unwrap() {
        assert_eq!(reply.text(), "at last");
    }
}

/// An app of HTTP/2 that answers each message at once, from its first on.
async fn conversing_app() -> SocketAddr {
    app(|stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            let mut messages = request.into_body();
            let first = messages.frame().await;
            let rest = stream::unfold(messages, async |mut messages| Some((messages.frame().await?, messages)));
            let echoed = stream::iter(first).chain(Box::pin(rest)).map(|frame| frame.map(|frame| frame.map_data(|data| data)));
            Ok::<_, Infallible>(Response::new(StreamBody::new(echoed)))
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
    })
    .await
}

/// What a client says in a call, when it likes.
fn said() -> (mpsc::Sender<&'static str>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let messages = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let frames = messages.map(|message: &'static str| Ok::<_, Infallible>(Frame::data(Bytes::from_static(message.as_bytes()))));
    (sender, BodyExt::boxed(StreamBody::new(Box::pin(frames))))
}

#[tokio::test]
async fn in_a_call_with_two_directions_an_anonymous_client_may_be_quiet_for_longer_than_within_an_upload() {
    let app = conversing_app().await;
    let routes = move |_: &str| format!("[[route]]\npath = \"/\"\nrule = \"public\"\nupstream = \"http://{app}\"\n");
    let world = World::build().set("client_body_timeout", "1s").set("upstream_protocol", "http2").routes(routes).start().await;
    let connection = http2(world.address()).await;
    let pause = Duration::from_secs(3);
    for content_type in ["application/grpc", "application/octet-stream"] {
        let (sender, body) = said();
        let request = Request::builder().method(Method::POST).uri("http://app.test/Talk").header("content-type", content_type);
        let mut asking = connection.clone();
        let asked = tokio::spawn(async move { asking.send_request(request.body(body).unwrap()).await.unwrap() });
        // The app of a call waits for its client's first message as patiently as for the next.
        if content_type == "application/grpc" {
            sleep(pause).await;
        }
        sender.send("one").await.unwrap();
        let mut response = timeout(LONG, asked).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{content_type}");
        for (message, next) in [("one", Some("two")), ("two", Some("three")), ("three", None)] {
            let frame = timeout(LONG, response.body_mut().frame()).await.unwrap().unwrap();
            assert_eq!(frame.expect("it is not cut").into_data().unwrap(), message, "{content_type}");
            sleep(pause).await;
            if let Some(next) = next {
                sender.send(next).await.unwrap();
            }
        }
        drop(sender);
        let rest = timeout(LONG, response.into_body().collect()).await.unwrap().expect("it ends as it should");
        assert_eq!(rest.to_bytes(), "");
    }

    // An upload is none: nothing has come of an answer.
    let (sender, body) = said();
    let upload = Request::post("http://app.test/upload").body(body).unwrap();
    let mut asking = connection.clone();
    let refused = timeout(LONG, asking.send_request(upload)).await.expect("it is not waited for").unwrap();
    assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    drop(sender);
}
