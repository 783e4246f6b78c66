//! Connections in a time that passes by itself: what ends them, and what does not.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{Empty, Full};
use hyper::client::conn::http2::SendRequest;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A connection that is served, and its other end.
struct Served {
    client: DuplexStream,
    task: JoinHandle<()>,
    stop: CancellationToken,
    requests: Arc<AtomicUsize>,
}

/// Serves a connection whose requests take as many seconds as their path says, and are answered with `body`.
fn serve(body: &'static [u8]) -> Served {
    let (client, ours) = duplex(1024);
    let (stop, requests) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted) = (stop.clone(), Arc::clone(&requests));
    let task = tokio::spawn(async move {
        let place = Arc::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        let address = "127.0.0.1".parse().unwrap();
        let peer = Peer { address, is_secure: false, place, interims: Interims::default() };
        let welcome = |peer: Peer| Serving {
            refuse: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
            answer: move |request: Request<Incoming>| {
                let _until_the_connection_ends = &peer;
                counted.fetch_add(1, Ordering::Relaxed);
                let seconds: u32 = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
                async move {
                    sleep(SECOND * seconds).await;
                    Ok(Response::new(Full::new(Bytes::from_static(body))))
                }
            },
        };
        connection(&builder(), Prompt::new(ours, SLOWEST_READER), None, peer, &stopped, welcome).await;
    });
    Served { client, task, stop, requests }
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

    async fn ask(&mut self, path: &str) -> String {
        self.client.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("served") {
            answer.push(char::from(self.client.read_u8().await.unwrap()));
        }
        answer
    }

    async fn http2(self) -> (SendRequest<Empty<Bytes>>, JoinHandle<()>) {
        let (sender, driven) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(self.client)).await.unwrap();
        tokio::spawn(driven);
        (sender, self.task)
    }
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://a{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_never_comes_to_the_end_of_a_head_is_not_waited_for() {
    let endless = ["GET / HTTP/1.1\r\nx: ", &"y".repeat(100)].concat();
    for bytes in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM", endless.as_bytes()] {
        let took = serve(b"served").drip(bytes).await;
        assert!((SECOND * 29..SECOND * 100).contains(&took), "{took:?}");
    }
    let mut second = serve(b"served");
    second.ask("/").await;
    let took = second.drip(endless.as_bytes()).await;
    assert!((SECOND * 29..SECOND * 60).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_not_rest_and_rest_begins_at_its_end() {
    let mut served = serve(b"served");
    for path in ["/0", "/500", "/44", "/59", "/1"] {
        served.ask(path).await;
        sleep(SECOND * 28).await;
    }
    served.ask("/").await;
    assert!(served.drip(b"").await < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_slowly_gets_all_of_it() {
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
    let (mut sender, mut driven) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(served.client)).await.unwrap();
    let answer = tokio::spawn(async move { sender.send_request(request("/500")).await.map(|answer| answer.status()) });
    assert!(timeout(SECOND, &mut driven).await.is_err(), "it has asked");
    sleep(SECOND * 400).await;
    tokio::spawn(driven);
    assert!(answer.await.unwrap().unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_answered_in_words_of_ours() {
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
async fn a_stop_waits_for_answers_that_have_begun_and_for_little_else() {
    // Just connected.
    let mut new = serve(b"served");
    new.stop.cancel();
    sleep(SECOND / 2).await;
    new.ask("/20").await;
    // Between two requests, within the head of one, and within an answer.
    let mut between = serve(b"served");
    between.ask("/").await;
    between.stop.cancel();
    assert!(between.drip(b"").await < SECOND * 6);
    let mut within = serve(b"served");
    within.client.write_all(b"GET / HTT").await.unwrap();
    within.stop.cancel();
    assert!(within.drip(b"").await < MINUTE * 2);
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
