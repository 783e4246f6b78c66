//! Floods: what costs us much and them little. Each is bounded, and somebody else is served all the while.

use std::{net::SocketAddr, time::Duration};

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    Stopwatch, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    visitor::Visitor,
};

/// How long somebody else's request may take meanwhile, on a loaded machine.
const PROMPTLY: Duration = Duration::from_secs(20);

async fn is_served_promptly(visitor: &Visitor) {
    let watch = Stopwatch::start();
    assert!(visitor.get("/").await.is_upstreams());
    assert!(watch.elapsed() < PROMPTLY, "{:?}", watch.elapsed());
}

/// One frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / app.test`, in HPACK without a table.
fn request_block() -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x41, 8][..], b"app.test"].concat()
}

/// Opens a connection of HTTP/2, sends these frames, and reads until it is ended; `true` if it was, in time.
async fn is_ended_after(address: SocketAddr, frames: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    let exchange = async {
        stream.write_all(&preface).await?;
        let (mut reading, mut writing) = stream.split();
        let read = async {
            let mut buffer = vec![0; 65_536];
            while reading.read(&mut buffer).await? > 0 {}
            std::io::Result::Ok(())
        };
        let write = async {
            writing.write_all(frames).await?;
            std::future::pending::<std::io::Result<()>>().await
        };
        tokio::select! {
            ended = read => ended,
            failed = write => failed,
        }
    };
    // Reset is an end as well.
    tokio::time::timeout(PROMPTLY, exchange).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_opened_and_reset_at_once_keep_nobody_out() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut frames = Vec::new();
    for number in 0..20_000 {
        frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &request_block()));
        frames.extend(frame(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    let address = world.address();
    let flood = tokio::spawn(async move { is_ended_after(address, &frames).await });
    is_served_promptly(&visitor).await;
    let _either = flood.await.unwrap();
    is_served_promptly(&visitor).await;
}

#[tokio::test]
async fn heads_without_end_end_their_connection() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut frames = frame(HEADERS, END_STREAM, 1, &request_block());
    for _ in 0..2_000 {
        // `x: aaaa...`, never indexed.
        let field = [&[0x10, 1][..], b"x", &[100], &[b'a'; 100]].concat();
        frames.extend(frame(CONTINUATION, 0, 1, &field.repeat(10)));
    }
    assert!(is_ended_after(world.address(), &frames).await, "CONTINUATION");
    is_served_promptly(&visitor).await;
}

#[tokio::test]
async fn pings_and_settings_in_masses_cost_nobody_else_anything() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for frame in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let (address, frames) = (world.address(), frame.repeat(50_000));
        let flood = tokio::spawn(async move { is_ended_after(address, &frames).await });
        is_served_promptly(&visitor).await;
        flood.abort();
    }
}

#[tokio::test]
async fn heads_and_targets_have_a_longest_length() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let long = "a".repeat(70_000);
    for (target, value, statuses) in [("/", long.as_str(), [431, 431]), (&format!("/{long}"), "x", [414, 431])] {
        let head = format!("GET {target} HTTP/1.1\r\nhost: app.test\r\nx-long: {value}\r\n\r\n");
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let status: u16 = String::from_utf8_lossy(&answer[9..]).parse().unwrap();
        assert!(statuses.contains(&status), "{status}");
    }
    assert!(world.upstream.requests().is_empty());
    is_served_promptly(&visitor).await;
}

#[tokio::test]
async fn silent_and_slow_connections_in_numbers_keep_nobody_out() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let mut held = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let said: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nhost: app.te",
            2 => b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 100\r\n\r\nx",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        };
        stream.write_all(said).await.unwrap();
        held.push(stream);
    }
    is_served_promptly(&visitor).await;
}

#[tokio::test]
async fn bogus_codes_of_strangers_keep_no_login_out() {
    let world = World::build().set("proxy_trusted_origins", "127.0.0.0/8").start().await;
    let signed_in = world.signed_in().await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::Slow(Duration::from_secs(3)));
    let stranger = [("accept", "text/html"), ("x-forwarded-for", "203.0.113.9")];
    let mut flood = Vec::new();
    for _ in 0..40 {
        let attacker = world.visitor();
        let request = attacker.send(Method::GET, "/", &stranger, "").await.location();
        let state = request.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let issuer: String = url::form_urlencoded::byte_serialize(world.idp.issuer().as_bytes()).collect();
        let callback = format!("/oauth2/callback?code=bogus&state={state}&iss={issuer}");
        flood.push(tokio::spawn(async move { attacker.send(Method::GET, &callback, &stranger, "").await.status }));
    }
    eventually("the flood is under way", async || world.idp.calls(Endpoint::Code) > 1).await;
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/page").await;
    assert!(visitor.get("/page").await.is_upstreams(), "a real login is served meanwhile");
    world.clock.advance(Duration::from_secs(301));
    is_served_promptly(&signed_in).await;
    assert!(world.idp.at_once() <= 8 + 1, "and the provider sees few at once");
    for attack in flood {
        assert_ne!(attack.await.unwrap(), StatusCode::OK);
    }
    // One that began no attempt of its browser's is no call at all.
    let before = world.idp.calls(Endpoint::Code);
    world.visitor().get("/oauth2/callback?code=bogus&state=made-up").await;
    assert_eq!(world.idp.calls(Endpoint::Code), before);
}
