//! Answers of apps over HTTP/1.1, byte by byte: what is read, what is refused, what is seen to be broken, and which connection
//! bears another request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::harness::{
    World,
    eventually::eventually,
    wire::{app, read_head},
};

/// An app whose answer to `/3` is the third of its answers, sent in pieces of so many bytes.
struct App {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as the app got it.
#[derive(Clone, Debug)]
struct Seen {
    /// The number of its connection.
    connection: usize,
    head: String,
    body: Vec<u8>,
}

/// Whether the app closes its connection behind an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Keep,
    Close,
}

impl App {
    async fn start(answers: Vec<(&'static str, Then)>, step: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = Arc::clone(&app.seen);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, connection, answers.clone(), step, Arc::clone(&seen)));
            }
        });
        app
    }

    async fn world(&self) -> World {
        World::build().set("upstream_url", &format!("http://{}", self.address)).start().await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    answers: Vec<(&'static str, Then)>,
    step: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        let number: usize = head.split(['/', ' ']).nth(2).and_then(|number| number.parse().ok()).unwrap_or(0);
        let (answer, then) = answers[number];
        for piece in answer.as_bytes().chunks(step) {
            stream.write_all(piece).await.ok()?;
            stream.flush().await.ok()?;
        }
        if then == Then::Close {
            return stream.shutdown().await.ok();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        seen.lock().unwrap().push(Seen { connection, head, body });
    }
}

#[tokio::test]
async fn an_app_s_malformed_answers_are_502_and_nobody_gets_the_rest_of_another_s() {
    let malformed = [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nbad name: a\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/3.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "no http at all\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ];
    for step in [1, 10_000] {
        let app = App::start(malformed.map(|answer| (answer, Then::Keep)).to_vec(), step).await;
        let world = app.world().await;
        let visitor = world.signed_in().await;
        for (number, answer) in malformed.iter().enumerate() {
            let reply = visitor.get(&format!("/{number}")).await;
            assert_eq!(
                (reply.status, reply.header("evergate-response")),
                (StatusCode::BAD_GATEWAY, "upstream_broken"),
                "{answer}"
            );
        }
    }
    // More than one answer to one request: the second is not the next user's.
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-upstream: 1\r\n\r\nfirstHTTP/1.1 200 OK\r\ncontent-length: 6\r\nset-cookie: poison=1\r\n\r\npoison";
    let app = App::start(vec![(twice, Then::Keep)], 10_000).await;
    let world = app.world().await;
    let visitor = world.signed_in().await;
    for _ in 0..20 {
        let reply = visitor.get("/0").await;
        assert!(reply.text() != "poison" && reply.set_cookies().is_empty(), "{}", reply.text());
    }
}

#[tokio::test]
async fn an_answer_is_read_to_its_end_however_that_is_told_and_however_it_comes() {
    use Then::{Close, Keep};
    let whole = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Keep, 200, "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", Keep, 200, "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Keep, 200, ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n03;a=b\r\nllo\r\n0\r\n\r\n", Keep, 200, "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", Keep, 200, "hello"),
        ("HTTP/1.1 200 OK\r\n\r\nhello", Close, 200, "hello"),
        ("HTTP/1.0 200 OK\r\n\r\nhello", Close, 200, "hello"),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello", Keep, 200, "hello"),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Keep, 204, ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", Keep, 304, ""),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Gone Away\r\ncontent-length: 5\r\n\r\nhello",
            Keep,
            404,
            "hello",
        ),
        ("HTTP/1.1 299 \r\ncontent-length: 5\r\n\r\nhello", Keep, 299, "hello"),
    ];
    for step in [1, 7, 10_000] {
        let app = App::start(whole.map(|(answer, then, ..)| (answer, then)).to_vec(), step).await;
        let world = app.world().await;
        let visitor = world.signed_in().await;
        for (number, (answer, _, status, body)) in whole.iter().enumerate() {
            let reply = visitor.get(&format!("/{number}")).await;
            assert_eq!((reply.status.as_u16(), reply.text().as_str()), (*status, *body), "{answer}");
            assert!(!reply.headers.contains_key("link"), "what an interim answer says is its own");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_never_taken_for_one() {
    let parts = [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n10000000000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    ];
    let app = App::start(parts.map(|answer| (answer, Then::Close)).to_vec(), 10_000).await;
    let world = app.world().await;
    let visitor = world.signed_in().await;
    for (number, answer) in parts.iter().enumerate() {
        let reply = visitor.try_send(Method::GET, &format!("/{number}"), &[], "").await;
        assert!(reply.is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_bears_the_next_request_if_its_answer_says_so_and_no_other_is_tried_twice() {
    use Then::{Close, Keep};
    let answers = vec![
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Keep),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello", Keep),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", Keep),
        // Says nothing of it, and closes.
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Close),
    ];
    let app = App::start(answers, 10_000).await;
    let world = app.world().await;
    let visitor = world.signed_in().await;
    for path in ["/0", "/0", "/0", "/1", "/0", "/2", "/0"] {
        assert_eq!(visitor.get(path).await.text(), "hello");
    }
    assert_eq!(app.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1, 2]);
    // A request that could do something twice is not lost to a connection that its app has closed meanwhile.
    for _ in 0..20 {
        assert_eq!(visitor.get("/3").await.text(), "hello");
        let posted = visitor.send(Method::POST, "/0", &[("origin", "https://app.test")], "once").await;
        assert_eq!((posted.status, posted.text().as_str()), (StatusCode::OK, "hello"));
    }
    eventually("all posts have come", || async { app.seen().iter().filter(|seen| seen.body == b"once").count() == 20 }).await;
}

#[tokio::test]
async fn an_app_is_told_that_a_post_has_no_body() {
    let app = App::start(vec![("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Then::Keep)], 10_000).await;
    let world = app.world().await;
    let visitor = world.signed_in().await;
    let cookie = visitor.cookie_header();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    for method in ["POST", "GET"] {
        let request = format!("{method} /0 HTTP/1.1\r\nhost: app.test\r\norigin: https://app.test\r\ncookie: {cookie}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("hello") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).await.unwrap();
            assert_ne!(read, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }
    eventually("both have come", || async { app.seen().len() == 2 }).await;
    let lengths: Vec<_> = app.seen().iter().map(|seen| seen.head.matches("content-length: 0\r\n").count()).collect();
    assert_eq!(lengths, [1, 0]);
}

#[tokio::test]
async fn an_app_that_resets_every_connection_is_not_tried_for_ever() {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let address = app(move |stream| {
        counting.fetch_add(1, Ordering::Relaxed);
        stream.set_zero_linger().unwrap();
        drop(stream);
        std::future::ready(())
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let visitor = world.signed_in().await;
    for _ in 0..20 {
        let reply = visitor.get("/").await;
        assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
        assert!(["upstream_broken", "upstream_unreachable"].contains(&reply.header("evergate-response")));
    }
    assert_eq!(count.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn an_app_that_clears_its_site_data_does_not_take_the_session_along() {
    let clearing = app(|mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let data = "clear-site-data: \"cache\", \"cookies\"\r\nclear-site-data: \"*\"\r\n";
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{data}content-length: 0\r\n\r\n").as_bytes()).await.unwrap();
        }
    })
    .await;
    let world = World::build().set("upstream_url", &format!("http://{clearing}")).start().await;
    let reply = world.signed_in().await.get("/").await;
    let cleared: Vec<_> = reply.headers.get_all("clear-site-data").iter().map(|line| line.to_str().unwrap()).collect();
    assert!(cleared.len() == 2 && cleared.iter().all(|line| line.contains("cache") && !line.contains("cookies")), "{cleared:?}");
    assert!(!cleared.concat().contains('*'));
}
