//! Connections that outlive their request live as long as a request of their session would be served, and no longer.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::harness::{
    Kind, World,
    eventually::{eventually, in_time, stands_still},
    idp::{Endpoint, Misbehaviour, user},
    visitor::Visitor,
};

type Socket = WebSocketStream<TcpStream>;

/// Within a second, and what a loaded machine adds: nothing else would end what is open here for hours.
const SOON: Duration = Duration::from_secs(60);

async fn echoes(socket: &mut Socket) -> bool {
    socket.send(Message::text("still there?")).await.is_ok() && matches!(socket.next().await, Some(Ok(Message::Text(_))))
}

/// The code of the close frame that comes, which says the same in words.
async fn closed_with(socket: &mut Socket) -> u16 {
    let next = tokio::time::timeout(SOON, socket.next()).await.expect("it is closed in time");
    let Some(Ok(Message::Close(Some(frame)))) = next else { panic!("{next:?}") };
    assert_eq!(frame.reason.as_str(), "session ended");
    frame.code.into()
}

/// An event stream of which the first piece has come.
async fn stream(visitor: &Visitor) -> http::Response<hyper::body::Incoming> {
    let mut response = visitor.open("/stream").await;
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first ");
    response
}

/// How a stream goes on: with an error, because what was sent is not whole.
async fn breaks_off(mut response: http::Response<hyper::body::Incoming>) -> bool {
    let next = tokio::time::timeout(SOON, response.body_mut().frame()).await.expect("it ends in time");
    next.is_some_and(|frame| frame.is_err())
}

/// What ends later is cut later: after this, whatever was to be cut has been. Twice, because one round of checks has no order within it.
async fn what_ended_before_was_cut(world: &World) {
    for _ in 0..2 {
        let bob = Visitor::of(world.address(), user("bob"));
        bob.log_in(&world.idp, "/").await;
        let mut later = bob.websocket().await;
        bob.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        assert_eq!(closed_with(&mut later).await, 1008);
    }
}

/// RF-28: a WebSocket, stream or download outlives the access token, or its session.
#[tokio::test]
async fn a_logout_cuts_websockets_and_streams_on_every_replica_and_nobody_else_s() {
    let world = World::build().replicas(2).start().await;
    let (here, other) = (world.signed_in().await, world.signed_in().await);
    let there = here.at(world.replicas[1].address);
    let (mut first, mut second, mut others) = (here.websocket().await, there.websocket().await, other.websocket().await);
    let (streams, others_stream) = ([stream(&here).await, stream(&there).await], stream(&other).await);
    for socket in [&mut first, &mut second, &mut others] {
        assert!(echoes(socket).await);
    }
    here.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    assert_eq!((closed_with(&mut first).await, closed_with(&mut second).await), (1008, 1008));
    for stream in streams {
        assert!(breaks_off(stream).await, "the client sees that it is not whole");
    }
    assert!(echoes(&mut others).await, "another browser's connections live on");
    world.upstream.open_gate();
    assert_eq!(others_stream.into_body().collect().await.unwrap().to_bytes(), "second");
}

#[tokio::test]
async fn what_is_held_back_of_a_body_is_cut_with_its_session_however_short_it_is() {
    let world = World::start().await;
    let (ann, bob) = (world.signed_in().await, world.signed_in().await);
    let begin = async |visitor: &Visitor| {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let cookie = visitor.cookie_header();
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\norigin: https://app.test\r\ncontent-length: 8\r\n\r\nall but"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut held_back = Vec::new();
    for _ in 0..20 {
        held_back.push(begin(&ann).await);
    }
    let mut others = begin(&bob).await;
    // What the app answers only later, with a body of a known length.
    let mut waits = Vec::new();
    for path in ["/gated", "/half"] {
        let waiting = ann.copy();
        waits.push(tokio::spawn(async move { waiting.try_fetch(path).await }));
    }
    eventually("both wait for the app", async || {
        let seen = world.upstream.requests();
        ["/gated", "/half"].iter().all(|path| seen.iter().any(|seen| seen.target == *path))
    })
    .await;
    ann.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    for mut stream in held_back {
        let mut answer = String::new();
        let ended = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await.expect("it is cut in time");
        assert!(ended.is_err() || !answer.contains("HTTP/1.1 200"), "{answer}");
        let _closed = stream.write_all(b"!").await;
    }
    for waiting in waits {
        let reply = tokio::time::timeout(SOON, waiting).await.expect("it is cut in time").unwrap();
        assert!(reply.is_none_or(|reply| reply.status == StatusCode::UNAUTHORIZED));
    }
    others.write_all(b"!").await.unwrap();
    let mut first = [0; 12];
    others.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200", "another browser's goes on");
    let whole = world.upstream.requests().iter().filter(|seen| seen.body == "all but!").count();
    assert_eq!(whole, 1, "and nothing of the others was carried out");
}

#[tokio::test]
async fn a_second_login_in_the_same_browser_cuts_nothing_of_its_user_s_and_its_logout_does() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let ann = world.signed_in().await;
        let (mut socket, stream) = (ann.websocket().await, stream(&ann).await);
        let first = ann.session();
        for _ in 0..2 {
            ann.log_in(&world.idp, "/oauth2/start").await;
            assert_ne!(ann.session(), first);
            what_ended_before_was_cut(&world).await;
            assert!(echoes(&mut socket).await);
        }
        ann.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
        assert_eq!(closed_with(&mut socket).await, 1008);
        assert!(breaks_off(stream).await);
    }
}

#[tokio::test]
async fn another_person_s_login_in_the_same_browser_cuts_what_was_open() {
    let world = World::start().await;
    let browser = world.signed_in().await;
    let mut socket = browser.websocket().await;
    assert!(echoes(&mut socket).await);
    world.idp.log_in_as(user("bob"));
    browser.log_in(&world.idp, "/oauth2/start").await;
    assert_eq!(closed_with(&mut socket).await, 1008);
}

/// RF-28: a WebSocket, stream or download outlives the access token, or its session.
#[tokio::test]
async fn an_access_token_that_expires_or_is_renewed_cuts_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        let (mut socket, stream) = (visitor.websocket().await, stream(&visitor).await);
        for _ in 0..3 {
            world.clock.advance(Duration::from_secs(301));
            assert!(echoes(&mut socket).await);
            assert!(visitor.get("/").await.is_upstreams());
        }
        // Neither does an outage.
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, String::new(), vec![]));
        world.clock.advance(Duration::from_secs(301));
        visitor.get("/").await;
        assert!(echoes(&mut socket).await);
        world.upstream.open_gate();
        assert_eq!(stream.into_body().collect().await.unwrap().to_bytes(), "second");
    }
}

#[tokio::test]
async fn a_grant_that_the_provider_ends_cuts_its_connections() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    assert!(echoes(&mut socket).await);
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(closed_with(&mut socket).await, 1008);
}

#[tokio::test]
async fn what_is_open_goes_on_when_a_refresh_token_cannot_be_opened() {
    let world = World::start().await;
    let ann = world.signed_in().await;
    let mut socket = ann.websocket().await;
    world.sql("UPDATE grants SET refresh_token = access_token").await;
    world.clock.advance(Duration::from_secs(280));
    assert!(ann.fetch("/").await.is_upstreams());
    let ended = async || world.command(&["sessions", "show", "ann@example.com"]).await.1.contains("key_lost");
    eventually("its end is in the history", ended).await;
    what_ended_before_was_cut(&world).await;
    assert!(echoes(&mut socket).await, "her requests are served, and so is what is open");
}

#[tokio::test]
async fn what_a_user_sends_over_a_websocket_is_use_and_silence_is_not() {
    let world = World::build().set("session_duration", "1h").start().await;
    let (talks, listens) = (world.signed_in().await, world.signed_in().await);
    let (mut talking, mut listening) = (talks.websocket().await, listens.websocket().await);
    for socket in [&mut talking, &mut listening] {
        assert!(echoes(socket).await);
    }
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(25 * 60));
        assert!(echoes(&mut talking).await);
    }
    assert_eq!(closed_with(&mut listening).await, 1008, "nobody used it for an hour");
    assert!(echoes(&mut talking).await);
}

#[tokio::test]
async fn a_session_that_an_administrator_ends_loses_its_connections_in_a_running_gateway() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        let mut socket = visitor.websocket().await;
        assert!(echoes(&mut socket).await);
        let (code, text) = world.command(&["sessions", "revoke", "ann@example.com"]).await;
        assert_eq!(code, 0, "{text}");
        assert_eq!(closed_with(&mut socket).await, 1008);
    }
}

#[tokio::test]
async fn a_store_that_is_away_cuts_nothing_and_what_ended_meanwhile_is_cut_when_it_is_back() {
    let world = World::build().replicas(2).start().await;
    let (here, stays) = (world.signed_in().await, world.signed_in().await);
    let (mut socket, mut staying) = (here.websocket().await, stays.websocket().await);
    assert!(echoes(&mut socket).await && echoes(&mut staying).await);
    let line = world.store_line.as_ref().unwrap();
    line.cut();
    let is_ready = async || here.get("/oauth2/readyz").await.status == StatusCode::OK;
    eventually("the store is seen to be away", async || !is_ready().await).await;
    assert!(echoes(&mut socket).await, "an outage of the store cuts nobody off");
    // Ended while nobody heard of it.
    world.sql("DELETE FROM sessions WHERE grant_id = (SELECT grant_id FROM sessions ORDER BY created_at, hash LIMIT 1)").await;
    line.mend();
    let (closed, mut other) = tokio::time::timeout(SOON, async {
        tokio::select! {
            closed = socket.next() => (closed, staying),
            closed = staying.next() => (closed, socket),
        }
    })
    .await
    .expect("the one whose session is gone is cut");
    assert!(matches!(closed, Some(Ok(Message::Close(_)))), "{closed:?}");
    // What ends later is cut later: by then the other would have been.
    let later = world.signed_in().await;
    let mut last = later.websocket().await;
    later.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(closed_with(&mut last).await, 1008);
    assert!(echoes(&mut other).await);
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_keep_its_tunnel_open() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    // Fills every buffer on the way, since nothing of the echo is read.
    let sent = AtomicUsize::new(0);
    let flood = async {
        while socket.send(Message::binary(vec![7; 16 * 1024])).await.is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::select! {
        () = flood => panic!("nothing ends it yet"),
        () = stands_still(|| sent.load(Ordering::Relaxed)) => {}
    }
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    in_time("the connection is closed", async { while let Some(Ok(_)) = socket.next().await {} }).await;
}

#[tokio::test]
async fn an_upload_that_is_still_under_way_when_its_session_ends_breaks_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"first\r\n") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        stream
    });
    let world = World::build().set("upstream_url", &format!("http://{address}")).start().await;
    let visitor = world.signed_in().await;
    let mut client = TcpStream::connect(world.address()).await.unwrap();
    let cookie = visitor.cookie_header();
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut app = app.await.unwrap();
    visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
    let mut rest = Vec::new();
    tokio::time::timeout(SOON, app.read_to_end(&mut rest)).await.expect("it ends in time").unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the app sees that it is not whole");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_event_streams() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    let stream = stream(&visitor).await;
    assert!(world.replicas.remove(0).stop().await, "nothing had to be cut off by the deadline");
    assert!(breaks_off(stream).await);
}
