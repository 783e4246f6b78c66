//! A crowd: idle WebSockets and busy connections at once, and what one gateway needs for them.
//!
//! A small crowd is a test. The large ones, of which the documentation has the figures:
//! `CROWD_IDLE=7000 CROWD_BUSY=2000 cargo test --release --test heavy crowd -- --nocapture`, and with
//! `CROWD_IDLE=0 CROWD_STREAMS=10000`, for which half as many file descriptors are enough.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::harness::{World, eventually::eventually, figure, visitor::Visitor};

/// Resident memory of a process, in MiB.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Asks again and again over one connection, until it is over.
async fn busy(visitor: Visitor, address: std::net::SocketAddr, over: Arc<AtomicBool>, answers: Arc<AtomicUsize>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    while !over.load(Relaxed) {
        let request = http::Request::get("/page")
            .header("host", "app.test")
            .header("cookie", visitor.cookie_header())
            .body(Empty::<Bytes>::new())
            .unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        answers.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// As many WebSockets are on one connection of HTTP/2 as it may have streams.
const STREAMS_EACH: u64 = 100;

async fn http2(address: std::net::SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    // Else each opening waits for an acknowledgement of what went before.
    stream.set_nodelay(true).unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A WebSocket that was just heard to be alive.
async fn said<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) -> WebSocketStream<S> {
    socket.send(Message::text("here")).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn idle_websockets_hold_little_and_disturb_no_busy_connection() {
    let (idle, streams, many) = (figure("CROWD_IDLE", 200), figure("CROWD_STREAMS", 200), figure("CROWD_BUSY", 50));
    let world = World::build().in_real_time().replicas(0).start().await;
    let process = world.process(None).await;
    let visitor = Visitor::new(process.address);
    visitor.log_in(&world.idp, "/").await;
    let before = resident(process.id());
    let mut sockets = Vec::new();
    for _ in 0..idle {
        sockets.push(said(visitor.websocket().await).await);
    }
    let with_idle = resident(process.id());
    let (mut connections, mut on_streams) = (Vec::new(), Vec::new());
    for number in 0..streams {
        if number % STREAMS_EACH == 0 {
            connections.push(http2(process.address).await);
        }
        on_streams.push(said(visitor.websocket_on(connections.last_mut().unwrap()).await).await);
    }
    let with_streams = resident(process.id());
    let (over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let asking: Vec<_> = (0..many)
        .map(|_| tokio::spawn(busy(visitor.clone(), process.address, Arc::clone(&over), Arc::clone(&answers))))
        .collect();
    let some = usize::try_from(4 * many).unwrap();
    eventually("all are served several times", async || answers.load(Relaxed) >= some).await;
    let with_all = resident(process.id());
    over.store(true, Relaxed);
    for one in asking {
        one.await.unwrap();
    }
    for socket in sockets {
        said(socket).await;
    }
    for socket in on_streams {
        said(socket).await;
    }
    let each = |memory: f64, number: u64| memory * 1024.0 / number.max(1) as f64;
    println!(
        "{idle} idle WebSockets: {:.1} KiB each ({before:.0} to {with_idle:.0} MiB); {streams} on streams of HTTP/2: {:.1} KiB each \
         (to {with_streams:.0} MiB); with {many} busy connections besides {with_all:.0} MiB; {} answers",
        each(with_idle - before, idle),
        each(with_streams - with_idle, streams),
        answers.load(Relaxed)
    );
    assert!(with_all < 300.0, "{with_all} MiB");
}
