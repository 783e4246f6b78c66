//! Large bodies: they stream, and what one side does not take the other does not get to send, so that a gateway holds little
//! of them however large they are.
//!
//! A small transfer is a test. The large one, of which the documentation has the figures:
//! `TRANSFER_MIB=10240 cargo test --release --test heavy transfer -- --nocapture`.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World, figure,
    visitor::Visitor,
    wire::{app, read_head},
};

const MIB: usize = 1 << 20;

/// The most memory that a process ever held, in MiB.
fn peak(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// An app that takes what it is sent, and then sends as much.
async fn echo(mut stream: TcpStream) {
    let Some((head, first)) = read_head(&mut stream).await else { return };
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let mut buffer = vec![0; MIB];
    let mut missing = length - first.len();
    while missing > 0 {
        missing -= stream.read(&mut buffer).await.unwrap();
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-upstream: 1\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut missing = length;
    while missing > 0 {
        let piece = missing.min(MIB);
        if stream.write_all(&buffer[..piece]).await.is_err() {
            return;
        }
        missing -= piece;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "what a run came to is for whoever starts it")]
async fn a_large_body_needs_no_more_memory_than_a_small_one_in_either_direction() {
    let length = usize::try_from(figure("TRANSFER_MIB", 256)).unwrap() * MIB;
    let app = app(echo).await;
    let world = World::build().in_real_time().replicas(0).set("upstream_url", &format!("http://{app}")).start().await;
    let process = world.process(None).await;
    let visitor = Visitor::new(process.address);
    visitor.log_in(&world.idp, "/").await;
    assert!(visitor.get("/").await.is_upstreams());
    let before = peak(process.id());

    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let cookie = visitor.cookie_header();
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\ncookie: {cookie}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![7; MIB];
    for _ in 0..length / MIB {
        stream.write_all(&piece).await.unwrap();
    }
    let mut buffer = vec![0; MIB];
    let mut received = 0;
    while received < length {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "it broke off after {received} bytes");
        received += read;
    }
    let after = peak(process.id());
    println!("{} MiB up and down: at most {after:.0} MiB resident, {:.0} more than before", length / MIB, after - before);
    assert!(after - before < 32.0, "{before} and {after} MiB");
}
