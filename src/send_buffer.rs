//! How much waits in a socket to be sent.
//!
//! Linux lets up to 4 MiB wait in a socket, and reports one that was full as writable only when a third of it is free. Whoever reads
//! slowly but without a pause would look like somebody who reads nothing for a minute or more. With a limit of what waits unsent, the
//! socket takes more whenever half of that has gone out.

use tokio::net::TcpStream;

/// So many bytes may wait unsent (`TCP_NOTSENT_LOWAT`). What is sent and not acknowledged does not count, so that fast connections
/// are as fast.
const MAX_UNSENT: u32 = 128 * 1024;

/// Has the socket take more whenever its peer has taken 64 KiB.
pub fn limit_unsent(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT) {
        tracing::debug!(%error, "how much of a socket waits unsent cannot be limited");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn a_socket_whose_peer_takes_a_little_takes_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        limit_unsent(&ours);
        let piece = vec![7; 16 * 1024];
        // Full is a socket that takes nothing for a second.
        while timeout(Duration::from_secs(1), ours.writable()).await.is_ok() {
            while ours.try_write(&piece).is_ok() {}
        }
        let mut some = vec![0; 128 * 1024];
        theirs.read_exact(&mut some).await.unwrap();
        timeout(Duration::from_secs(60), ours.writable()).await.expect("its peer has read").unwrap();
        ours.try_write(&piece).unwrap();
    }
}
