//! The limit of open files, which neither clients nor metrics may use up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Method, Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
};

use crate::{
    harness::{
        World,
        eventually::eventually,
        process::Process,
        visitor::Visitor,
        wire::{app, read_head},
    },
    protocols::{http2, whole},
};

/// Leaves 86 connections to clients, and as many to apps.
const MAX_FILES: u32 = 300;
const TO_APPS: usize = 86;

/// How many of the former are not of the reserve.
const OF_CLIENTS: usize = 76;

/// A process with few descriptors before an app that never answers.
async fn few_descriptors() -> (World, Process) {
    let silent = app(|mut stream| async move {
        let mut dropped = [0; 4096];
        while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    few_descriptors_before(&[("/silent", silent)]).await
}

/// A process with few descriptors before these apps.
async fn few_descriptors_before(apps: &[(&str, SocketAddr)]) -> (World, Process) {
    let route = |(path, app): &(&str, SocketAddr)| {
        format!("[[route]]\npath = \"{path}\"\nrule = \"public\"\nupstream = \"http://{app}\"\n")
    };
    let routes: String = apps.iter().map(route).collect();
    let world = World::build()
        .in_real_time()
        .replicas(0)
        .set("upstream_connect_timeout", "5s")
        .routes(move |_| routes.clone())
        .start()
        .await;
    let process = world.spawn_limited(None, Some(MAX_FILES));
    let visitor = Visitor::new(process.address);
    eventually("the process is ready", async || {
        visitor.try_send(Method::GET, "/oauth2/readyz", &[], "").await.is_some_and(|reply| reply.status == StatusCode::OK)
    })
    .await;
    (world, process)
}

async fn is_ready(address: SocketAddr) -> bool {
    Visitor::new(address).get("/oauth2/readyz").await.status == StatusCode::OK
}

#[tokio::test]
async fn requests_over_http_2_open_no_more_connections_to_apps_than_the_limit_of_files_allows() {
    let (_world, process) = few_descriptors().await;
    let (busy, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let mut connections = Vec::new();
    for _ in 0..3 {
        let connection = http2(process.address).await;
        for _ in 0..90 {
            let (mut requests, busy) = (connection.clone(), busy.clone());
            tokio::spawn(async move {
                let request = Request::get("http://app.test/silent").body(whole("")).unwrap();
                if let Ok(response) = requests.send_request(request).await {
                    let mark = response.headers().get("evergate-response").cloned();
                    let _all_came = busy.send((response.status(), mark));
                }
            });
        }
        connections.push(connection);
    }
    // All beyond the limit are refused; the others wait for the app.
    for _ in 0..3 * 90 - TO_APPS {
        let (status, mark) = tokio::time::timeout(Duration::from_secs(60), answered.recv()).await.unwrap().unwrap();
        assert_eq!((status, mark.unwrap().to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "upstream_busy"));
    }
    assert!(is_ready(process.address).await);
    assert!(answered.try_recv().is_err());
}

/// An app that says how long it keeps connections, and answers when so many requests have come.
async fn keeping_app(requests: usize) -> SocketAddr {
    let all_came = Arc::new(Barrier::new(requests));
    app(move |mut stream| {
        let all_came = Arc::clone(&all_came);
        async move {
            while read_head(&mut stream).await.is_some() {
                all_came.wait().await;
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=60\r\n\r\nok";
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn idle_connections_to_one_app_make_room_for_another() {
    let apps = [("/many", keeping_app(TO_APPS).await), ("/other", keeping_app(1).await)];
    let (_world, process) = few_descriptors_before(&apps).await;
    let requests = http2(process.address).await;
    let ask = |path: &str| {
        let (mut requests, request) = (requests.clone(), Request::get(format!("http://app.test{path}")).body(whole("")).unwrap());
        async move { requests.send_request(request).await.unwrap().status() }
    };
    let answered = futures_util::future::join_all((0..TO_APPS).map(|_| ask("/many"))).await;
    assert_eq!(answered, [StatusCode::OK; TO_APPS]);
    assert_eq!(ask("/other").await, StatusCode::OK);
}

#[tokio::test]
async fn a_probe_is_answered_though_every_connection_is_in_use() {
    let (_world, process) = few_descriptors().await;
    let mut in_use = Vec::new();
    for _ in 0..OF_CLIENTS {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        stream.write_all(b"GET /silent HTTP/1.1\r\nhost: app.test\r\n\r\n").await.unwrap();
        in_use.push(stream);
    }
    let newcomer = Visitor::new(process.address);
    eventually("all are in use", async || {
        let refused = newcomer.get("/oauth2/userinfo").await;
        refused.status == StatusCode::SERVICE_UNAVAILABLE && refused.header("evergate-response") == "server_busy"
    })
    .await;
    for probe in ["/oauth2/healthz", "/oauth2/readyz"] {
        assert_eq!(Visitor::new(process.address).get(probe).await.status, StatusCode::OK);
    }
    in_use.pop();
    eventually("the newcomer is served", async || newcomer.get("/oauth2/userinfo").await.status == StatusCode::UNAUTHORIZED)
        .await;
}

#[tokio::test]
async fn silent_connections_beyond_the_limit_of_files_lock_nobody_out() {
    let (_world, process) = few_descriptors().await;
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        // One that makes room is closed while it is still written to.
        let _may_be_closed = stream.write_all(if number % 2 == 0 { b"" } else { b"GET / HTTP/1.1\r\nhost: app.te" }).await;
        silent.push(stream);
        if number % 20 == 0 {
            assert!(tokio::time::timeout(Duration::from_secs(20), is_ready(process.address)).await.expect("at once"));
        }
    }
    assert!(tokio::time::timeout(Duration::from_secs(20), is_ready(process.address)).await.expect("at once"));
}

#[tokio::test]
async fn whoever_reaches_the_metrics_holds_few_connections_and_holds_up_no_stop() {
    let mut world = World::build().set("shutdown_timeout", "20s").start().await;
    let address = world.replicas[0].metrics_address.unwrap();
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /m").await.unwrap();
        held.push(stream);
    }
    assert_eq!(Visitor::new(address).get("/metrics").await.status, StatusCode::OK);
    assert_eq!(Visitor::new(address).get("/other").await.status, StatusCode::NOT_FOUND);
    assert_eq!(Visitor::new(address).send(Method::POST, "/metrics", &[], "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    let first = tokio::time::timeout(Duration::from_secs(20), held[0].read(&mut [0; 16])).await.expect("it made room");
    assert!(first.map_or(true, |read| read == 0));
    assert!(world.replicas.remove(0).stop().await, "a head that does not come is not waited for");
}
