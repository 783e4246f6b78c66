//! gRPC as a proxy must leave it alone: calls that are quiet for long, and calls whose time is over.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::harness::{
    World,
    frames::{self, Frames},
    logs::lines_with,
    python::{self, Served},
    wire::app,
};

/// Longer than pings were apart when we sent any, and than a connection to an app rests before it is closed.
const QUIET: Duration = Duration::from_secs(40);

/// An app that is quiet for a while before it answers a call, and then says how often it was pinged meanwhile.
async fn quiet_app(quiet: Duration) -> SocketAddr {
    app(move |stream| async move {
        let Some(mut frames) = Frames::accept(stream).await else { return };
        let Some(call) = frames.next_request().await else { return };
        // Whatever comes is read, as pings are.
        let _quiet = tokio::time::timeout(quiet, async { while frames.next().await.is_some() {} }).await;
        let head = [&[0x88][..], &frames::field("x-pings", &frames.pings.to_string())].concat();
        let trailers = frames::field("grpc-status", "0");
        let answer = [
            frames::frame(frames::HEADERS, frames::END_HEADERS, call, &head),
            frames::frame(frames::HEADERS, frames::END_HEADERS | frames::END_STREAM, call, &trailers),
        ];
        frames.send(&answer.concat()).await;
        while frames.next().await.is_some() {}
    })
    .await
}

/// Calls as gRPC does: the head of the answer, and its trailers.
async fn call(world: &World, path: &str, cookie: &str, timeout: &str) -> (http::response::Parts, Option<http::HeaderMap>) {
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://app.test{path}"))
        .header("cookie", cookie)
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", timeout)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().trailers().cloned())
}

#[tokio::test]
async fn a_quiet_call_is_not_pinged_and_its_line_has_its_status() {
    let address = quiet_app(QUIET).await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).set("upstream_protocol", "http2").start().await;
    let cookie = world.signed_in().await.cookie_header();
    let (head, trailers) = call(&world, "/test.Quiet/Unary", &cookie, "1M").await;
    assert_eq!((head.status, &head.headers["x-pings"]), (StatusCode::OK, &http::HeaderValue::from_static("0")));
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
    let line = lines_with(&["evergate::access", "/test.Quiet/Unary"]).pop().unwrap();
    assert!(line.contains("\"rpc.grpc.status_code\":0") && line.contains("\"end\":\"complete\""), "{line}");
}

#[tokio::test]
async fn a_refusal_of_ours_to_a_call_whose_time_is_over_is_a_status_of_grpc() {
    let address = quiet_app(Duration::from_secs(60)).await;
    let world = World::build()
        .set("upstream_url", &format!("http://{address}"))
        .set("upstream_protocol", "http2")
        .set("upstream_timeout", "300ms")
        .start()
        .await;
    let cookie = world.signed_in().await.cookie_header();
    let (late, _) = call(&world, "/test.Late/Unary", &cookie, "100m").await;
    assert_eq!((late.status, &late.headers["grpc-status"]), (StatusCode::OK, &http::HeaderValue::from_static("4")));
    assert_eq!(
        (&late.headers["content-type"], &late.headers["evergate-response"]),
        (&http::HeaderValue::from_static("application/grpc"), &http::HeaderValue::from_static("deadline_exceeded"),)
    );
    let line = lines_with(&["evergate::access", "/test.Late/Unary"]).pop().unwrap();
    assert!(line.contains("\"rpc.grpc.status_code\":4"), "{line}");
    let (early, _) = call(&world, "/test.Early/Unary", &cookie, "1H").await;
    assert_eq!((early.status, early.headers.get("grpc-status")), (StatusCode::GATEWAY_TIMEOUT, None), "its client still waits");
}

#[tokio::test]
async fn a_call_past_its_deadline_is_never_unavailable_to_grpc_s_own_client() {
    let app = Served::start("grpc_peer.py", &["serve"]);
    let world = World::build()
        .set("upstream_url", &format!("http://127.0.0.1:{}", app.port))
        .set("upstream_protocol", "http2")
        .start()
        .await;
    let cookie = world.signed_in().await.cookie_header();
    let output = python::run("grpc_peer.py", &["deadlines", &world.address().port().to_string(), &cookie]).await;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("what came of it");
    assert_eq!(said, serde_json::json!({"DEADLINE_EXCEEDED": 60}));
}
