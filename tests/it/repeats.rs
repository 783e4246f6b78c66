//! Connections to an app that end in the moment in which a request goes out on them: what may be sent once more, and what may not.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{
    World,
    frames::{self, Frames},
    visitor::{Reply, Visitor},
    wire::{app, read_head},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-upstream: 1\r\n\r\n";
const OURS: [(&str, &str); 1] = [("sec-fetch-site", "same-origin")];

/// What an app was asked for: the number of the connection, and the request's method and target.
type Asked = Arc<Mutex<Vec<(usize, String)>>>;

/// How an app ends a connection on which a second request came.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It closes it, having sent this.
    Closes(&'static str),
    Resets,
}

/// An app that answers the first request on each connection, or what `answers` picks, and ends it when a second one has come.
async fn leaving_app(end: End, answers: fn(usize) -> bool) -> (SocketAddr, Asked) {
    let (asked, connections) = (Asked::default(), Arc::new(AtomicUsize::new(0)));
    let noting = Arc::clone(&asked);
    let address = app(move |mut stream| {
        let (noting, number) = (Arc::clone(&noting), connections.fetch_add(1, Ordering::Relaxed));
        async move {
            let mut first = answers(number);
            while let Some((head, _)) = read_head(&mut stream).await {
                noting.lock().unwrap().push((number, head.split(" HTTP").next().unwrap().to_owned()));
                if !std::mem::take(&mut first) {
                    match end {
                        End::Closes(last) => stream.write_all(last.as_bytes()).await.unwrap(),
                        End::Resets => stream.set_zero_linger().unwrap(),
                    }
                    return;
                }
                let is_upgrade = head.contains("upgrade: websocket");
                let switched = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(if is_upgrade { switched } else { OK }).await.unwrap();
            }
        }
    })
    .await;
    (address, asked)
}

async fn world_before(app: SocketAddr) -> (World, Visitor) {
    let world = World::build().set("upstream_url", &format!("http://{app}")).start().await;
    let visitor = world.signed_in().await;
    (world, visitor)
}

fn asked_for(asked: &Asked, target: &str) -> Vec<usize> {
    let asked = asked.lock().unwrap();
    asked.iter().filter(|(_, line)| line.ends_with(target)).map(|(connection, _)| *connection).collect()
}

fn is_broken(reply: &Reply) -> bool {
    (reply.status, reply.header("evergate-response")) == (StatusCode::BAD_GATEWAY, "upstream_broken")
}

#[tokio::test]
async fn a_safe_request_is_sent_once_more_if_the_connection_that_had_rested_ended_without_an_answer() {
    for end in [End::Closes(""), End::Resets] {
        let (address, asked) = leaving_app(end, |_| true).await;
        let (world, visitor) = world_before(address).await;
        assert!(visitor.get("/0").await.is_upstreams());
        for (number, method) in [Method::GET, Method::OPTIONS, Method::HEAD].into_iter().enumerate() {
            let target = format!("/{}", number + 1);
            assert!(visitor.send(method.clone(), &target, &OURS, "").await.is_upstreams(), "{end:?} {method}");
            assert_eq!(asked_for(&asked, &target), [number, number + 1], "{end:?} {method}");
        }
        // The wish to upgrade, of which nothing has begun before it is granted. What bore HEAD bears nothing else.
        assert!(visitor.get("/rests").await.is_upstreams());
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!(
            "GET /socket HTTP/1.1\r\nhost: app.test\r\ncookie: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            visitor.cookie_header()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut granted = [0; 12];
        stream.read_exact(&mut granted).await.unwrap();
        assert_eq!((&granted, asked_for(&asked, "/socket").len()), (b"HTTP/1.1 101", 2), "{end:?}");
    }
}

#[tokio::test]
async fn what_an_app_may_have_acted_on_or_begun_to_answer_is_not_sent_again() {
    let unsafe_ones = [Method::POST, Method::PUT, Method::DELETE, Method::PATCH].map(|method| (method, ""));
    for (number, (method, body)) in unsafe_ones.into_iter().chain([(Method::GET, "a body")]).enumerate() {
        let (address, asked) = leaving_app(End::Closes(""), |_| true).await;
        let (_world, visitor) = world_before(address).await;
        assert!(visitor.get("/rests").await.is_upstreams());
        let target = format!("/{number}");
        assert!(is_broken(&visitor.send(method.clone(), &target, &OURS, body).await), "{method}");
        assert_eq!(asked_for(&asked, &target).len(), 1, "{method}");
    }
    for begun in ["HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "H"] {
        let (address, asked) = leaving_app(End::Closes(begun), |_| true).await;
        let (_world, visitor) = world_before(address).await;
        assert!(visitor.get("/rests").await.is_upstreams());
        assert!(is_broken(&visitor.get("/begun").await), "{begun}");
        assert_eq!(asked_for(&asked, "/begun").len(), 1, "{begun}");
    }
}

#[tokio::test]
async fn an_app_that_closes_idle_connections_unannounced_loses_one_request_and_then_no_more() {
    for end in [End::Closes(""), End::Resets] {
        let (address, asked) = leaving_app(end, |_| true).await;
        let (_world, visitor) = world_before(address).await;
        assert!(visitor.get("/rests").await.is_upstreams());
        assert!(is_broken(&visitor.send(Method::POST, "/lost", &OURS, "a body").await), "{end:?}: it is not known before");
        for number in 0..10 {
            assert!(visitor.get("/rests").await.is_upstreams(), "{end:?}");
            let target = format!("/{number}");
            for (method, body) in [(Method::POST, "a body"), (Method::DELETE, ""), (Method::GET, "a body")] {
                assert!(visitor.send(method.clone(), &target, &OURS, body).await.is_upstreams(), "{end:?} {method}");
            }
            let mut connections = asked_for(&asked, &target);
            connections.dedup();
            assert_eq!(connections.len(), 3, "{end:?}: each once, on a connection of its own");
        }
    }
}

#[tokio::test]
async fn what_an_http_2_app_has_begun_to_answer_is_not_sent_again_whatever_it_says() {
    // A hint, and then that nothing was done.
    let hinting: fn(usize, usize, u32) -> Option<Vec<u8>> = |_, _, stream| {
        let hint = frames::field(":status", "103");
        let leaves = frames::frame(frames::GOAWAY, 0, 0, &[0; 8]);
        Some([frames::frame(frames::HEADERS, frames::END_HEADERS, stream, &hint), leaves].concat())
    };
    let (_world, visitor, count) = http2_app(hinting).await;
    assert!(is_broken(&visitor.get("/").await));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nothing_is_sent_a_third_time_and_nothing_a_second_time_that_went_out_on_a_new_connection() {
    let (address, asked) = leaving_app(End::Closes(""), |connection| connection == 0).await;
    let (_world, visitor) = world_before(address).await;
    assert!(visitor.get("/rests").await.is_upstreams());
    assert!(is_broken(&visitor.get("/twice").await));
    assert_eq!(asked_for(&asked, "/twice"), [0, 1]);
    assert!(is_broken(&visitor.get("/once").await));
    assert_eq!(asked_for(&asked, "/once").len(), 1);
}

#[tokio::test]
async fn where_the_app_has_gone_altogether_the_second_time_is_the_next_app_s_on_a_new_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let going = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream.write_all(OK).await.unwrap();
        read_head(&mut stream).await.unwrap();
        drop(listener);
    });
    let (staying, asked) = leaving_app(End::Closes(""), |_| true).await;
    let routes = move |_: &str| format!("[[route]]\nupstream = [\"http://{going}\", \"http://{staying}\"]");
    let world = World::build().routes(routes).start().await;
    let visitor = world.signed_in().await;
    for target in ["/1", "/2", "/3"] {
        assert!(visitor.get(target).await.is_upstreams(), "{target}");
    }
    assert_eq!((asked_for(&asked, "/2"), asked_for(&asked, "/3")), (vec![0], vec![1]));
}

#[tokio::test]
async fn a_connection_that_its_app_lets_rest_for_no_time_is_not_used_again() {
    for (said, connections) in [("timeout=0", 5), ("timeout=60, max=100", 1)] {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let address = app(move |mut stream| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                while read_head(&mut stream).await.is_some() {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-upstream: 1\r\nkeep-alive: {said}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let (_world, visitor) = world_before(address).await;
        for _ in 0..5 {
            let reply = visitor.get("/").await;
            assert!(reply.is_upstreams() && reply.header("keep-alive").is_empty(), "it is between us and the app");
        }
        assert_eq!(count.load(Ordering::Relaxed), connections, "{said}");
    }
}

/// An app of HTTP/2 that does `with` a request by its number and that of its connection; counts the requests.
async fn http2_app(with: fn(usize, usize, u32) -> Option<Vec<u8>>) -> (World, Visitor, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = app(move |stream| {
        let counted = Arc::clone(&counted);
        async move {
            let Some(mut frames) = Frames::accept(stream).await else { return };
            for on_connection in 0.. {
                let Some(stream) = frames.next_request().await else { return };
                let Some(answer) = with(counted.fetch_add(1, Ordering::Relaxed), on_connection, stream) else { return };
                frames.send(&answer).await;
            }
        }
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).set("upstream_protocol", "http2").start().await;
    let visitor = world.signed_in().await;
    (world, visitor, count)
}

/// `:status: 200` and no body.
fn answer(stream: u32) -> Vec<u8> {
    let head = [&[0x88][..], &frames::field("x-upstream", "1")].concat();
    frames::frame(frames::HEADERS, frames::END_HEADERS | frames::END_STREAM, stream, &head)
}

#[tokio::test]
async fn a_stream_that_is_refused_or_left_is_opened_once_more_whatever_is_asked() {
    // REFUSED_STREAM (RFC 9113 section 8.7), and a GOAWAY that names no stream (section 6.8).
    let refusing: fn(usize, usize, u32) -> Option<Vec<u8>> = |request, _, stream| {
        let refusal = frames::frame(frames::RST_STREAM, 0, stream, &7_u32.to_be_bytes());
        Some(if request % 2 == 0 { refusal } else { answer(stream) })
    };
    let leaving: fn(usize, usize, u32) -> Option<Vec<u8>> =
        |request, _, stream| Some(if request % 2 == 0 { frames::frame(frames::GOAWAY, 0, 0, &[0; 8]) } else { answer(stream) });
    for with in [refusing, leaving] {
        let (_world, visitor, count) = http2_app(with).await;
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert!(visitor.send(method.clone(), "/", &OURS, "").await.is_upstreams(), "{method}");
        }
        assert_eq!(count.load(Ordering::Relaxed), 6);
        let with_a_body = visitor.send(Method::POST, "/", &OURS, "a body").await;
        assert!(is_broken(&with_a_body), "it cannot be written again");
        assert_eq!(count.load(Ordering::Relaxed), 7);
    }
}

#[tokio::test]
async fn a_safe_request_is_sent_once_more_over_http_2_if_a_connection_that_had_answered_ended_under_it() {
    let (_world, visitor, count) = http2_app(|_, on_connection, stream| (on_connection == 0).then(|| answer(stream))).await;
    for earlier in 0..8 {
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(count.load(Ordering::Relaxed), 1 + 2 * earlier, "all but the first were sent twice");
    }
    let before = count.load(Ordering::Relaxed);
    assert!(is_broken(&visitor.send(Method::POST, "/", &OURS, "").await));
    assert_eq!(count.load(Ordering::Relaxed), before + 1);

    let (_world, visitor, count) = http2_app(|_, _, _| None).await;
    assert!(is_broken(&visitor.get("/").await), "a new connection that ends says that there is no answer");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
