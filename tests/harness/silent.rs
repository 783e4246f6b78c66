//! An address at which nothing answers.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::eventually::eventually;

/// A listener that accepts nothing and whose queue is full: packets of further connections are dropped.
pub struct Silent {
    pub address: SocketAddr,
    _listener: TcpListener,
    _queue: [TcpStream; 2],
}

impl Silent {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // Linux lets one more in than that.
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let queue = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        eventually("its queue is full", async || queued(address) == 2).await;
        Self { address, _listener: listener, _queue: queue }
    }
}

/// How many connections wait to be accepted, as the kernel tells of a listener.
fn queued(listener: SocketAddr) -> u32 {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", listener.port());
    let mut lines = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Local and remote address, state (0A is LISTEN), and what is queued to be sent and to be received.
    let listening = lines.find(|fields| fields[1].ends_with(&port) && fields[3] == "0A").unwrap();
    u32::from_str_radix(listening[4].split(':').next_back().unwrap(), 16).unwrap()
}
