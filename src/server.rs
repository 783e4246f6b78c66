//! Accepts client connections, terminates TLS, serves HTTP/1.1 and HTTP/2, and ends connections gracefully.

mod abort_after_flush;
mod activity;
mod alpn;
mod chunk_queue;
mod client_stream;
mod connection;
mod connection_end;
mod interim_queue;
mod interim_responses;
mod lifetime;
mod lingering_close;
mod over_http1;
mod over_http2;
mod protocols;
mod raw_response;
mod shared_body;
mod slots;
mod stream_body;
mod stream_task;
#[cfg(test)]
mod tests;
mod write_timeout;

use std::{
    error::Error,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{connection_slot::ConnectionSlot, send_buffer::limit_unsent, tls::ServerCertificates};

use connection::handshake;
use protocols::Protocols;

pub use client_stream::RejectMalformed;
pub use interim_responses::InterimResponses;
pub use slots::ConnectionSlots;

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_HTTP_ADDRESS`.
    pub address: SocketAddr,
    /// `CODER_TLS_ADDRESS` and the certificates that are served there, with `CODER_TLS_ENABLE`.
    pub tls: Option<(SocketAddr, ServerCertificates)>,
    /// `CODER_EXT_AUTHZ_ADDRESS`: where an ingress asks about its requests over gRPC.
    pub ext_authz: Option<ExtAuthz>,
    /// `CODER_SHUTDOWN_TIMEOUT`: how long requests may take to finish when Evergate is asked to stop.
    pub drain_deadline: Duration,
}

/// A listener of ingresses.
#[derive(Clone, Copy, Debug)]
pub struct ExtAuthz {
    /// Where it listens.
    pub address: SocketAddr,
    /// `CODER_EXT_AUTHZ_TLS`: whether it terminates TLS, with the certificates that are served to browsers.
    pub is_secure: bool,
}

/// The client of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the connection is encrypted with TLS.
    pub is_secure: bool,
    /// The connection's slot. Whatever is in progress on the connection marks it as in use.
    pub slot: ConnectionSlot,
    /// Sends interim responses to requests of HTTP/1.1.
    pub interims: InterimResponses,
}

/// Serves the requests of a connection.
pub struct ConnectionService<S> {
    /// Responds to each request.
    pub respond: S,
    /// Responds to a request that cannot be parsed.
    pub reject: RejectMalformed,
}

/// A response's body, which may have to end while its client takes nothing of it.
pub trait CutBody: Body<Data = Bytes> {
    /// Ready when the body is to end now, whoever waits for what. A frame of it waits for the client meanwhile, so that nobody
    /// comes for the next one, which would be the error.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// What is in memory has no reason to be cut.
impl CutBody for Full<Bytes> {
    fn poll_cut(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A stream of HTTP/2 is reset instead of being answered, with the error code of the source, if that is a reset.
#[derive(Debug, thiserror::Error)]
#[error("the stream is reset")]
pub struct StreamReset(#[source] pub Box<dyn Error + Send + Sync>);

/// A socket on which clients connect.
pub struct Listener {
    /// Where connections are accepted.
    pub socket: TcpListener,
    /// Terminates TLS on them, if set.
    pub tls: Option<TlsAcceptor>,
}

/// The longest head of a request, in bytes.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most header fields of a request.
pub const MAX_HEADER_FIELDS: usize = 256;
/// TCP keep-alive, which detects clients that have vanished: after so long without traffic, so often, so many times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// When the process is out of file descriptors, accepting again immediately would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// When so long no connection has come, none is left in the kernel's queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// Serves connections of `listener` until `stop`, then completes the requests in progress. `make_service` is called for each
/// connection. No more connections are served at the same time than there are `slots`; where all are in use, others wait in the kernel's
/// queue.
pub async fn serve<M, S, F, B>(listener: Listener, slots: Arc<ConnectionSlots>, stop: CancellationToken, make_service: M)
where
    M: Fn(Peer) -> ConnectionService<S> + Clone + Send + Sync + 'static,
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<B>, StreamReset>> + Send + 'static,
    B: CutBody + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let protocols = Arc::new(Protocols::new());
    let mut left_in_queue = BACKLOG;
    loop {
        let accepted = match stop.run_until_cancelled(listener.socket.accept()).await {
            Some(accepted) => accepted,
            // What waits in the kernel's queue has connected already, and would be reset when the socket is closed.
            None if left_in_queue == 0 => break,
            None => {
                left_in_queue -= 1;
                let Ok(accepted) = timeout(QUEUE_PAUSE, listener.socket.accept()).await else { break };
                accepted
            }
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            // No stop waits for file descriptors to come free.
            Err(_) if stop.is_cancelled() => break,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Only then is it known that somebody needs a slot, for which another connection may have to end. Whoever was accepted is served also
        // if Evergate has begun to stop meanwhile: a connection that is closed with its request unread is reset.
        let slot = slots.take().await;
        let peer = Peer { address: address.ip(), is_secure: listener.tls.is_some(), slot, interims: InterimResponses::default() };
        let (protocols, tls, stop) = (Arc::clone(&protocols), listener.tls.clone(), stop.clone());
        let make_service = make_service.clone();
        let registered = slots.register(Arc::clone(&peer.interims.0), peer.slot.clone());
        connections.spawn(async move {
            set_keepalive(&stream);
            limit_unsent(&stream);
            handshake(&protocols, stream, peer, tls, &stop, make_service).await;
            drop(registered);
        });
    }
    drop(listener.socket);
    connections.close();
    connections.wait().await;
}

/// Turns on TCP keep-alive.
fn set_keepalive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let set = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
        sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
        sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "TCP keep-alive cannot be turned on");
    }
}

/// Binds an address. All interfaces (`[::]`) are those of IPv4, too, whatever the system's default is (`net.ipv6.bindv6only`), and of it
/// alone where the system has no IPv6.
///
/// # Errors
/// The system's.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != std::io::ErrorKind::AddrInUse => {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
        }
        bound => bound,
    }
}

/// So many connections wait until they are accepted, as of other proxies: after a restart all clients connect at once.
const BACKLOG: u32 = 1024;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // A replica that starts again finds its port free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
