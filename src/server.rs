//! Accepting connections, ending TLS, serving HTTP/1.1 and HTTP/2 on them, and ending them gracefully.

mod agreed;
mod course;
mod interims;
mod prompt;
mod relayed;
mod staged;
#[cfg(test)]
mod tests;
mod written;

use std::{
    error::Error,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::tls::Shown;

use agreed::Agreed;
use course::Rest;
use prompt::Prompt;
use relayed::Relayed;
use staged::{Patience, Staged};

pub use interims::Interims;
pub use staged::Refuse;

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_HTTP_ADDRESS`.
    pub address: SocketAddr,
    /// `CODER_TLS_ADDRESS` and the certificates that are shown there, with `CODER_TLS_ENABLE`.
    pub tls: Option<(SocketAddr, Shown)>,
    /// `CODER_SHUTDOWN_TIMEOUT`: how long requests may take to finish when we are asked to stop.
    pub drain_deadline: Duration,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether it speaks TLS with us.
    pub is_secure: bool,
    /// Its place among those that may be connected at once. Whatever is under way on the connection holds it, also where
    /// that outlives the serving of requests, as a tunnel does: nobody else tells a connection in use from one at rest.
    pub place: Arc<OwnedSemaphorePermit>,
    /// Takes interim answers to a request of HTTP/1.1.
    pub interims: Interims,
}

/// What serves a connection.
pub struct Serving<S> {
    /// Answers each of its requests.
    pub answer: S,
    /// Answers one that cannot be read.
    pub refuse: Refuse,
}

/// A stream of HTTP/2 is reset instead of being answered, with the code that the cause bears, if that is a reset.
#[derive(Debug, thiserror::Error)]
#[error("the stream is reset")]
pub struct Reset(#[source] pub Box<dyn Error + Send + Sync>);

/// One way in.
pub struct Door {
    /// Where connections come.
    pub listener: TcpListener,
    /// Ends TLS on them.
    pub tls: Option<TlsAcceptor>,
}

/// A client that does not send a request's head for half a minute sends none; one that has spoken HTTP/2 may think for three.
const REST: Rest = Rest { look: Duration::from_secs(15), looks: 2, looks_http2: 12 };
/// The longest head of a request, in either version.
pub const LARGEST_HEAD: usize = 64 * 1024;
/// The same for HTTP/2, where 32 bytes are added to each line (RFC 9113 section 6.5.2). More than [`LARGEST_HEAD`] without those
/// is refused in words of ours.
const LARGEST_HEAD_HTTP2: u32 = 4 * 64 * 1024;
/// So many lines it may have.
pub const MOST_LINES: usize = 256;
const MOST_STREAMS: u32 = 100;
/// A client that takes nothing of its answer for so long takes no more.
const SLOWEST_READER: Duration = Duration::from_secs(60);
/// How long a client may go on sending what nobody reads, once it has its last answer.
const PATIENCE: Patience =
    Patience { silent: Duration::from_secs(5), whole: Duration::from_secs(30), stopping: Duration::from_secs(1) };
/// What was connected to just before we were asked to stop may still ask something.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Clients that vanished without a word are asked for after this, so often, so many times.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_AGAIN: Duration = Duration::from_secs(15);
const KEEPALIVE_TRIES: u32 = 4;
/// When the process is out of file descriptors, accepting again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves what comes by `door` until `stop`, then lets what has begun finish. `welcome` is asked for each connection what serves
/// its requests. No more connections are accepted at once than `room` has permits for; the others wait in the kernel's queue.
pub async fn serve<W, S, F, B>(door: Door, room: Arc<Semaphore>, stop: CancellationToken, welcome: W)
where
    W: Fn(Peer) -> Serving<S> + Clone + Send + Sync + 'static,
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, Reset>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let builder = Arc::new(builder());
    let accept = || async {
        // First the place, so that nobody is accepted whom nobody can serve.
        let place = Arc::clone(&room).acquire_owned().await.ok()?;
        Some((door.listener.accept().await, place))
    };
    while let Some(Some((accepted, place))) = stop.run_until_cancelled(accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (builder, tls, stop, welcome) = (Arc::clone(&builder), door.tls.clone(), stop.clone(), welcome.clone());
        connections.spawn(async move {
            keep_alive(&stream);
            let (place, interims) = (Arc::new(place), Interims::default());
            let peer = Peer { address: peer.ip(), is_secure: tls.is_some(), place, interims };
            greet(&builder, stream, peer, tls, &stop, welcome).await;
        });
    }
    drop(door.listener);
    connections.close();
    connections.wait().await;
}

/// Has the kernel ask whether the other end is still there.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let ask = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
        sockopt::set_tcp_keepintvl(stream, KEEPALIVE_AGAIN)?;
        sockopt::set_tcp_keepcnt(stream, KEEPALIVE_TRIES)
    };
    if let Err(error) = ask() {
        tracing::debug!(%error, "a connection cannot be kept alive");
    }
}

/// Agrees on TLS, if that is spoken here, and serves the connection.
async fn greet<S, F, B>(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    stop: &CancellationToken,
    welcome: impl FnOnce(Peer) -> Serving<S>,
) where
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, Reset>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Without it, small answers wait for the client's acknowledgement of the one before.
    let _best_effort = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return connection(builder, Prompt::new(stream, SLOWEST_READER), None, peer, stop, welcome).await;
    };
    match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let agreed = Agreed::on(stream.get_ref().1.alpn_protocol());
            connection(builder, Prompt::new(stream, SLOWEST_READER), Some(agreed), peer, stop, welcome).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, client.ip = %peer.address, "a client did not agree on TLS"),
        Err(_) => tracing::debug!(client.ip = %peer.address, "a client took too long to agree on TLS"),
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // A head that does not come is a connection that rests (`Course`).
    builder.http1().header_read_timeout(None).max_buf_size(LARGEST_HEAD).max_headers(MOST_LINES);
    // No pings: some clients answer one only when they next read, and what is merely quiet must not end. Who vanished is found
    // by the kernel.
    builder.http2().enable_connect_protocol().max_concurrent_streams(MOST_STREAMS).max_header_list_size(LARGEST_HEAD_HTTP2);
    builder
}

/// Serves the requests of a connection until it ends, or has rested for too long, or is to end because we do.
async fn connection<S, F, B>(
    builder: &auto::Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    agreed: Option<Agreed>,
    peer: Peer,
    stop: &CancellationToken,
    welcome: impl FnOnce(Peer) -> Serving<S>,
) where
    S: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Result<Response<B>, Reset>> + Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (address, place, course) = (peer.address, Arc::clone(&peer.place), Arc::clone(&peer.interims.0));
    let Serving { answer, refuse } = welcome(peer);
    let (answering, answered) = (Arc::clone(&place), Arc::clone(&course));
    let idle = Arc::strong_count(&place);
    let service = service_fn(move |request: Request<Incoming>| {
        answered.begin(&request);
        let (course, place, version) = (Arc::clone(&answered), Arc::clone(&answering), request.version());
        // Not awaited in a block of its own, which would hold the future, a large one, twice.
        answer(request).map(move |response| {
            let response = response?;
            course.answer(&response);
            drop(place);
            Ok::<_, Reset>(Relayed::answer(version, course, SLOWEST_READER, response))
        })
    });
    let stream = TokioIo::new(Staged::new(stream, PATIENCE, Arc::clone(&course), agreed, refuse));
    let mut served = pin!(builder.serve_connection_with_upgrades(stream, service).into_owned());
    let stopping = async {
        stop.cancelled().await;
        course.stop();
        if !course.has_begun() {
            tokio::time::sleep(FIRST_REQUEST).await;
        }
    };
    let mut stopping = pin!(stopping.fuse());
    let mut is_ending = false;
    let ended = loop {
        let mut rested = pin!(course.rested(REST, &place, idle));
        tokio::select! {
            biased;
            ended = served.as_mut() => break ended,
            () = stopping.as_mut() => {}
            () = rested.as_mut() => if is_ending {
                tracing::debug!(client.ip = %address, "a connection on which no request came to its end was cut");
                return;
            },
        }
        // Answers that have begun are finished. Where that never comes to an end, as with a head that does not, the next rest
        // is the last.
        served.as_mut().graceful_shutdown();
        is_ending = true;
    };
    if let Err(error) = ended {
        tracing::debug!(%error, client.ip = %address, "a connection broke off");
    }
    // Where an upgrade was asked for, hyper leaves it to whoever gets that to close the connection.
    if let Some(Some(Ok(upgraded))) = course.refused_upgrade().map(FutureExt::now_or_never) {
        let _closed = TokioIo::new(upgraded).shutdown().await;
    }
}
