//! What ends a connection and what does not, in a time that passes by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{activity::ConnectionActivity, alpn::Expected, connection::serve_connection, *};

mod eviction;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A connection that is served, and its other end.
struct Served {
    client: DuplexStream,
    task: JoinHandle<()>,
    stop: CancellationToken,
    requests: Arc<AtomicUsize>,
    activity: Arc<ConnectionActivity>,
}

/// Serves a connection whose requests take as many seconds as their path says, and are answered with `body`.
fn serve(body: &'static [u8]) -> Served {
    let (client, ours) = duplex(1024);
    let (stop, requests) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted) = (stop.clone(), Arc::clone(&requests));
    let make_service = move |peer: Peer| ConnectionService {
        reject: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
        respond: move |request: Request<Incoming>| {
            let _until_the_connection_ends = &peer;
            counted.fetch_add(1, Ordering::Relaxed);
            let seconds: u32 = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
            async move {
                sleep(SECOND * seconds).await;
                Ok(Response::new(Full::new(Bytes::from_static(body))))
            }
        },
    };
    let interims = InterimResponses::default();
    let activity = Arc::clone(&interims.0);
    let task = spawn(ours, interims, stopped, make_service);
    Served { client, task, stop, requests, activity }
}

/// Spawns a connection. Generic, because the compiler cannot prove of the closures' own types that the future can be sent.
fn spawn<S, F>(
    stream: DuplexStream,
    interims: InterimResponses,
    stop: CancellationToken,
    make_service: impl FnOnce(Peer) -> ConnectionService<S> + Send + 'static,
) -> JoinHandle<()>
where
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, StreamReset>> + Send + 'static,
{
    tokio::spawn(async move {
        let slot = ConnectionSlot::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        let address = "127.0.0.1".parse().unwrap();
        let peer = Peer { address, is_secure: false, slot, interims };
        serve_connection(&Protocols::new(), stream, Expected::Either, peer, &stop, make_service).await;
    })
}

impl Served {
    /// Sends a byte of this every ten seconds; how long it took until the connection was no more.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
    async fn drip(mut self, bytes: &[u8]) -> Duration {
        let begun = Instant::now();
        for byte in bytes {
            if self.client.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(SECOND * 10).await;
        }
        let mut rest = Vec::new();
        let _closed_or_reset = self.client.read_to_end(&mut rest).await;
        drop(self.client);
        self.task.await.unwrap();
        begun.elapsed()
    }

    async fn request(&mut self, path: &str) -> String {
        self.client.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        self.read_response().await
    }

    async fn read_response(&mut self) -> String {
        let mut response = String::new();
        while !response.ends_with("served") {
            response.push(char::from(self.client.read_u8().await.unwrap()));
        }
        response
    }

    async fn http2(self) -> (SendRequest<Empty<Bytes>>, JoinHandle<()>) {
        let (sender, driven) = http2::handshake(TokioExecutor::new(), TokioIo::new(self.client)).await.unwrap();
        tokio::spawn(driven);
        (sender, self.task)
    }
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://a{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_or_never_completes_a_head_is_not_waited_for() {
    let endless = ["GET / HTTP/1.1\r\nx: ", &"y".repeat(100)].concat();
    for bytes in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM", endless.as_bytes()] {
        let took = serve(b"served").drip(bytes).await;
        assert!((SECOND * 29..SECOND * 100).contains(&took), "{took:?}");
    }
    let mut second = serve(b"served");
    second.request("/").await;
    let took = second.drip(endless.as_bytes()).await;
    assert!((SECOND * 29..SECOND * 60).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_not_idle_and_the_idle_time_begins_at_its_end() {
    let mut served = serve(b"served");
    for path in ["/0", "/500", "/44", "/59", "/1"] {
        served.request(path).await;
        sleep(SECOND * 28).await;
    }
    served.request("/").await;
    let took = served.drip(b"").await;
    assert!((SECOND * 615..SECOND * 660).contains(&took), "longer than any load balancer keeps it: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_whole_response() {
    const LENGTH: usize = 300_000;
    let mut served = serve(&[b'x'; LENGTH]);
    served.client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut read = 0;
    loop {
        let got = served.client.read(&mut [0; 1000]).await.unwrap();
        if got == 0 {
            break;
        }
        read += got;
        sleep(SECOND * 2).await;
    }
    assert!(read > LENGTH, "{read}");
    served.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_is_kept_for_minutes_and_ended_then_however_it_answers_pings() {
    let (mut sender, task) = serve(b"served").http2().await;
    for _ in 0..3 {
        sender.send_request(request("/")).await.unwrap();
        sleep(SECOND * 170).await;
    }
    sender.send_request(request("/3000")).await.unwrap();
    timeout(MINUTE * 4, task).await.expect("it has an end").unwrap();
    let (_unused, task) = serve(b"served").http2().await;
    timeout(MINUTE * 2, task).await.expect("one without a request has an end sooner").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http_2_that_neither_reads_nor_speaks_for_long_is_not_ended_while_it_waits() {
    let served = serve(b"served");
    let (mut sender, mut driven) = http2::handshake(TokioExecutor::new(), TokioIo::new(served.client)).await.unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request("/500")).await.map(|answer| answer.status()) });
    assert!(timeout(SECOND, &mut driven).await.is_err(), "it has asked");
    sleep(SECOND * 400).await;
    tokio::spawn(driven);
    assert!(answer.await.unwrap().unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_parsed_gets_a_response_of_ours() {
    for before in ["", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut served = serve(b"served");
        served.client.write_all(format!("{before}GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        served.client.read_to_string(&mut answer).await.unwrap();
        let (first, last) = answer.split_at(answer.rfind("HTTP/1.1 ").unwrap());
        assert!(last.starts_with("HTTP/1.1 200 OK\r\n") && last.ends_with("\r\nconnection: close\r\n\r\nunreadable"), "{answer}");
        assert_eq!(first.ends_with("served"), !before.is_empty(), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_responses_in_progress_and_for_little_else() {
    // Just connected.
    let mut new = serve(b"served");
    new.stop.cancel();
    sleep(SECOND / 2).await;
    new.request("/20").await;
    // Between two requests, within the head of one, and within an answer.
    let mut between = serve(b"served");
    between.request("/").await;
    between.stop.cancel();
    assert!(between.drip(b"").await < SECOND * 6);
    let mut within = serve(b"served");
    within.client.write_all(b"GET / HTT").await.unwrap();
    within.stop.cancel();
    assert!(within.drip(b"").await < SECOND * 6);
    let answered = serve(b"served");
    let (requests, stop) = (Arc::clone(&answered.requests), answered.stop.clone());
    let (mut sender, task) = answered.http2().await;
    let answer = tokio::spawn(async move { sender.send_request(request("/100")).await.map(|answer| answer.status()) });
    while requests.load(Ordering::Relaxed) == 0 {
        sleep(SECOND).await;
    }
    stop.cancel();
    assert_eq!(answer.await.unwrap().unwrap(), http::StatusCode::OK);
    timeout(MINUTE, task).await.expect("and then it ends").unwrap();
}

/// Longer than it takes until an idle connection is parked.
const PARKED: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_parked_connection_serves_the_next_request_however_that_arrives() {
    let mut served = serve(b"served");
    served.client.write_all(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await.unwrap();
    served.read_response().await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody";
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut expected = 1;
    for (before, after) in
        [("", get), (post, get), (get, "G"), ("", "ET / HTTP/1.1\r\nhost: a\r\n\r\n"), ("GET / HT", "TP/1.1\r\nhost: a\r\n\r\n")]
    {
        // What ends with half a head is completed after the pause.
        served.client.write_all(before.as_bytes()).await.unwrap();
        sleep(PARKED).await;
        served.client.write_all(after.as_bytes()).await.unwrap();
        let responses = usize::from(before.contains("\r\n\r\n")) + usize::from(after.ends_with("\r\n\r\n"));
        for _ in 0..responses {
            served.read_response().await;
        }
        expected += responses;
    }
    sleep(PARKED).await;
    served.client.write_all([get, post, get].concat().as_bytes()).await.unwrap();
    for _ in 0..3 {
        served.read_response().await;
    }
    assert_eq!(served.requests.load(Ordering::Relaxed), expected + 3, "each once");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_that_came_with_a_request_is_not_lost_when_the_connection_rests() {
    let mut served = serve(b"served");
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let (first, rest) = get.split_at(9);
    let (second, third) = rest.split_at(3);
    served.client.write_all([get, first].concat().as_bytes()).await.unwrap();
    served.read_response().await;
    sleep(PARKED).await;
    served.client.write_all(second.as_bytes()).await.unwrap();
    sleep(PARKED).await;
    served.client.write_all(third.as_bytes()).await.unwrap();
    served.read_response().await;
    served.client.write_all([get, first].concat().as_bytes()).await.unwrap();
    served.read_response().await;
    sleep(PARKED).await;
    assert!(served.drip(b"xxxxxxxxxx").await < MINUTE, "and it has the time of a head");
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_ends_when_it_is_idle_for_too_long_or_its_client_is_too_slow() {
    let endless = ["GET / HTTP/1.1\r\nx: ", &"y".repeat(100)].concat();
    for (bytes, ends) in [(&b""[..], SECOND * 615..SECOND * 660), (endless.as_bytes(), SECOND * 29..SECOND * 50)] {
        let mut served = serve(b"served");
        served.request("/").await;
        sleep(PARKED).await;
        let took = served.drip(bytes).await + PARKED;
        assert!(ends.contains(&took), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_ends_immediately_when_its_client_leaves_or_a_drain_begins() {
    let mut left = serve(b"served");
    left.request("/").await;
    sleep(PARKED).await;
    drop(left.client);
    timeout(SECOND, left.task).await.expect("it has an end").unwrap();
    for bytes in [&b""[..], b"GET / HT"] {
        let mut served = serve(b"served");
        served.request("/").await;
        sleep(PARKED).await;
        served.client.write_all(bytes).await.unwrap();
        sleep(SECOND / 10).await;
        served.stop.cancel();
        let mut rest = Vec::new();
        timeout(SECOND / 10, served.client.read_to_end(&mut rest)).await.expect("it is told immediately").unwrap();
        assert_eq!(rest, b"");
        drop(served.client);
        timeout(SECOND / 10, served.task).await.expect("and ends").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_parsed_after_a_rest_ends_the_connection_and_nothing_else_is_spoken() {
    let closing = "\r\nconnection: close\r\n\r\nunreadable";
    for (bytes, end) in [("GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n", closing), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "")] {
        let mut served = serve(b"served");
        served.request("/").await;
        sleep(PARKED).await;
        served.client.write_all(bytes.as_bytes()).await.unwrap();
        let mut response = String::new();
        served.client.read_to_string(&mut response).await.unwrap();
        assert!(response.ends_with(end) && response.is_empty() == end.is_empty(), "{response}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_still_comes_of_a_body_whose_response_is_complete_is_never_taken_for_a_request() {
    let (mut client, ours) = duplex(1024);
    let (requests, received) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, read) = (Arc::clone(&requests), Arc::clone(&received));
    let make_service = move |peer: Peer| ConnectionService {
        reject: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
        respond: move |request: Request<Incoming>| {
            counted.fetch_add(1, Ordering::Relaxed);
            // As an app of HTTP/2 does that responds first and reads on.
            let (open, read) = (peer.slot.in_use().open_body(), Arc::clone(&read));
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    read.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::Relaxed);
                }
                drop(open);
            });
            std::future::ready(Ok(Response::new(Full::new(Bytes::from_static(b"early")))))
        },
    };
    let _task = spawn(ours, InterimResponses::default(), CancellationToken::new(), make_service);
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 41\r\n\r\nten bytes.").await.unwrap();
    let mut response = [0; 1024];
    assert_ne!(client.read(&mut response).await.unwrap(), 0);
    sleep(PARKED).await;
    client.write_all(b"GET /smuggled HTTP/1.1\r\nhost:a\r\n\r\n").await.unwrap();
    sleep(PARKED).await;
    assert_eq!((requests.load(Ordering::Relaxed), received.load(Ordering::Relaxed)), (1, 41), "all of it is the body's");
}

#[tokio::test]
async fn every_listener_lets_as_many_connections_wait() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let listener = bind(address.parse().unwrap()).unwrap();
        let mut address = listener.local_addr().unwrap();
        address.set_ip(Ipv4Addr::LOCALHOST.into());
        let mut waiting = Vec::new();
        for _ in 0..400 {
            waiting.push(timeout(MINUTE, TcpStream::connect(address)).await.expect("it need not be accepted").unwrap());
        }
    }
}
