use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, BufWriter, DuplexStream, duplex},
    sync::Semaphore,
    time::Instant,
};

use super::*;
use crate::{connection_slot::ConnectionSlot, forward::drain::Drain};

/// A message of one letter, as servers send it, and masked with zeros, as clients do.
const FROM_SERVER: &[u8] = b"\x81\x01a";
const FROM_CLIENT: &[u8] = b"\x81\x81\0\0\0\0a";
/// A client's answer to a close frame.
const ECHO: &[u8] = b"\x88\x82\0\0\0\0\x03\xF4";

/// A tunnel, and a drain of 30 s that ends it between the 15th and the 25th.
async fn tunnel(is_websocket: bool) -> (Tunnel, Drain) {
    let in_use = ConnectionSlot::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap()).in_use();
    let drain = Drain::new(Duration::from_secs(30));
    let scheduled_end = drain.schedule_end();
    (Tunnel { connection: None, scheduled_end, _in_use: in_use, _slot: None, is_websocket }, drain)
}

/// A WebSocket through a tunnel in a drain that begins now: the client's end, and the upstream's.
async fn websocket() -> (DuplexStream, DuplexStream) {
    let (tunnel, drain) = tunnel(true).await;
    let ((here, client), (there, upstream)) = (duplex(1024), duplex(1024));
    drain.begin();
    tokio::spawn(async move { tunnel.join(here, there).await });
    (client, upstream)
}

async fn reads(stream: &mut DuplexStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

#[expect(clippy::disallowed_methods, reason = "the test's time is tokio's")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn what_a_side_holds_back_until_it_is_flushed_does_not_wait_for_more() {
    let (tunnel, _drain) = tunnel(false).await;
    let ((from, mut client), (to, mut upstream)) = (duplex(64), duplex(64));
    let shared = Shared::default();
    let relay = tunnel.relay(Sender::Client, from, BufWriter::new(to), &shared);
    let asked = async {
        client.write_all(b"word").await.unwrap();
        reads(&mut upstream, b"word").await;
    };
    tokio::select! {
        ended = relay => panic!("nobody ended it: {ended:?}"),
        () = asked => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_byte_now_and_then_is_no_stall_and_one_that_takes_none_is() {
    let (tunnel, _drain) = tunnel(false).await;
    let ((here, mut client), (there, mut upstream)) = (duplex(64), duplex(64 * 1024));
    let joined = tokio::spawn(async move { tunnel.join(here, there).await });
    upstream.write_all(&[7; 1000]).await.unwrap();
    for _ in 0..100 {
        sleep(SEND_TIMEOUT / 2).await;
        client.read_u8().await.expect("it goes on");
    }
    let ended = timeout(2 * SEND_TIMEOUT, joined).await.expect("it has an end").unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sent_before_it_read_that_a_drain_closes_reaches_the_upstream() {
    let (mut client, mut upstream) = websocket().await;
    reads(&mut client, &Close::ServiceRestart.to_client()).await;
    client.write_all(FROM_CLIENT).await.unwrap();
    reads(&mut upstream, FROM_CLIENT).await;
    let hung_up = timeout(Duration::from_secs(1), client.read_u8()).await;
    assert!(hung_up.is_err(), "a proxy between us would hang up too, with more of the client's unread: {hung_up:?}");
    client.write_all(&[FROM_CLIENT, ECHO].concat()).await.unwrap();
    reads(&mut upstream, &[FROM_CLIENT, &Close::ServiceRestart.to_server()].concat()).await;
    assert!(upstream.read_u8().await.is_err() && client.read_u8().await.is_err(), "both are at their end");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_a_close_frame_holds_nobody_up() {
    let (mut client, mut upstream) = websocket().await;
    reads(&mut client, &Close::ServiceRestart.to_client()).await;
    let told = now();
    reads(&mut upstream, &Close::ServiceRestart.to_server()).await;
    assert!(upstream.read_u8().await.is_err() && client.read_u8().await.is_err());
    assert!(told.elapsed() <= 2 * CLOSE_TIMEOUT, "{:?}", told.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_while_nothing_is_under_way() {
    let (mut client, mut upstream) = websocket().await;
    // Each second has bursts of messages, and then a pause.
    let sending = tokio::spawn(async move {
        for at in 0.. {
            upstream.write_all(FROM_SERVER).await.unwrap();
            sleep(if at % 10 == 9 { 4 * QUIET } else { QUIET / 2 }).await;
        }
    });
    let mut last = now();
    loop {
        let (mut head, came) = ([0; 2], last);
        client.read_exact(&mut head).await.unwrap();
        if head[0] == 0x88 {
            assert!(came.elapsed() >= QUIET, "{:?}", came.elapsed());
            break;
        }
        last = now();
        client.read_u8().await.unwrap();
    }
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_in_time_what_never_rests() {
    let (mut client, mut upstream) = websocket().await;
    let began = now();
    let sending = tokio::spawn(async move {
        while upstream.write_all(FROM_SERVER).await.is_ok() {
            sleep(QUIET / 5).await;
        }
    });
    let mut message = [0; 3];
    while message[0] != 0x88 {
        client.read_exact(&mut message).await.unwrap();
    }
    assert!(began.elapsed() <= Duration::from_secs(26), "{:?}", began.elapsed());
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_for_a_minute_ends_the_tunnel_and_an_app_that_takes_nothing_does_not() {
    for sender in [Sender::Client, Sender::Upstream] {
        let (tunnel, _drain) = tunnel(false).await;
        let ((here, mut client), (there, mut upstream)) = (duplex(64), duplex(64));
        let began = now();
        let joined = tokio::spawn(async move { tunnel.join(here, there).await });
        let sending = if sender == Sender::Client { &mut client } else { &mut upstream };
        let sending = sending.write_all(&[7; 1024]);
        let sent = timeout(Duration::from_secs(3600), sending)
            .await
            .map_err(|_| "it waits")
            .and_then(|sent| sent.map_err(|_| "it ended"));
        match sender {
            Sender::Client => assert_eq!((sent, joined.is_finished()), (Err("it waits"), false)),
            Sender::Upstream => {
                assert_eq!(sent, Err("it ended"));
                assert!(joined.await.unwrap().is_err());
                assert!((SEND_TIMEOUT..2 * SEND_TIMEOUT).contains(&began.elapsed()), "{:?}", began.elapsed());
            }
        }
    }
}
