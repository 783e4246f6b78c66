//! What outlives its request when a gateway is replaced by another, as on a deploy.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Stopwatch, World, eventually::in_time};

/// How long the drain may take, and how long its first half. All is told to end before three quarters of it: the rest is for a slow machine.
const DRAIN: (&str, Duration) = ("20s", Duration::from_secs(10));

/// The moments, from first to last, lie in the second half and not all at once.
fn are_spread(mut moments: Vec<Duration>) {
    moments.sort();
    let (first, last) = (moments[0], moments[moments.len() - 1]);
    assert!(first >= DRAIN.1, "{moments:?}");
    assert!(last - first > Duration::from_millis(50), "{moments:?}");
}

/// Waits until the gateway of this connection stops, over which nothing was sent.
async fn is_stopping(mut unused: TcpStream) {
    let end = in_time("it is stopping", unused.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn a_deploy_has_websockets_come_again_each_at_a_moment_of_its_own_and_all_before_the_deadline() {
    let mut world = World::build().set("shutdown_timeout", DRAIN.0).start().await;
    let visitor = world.signed_in().await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(visitor.websocket().await);
    }
    // One that neither reads nor answers holds nobody up.
    let _silent = visitor.websocket().await;
    let unused = TcpStream::connect(world.address()).await.unwrap();
    let watch = Stopwatch::start();
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    is_stopping(unused).await;
    let closed = sockets.into_iter().map(async |mut socket| {
        // It is used to the last.
        socket.send(Message::text("still there?")).await.unwrap();
        assert!(matches!(socket.next().await, Some(Ok(Message::Text(_)))));
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("it is told why") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1012, "service restart"));
        watch.elapsed()
    });
    are_spread(futures_util::future::join_all(closed).await);
    assert!(stopping.await.unwrap(), "nothing had to be cut off by the deadline");
}

#[tokio::test]
async fn what_a_client_sent_before_it_read_that_a_deploy_closes_its_websocket_reaches_the_app() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = format!("http://{}", listener.local_addr().unwrap());
    let mut world = World::build().set("shutdown_timeout", DRAIN.0).set("upstream_url", &app).start().await;
    let seen = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut seen = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            seen.push(message);
        }
        seen
    });
    let mut socket = world.signed_in().await.websocket().await;
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    // The close frame has come, and is not read yet: for this client the WebSocket is open.
    assert_eq!(socket.get_ref().peek(&mut [0]).await.unwrap(), 1);
    socket.send(Message::text("save it")).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1012));
    // What the client answers goes out as it reads on.
    assert!(socket.next().await.is_none());
    let seen = seen.await.unwrap();
    assert_eq!(seen.first(), Some(&Message::text("save it")), "{seen:?}");
    assert!(matches!(&seen[1..], [Message::Close(Some(frame))] if u16::from(frame.code) == 1001), "{seen:?}");
    assert!(stopping.await.unwrap(), "nothing had to be cut off by the deadline");
}

#[tokio::test]
async fn a_deploy_ends_event_streams_each_at_a_moment_of_its_own_and_all_before_the_deadline() {
    let mut world = World::build().set("shutdown_timeout", DRAIN.0).start().await;
    let visitor = world.signed_in().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = visitor.open("/stream").await;
        assert!(stream.body_mut().frame().await.unwrap().is_ok());
        streams.push(stream);
    }
    let watch = Stopwatch::start();
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    let ended = streams.into_iter().map(async |mut stream| {
        assert!(stream.body_mut().frame().await.unwrap().is_err(), "the client sees that it is not whole");
        watch.elapsed()
    });
    are_spread(futures_util::future::join_all(ended).await);
    assert!(stopping.await.unwrap(), "nothing had to be cut off by the deadline");
}

#[tokio::test]
async fn a_session_that_ends_in_a_drain_ends_its_websockets_as_ever() {
    let mut world = World::build().set("shutdown_timeout", "10m").replicas(2).start().await;
    let visitor = world.signed_in().await;
    let mut socket = visitor.websocket().await;
    let there = visitor.at(world.replicas[1].address);
    let unused = TcpStream::connect(world.address()).await.unwrap();
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    is_stopping(unused).await;
    there.send(http::Method::POST, "/oauth2/sign_out", &[], "").await;
    let closed = in_time("not only when its turn comes", socket.next()).await;
    let Some(Ok(Message::Close(Some(frame)))) = closed else { panic!("{closed:?}") };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "session ended"));
    assert!(stopping.await.unwrap());
}

#[tokio::test]
async fn a_drain_lasts_no_longer_than_what_it_waits_for() {
    let mut world = World::build().set("shutdown_timeout", "10m").start().await;
    assert!(world.signed_in().await.get("/").await.is_upstreams());
    assert!(in_time("there is nothing to wait for", Box::pin(world.replicas.remove(0).stop())).await);
}
