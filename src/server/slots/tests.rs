//! Connections of real sockets: which of them make room for others, and what a slow reader lets out.

use std::{
    error::Error,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::AtomicUsize,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::{ConnectionService, CutBody, Listener, Peer, StreamReset, bind, serve};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Serves connections of a socket on so many slots, none of them of a reserve, and responds after as many seconds as a path says.
async fn listen(slots: usize) -> (SocketAddr, CancellationToken) {
    listen_on(ConnectionSlots::new(slots)).await
}

async fn listen_on(slots: Arc<ConnectionSlots>) -> (SocketAddr, CancellationToken) {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, stop) = (socket.local_addr().unwrap(), CancellationToken::new());
    let make_service = |_peer: Peer| ConnectionService {
        reject: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
        respond: |request: Request<Incoming>| {
            let seconds: u64 = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
            async move {
                sleep(Duration::from_secs(seconds)).await;
                Ok(Response::new(Full::new(Bytes::from_static(b"served"))))
            }
        },
    };
    tokio::spawn(serve_on(Listener { socket, tls: None }, slots, stop.clone(), make_service));
    (address, stop)
}

/// Generic, because the compiler cannot prove of the closures' own types that the future can be sent.
async fn serve_on<M, S, F, B>(listener: Listener, slots: Arc<ConnectionSlots>, stop: CancellationToken, make_service: M)
where
    M: Fn(Peer) -> ConnectionService<S> + Clone + Send + Sync + 'static,
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<B>, StreamReset>> + Send + 'static,
    B: CutBody + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    serve(listener, slots, stop, make_service).await;
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

async fn ask_again(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
}

/// A connection of HTTP/2, and what ends with it.
async fn http2(address: SocketAddr) -> (SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (requests, driven) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    (requests, tokio::spawn(driven))
}

async fn is_served_over_http2(requests: &mut SendRequest<Empty<Bytes>>) -> bool {
    requests.send_request(Request::get("http://a/").body(Empty::new()).unwrap()).await.is_ok()
}

async fn is_served(stream: &mut TcpStream) -> bool {
    let mut response = Vec::new();
    while !response.ends_with(b"served") {
        match timeout(MINUTE, stream.read_u8()).await.expect("it has an end") {
            Ok(byte) => response.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn connections_on_which_nothing_is_in_progress_make_room_for_others_silent_ones_first() {
    let (address, _stop) = listen(4).await;
    let mut used = ask(address, "/").await;
    assert!(is_served(&mut used).await);
    let mut silent = Vec::new();
    for said in [&b""[..], b"GET / HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..3 {
        let mut other = ask(address, "/").await;
        assert!(is_served(&mut other).await, "silent connections lock nobody out");
        silent.push(other);
    }
    ask_again(&mut used).await;
    assert!(is_served(&mut used).await, "one that was used is left alone while there are silent ones");
    for _ in 0..20 {
        assert!(is_served(&mut ask(address, "/").await).await);
    }
}

#[tokio::test]
async fn whoever_has_just_connected_is_left_to_send_a_first_request() {
    let (address, _stop) = listen(16).await;
    let mut used = Vec::new();
    for _ in 0..16 {
        let mut stream = ask(address, "/").await;
        assert!(is_served(&mut stream).await);
        used.push(stream);
    }
    let mut newcomer = TcpStream::connect(address).await.unwrap();
    for _ in 0..3 {
        let mut other = ask(address, "/").await;
        assert!(is_served(&mut other).await);
        used.push(other);
    }
    ask_again(&mut newcomer).await;
    assert!(is_served(&mut newcomer).await);
}

#[tokio::test]
async fn where_many_are_idle_several_make_room_at_a_time_and_those_that_were_used_last_stay() {
    let (address, _stop) = listen(2 * IDLE_PER_EVICTED).await;
    let mut used = Vec::new();
    for _ in 0..2 * IDLE_PER_EVICTED {
        let mut stream = ask(address, "/").await;
        assert!(is_served(&mut stream).await);
        used.push(stream);
    }
    let mut other = ask(address, "/").await;
    assert!(is_served(&mut other).await);
    for first in &mut used[..2] {
        assert!(!is_served(first).await, "the two that were used first make room");
    }
    for stream in &mut used[2..] {
        ask_again(stream).await;
        assert!(is_served(stream).await, "no more than those do");
    }
}

#[tokio::test]
async fn the_one_whose_last_request_is_longest_ago_makes_room_in_either_version() {
    for is_http2_used_last in [true, false] {
        let (address, _stop) = listen(2).await;
        let (mut over_http2, http2_ended) = http2(address).await;
        assert!(is_served_over_http2(&mut over_http2).await);
        let mut over_http1 = ask(address, "/").await;
        assert!(is_served(&mut over_http1).await);
        if is_http2_used_last {
            assert!(is_served_over_http2(&mut over_http2).await);
        }
        let mut newcomer = ask(address, "/").await;
        assert!(is_served(&mut newcomer).await);
        if is_http2_used_last {
            assert!(!is_served(&mut over_http1).await);
            assert!(is_served_over_http2(&mut over_http2).await);
        } else {
            timeout(MINUTE, http2_ended).await.expect("it is told").unwrap().unwrap();
            ask_again(&mut over_http1).await;
            assert!(is_served(&mut over_http1).await);
        }
    }
}

#[tokio::test]
async fn no_request_is_cut_for_another_connection() {
    let (address, _stop) = listen(2).await;
    let mut slow = [ask(address, "/3").await, ask(address, "/3").await];
    let mut waiting = ask(address, "/").await;
    assert!(is_served(&mut waiting).await, "it waits until one of them is over");
    for slow in &mut slow {
        assert!(is_served(slow).await);
    }
}

/// Sixteen slots, of which two are of the reserve; all the others are in use.
async fn listen_with_all_in_use() -> (SocketAddr, CancellationToken, Vec<TcpStream>) {
    let (address, stop) = listen_on(ConnectionSlots::with_reserve(16)).await;
    let mut in_use = Vec::new();
    for _ in 0..14 {
        in_use.push(ask(address, "/120").await);
    }
    (address, stop, in_use)
}

#[tokio::test]
async fn many_who_come_while_all_are_in_use_follow_one_another_on_the_reserve_at_once() {
    let (address, _stop, _in_use) = listen_with_all_in_use().await;
    let mut answered = Vec::new();
    let crowd = async {
        // Half of them keep their connections, and each may have to make room for the next.
        for number in 0..200 {
            let mut newcomer = ask(address, "/").await;
            assert!(is_served(&mut newcomer).await, "{number}");
            if number % 2 == 0 {
                answered.push(newcomer);
            }
        }
    };
    // With the pause of an eviction before each, they would take more than twice as long.
    timeout(80 * EVICTION_TIME, crowd).await.expect("none of them waits for another's end");
}

#[tokio::test]
async fn whoever_has_just_connected_on_the_reserve_is_left_to_send_a_first_request() {
    let (address, _stop, _in_use) = listen_with_all_in_use().await;
    let mut probe = TcpStream::connect(address).await.unwrap();
    for _ in 0..5 {
        assert!(is_served(&mut ask(address, "/").await).await);
    }
    ask_again(&mut probe).await;
    assert!(is_served(&mut probe).await);
}

#[tokio::test]
async fn connections_that_wait_in_the_kernel_s_queue_when_a_stop_begins_are_served() {
    let (address, stop) = listen(2).await;
    let mut in_use = [ask(address, "/1").await, ask(address, "/1").await];
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(ask(address, "/").await);
    }
    stop.cancel();
    for stream in in_use.iter_mut().chain(&mut waiting) {
        assert!(is_served(stream).await);
    }
}

#[tokio::test]
async fn what_a_slow_reader_takes_lets_more_out_long_before_the_socket_s_buffer_is_nearly_empty() {
    let (address, _stop) = listen_to_endless().await;
    let mut stream = ask(address.0, "/").await;
    let produced = address.1;
    // Nothing more is produced: all buffers are full. Between two looks everything else on this thread does what it can, so that their number
    // counts, and not how fast the machine is.
    let full = async || {
        let (mut before, mut looks) = (0, 0);
        while looks < 20 {
            sleep(SECOND / 20).await;
            let now = produced.load(Ordering::Relaxed);
            looks = if now > 0 && now == before { looks + 1 } else { 0 };
            before = now;
        }
        before
    };
    let before = full().await;
    stream.read_exact(&mut vec![0; 256 * 1024]).await.unwrap();
    timeout(MINUTE, async {
        while produced.load(Ordering::Relaxed) == before {
            sleep(SECOND / 100).await;
        }
    })
    .await
    .expect("a client that reads slowly is not one that reads nothing");
}

/// A body without an end, which counts what it has given.
struct Endless(Arc<AtomicUsize>);

impl Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024])))))
    }
}

impl CutBody for Endless {
    fn poll_cut(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

async fn listen_to_endless() -> ((SocketAddr, Arc<AtomicUsize>), CancellationToken) {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (address, stop, produced) = (socket.local_addr().unwrap(), CancellationToken::new(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&produced);
    let make_service = move |_peer: Peer| {
        let counted = Arc::clone(&counted);
        ConnectionService {
            reject: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
            respond: move |_request: Request<Incoming>| std::future::ready(Ok(Response::new(Endless(Arc::clone(&counted))))),
        }
    };
    tokio::spawn(serve_on(Listener { socket, tls: None }, ConnectionSlots::new(1), stop.clone(), make_service));
    ((address, produced), stop)
}
