//! Accepting connections, serving HTTP/1.1 and HTTP/2 on them, and ending them gracefully.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How connections are served.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `CODER_HTTP_ADDRESS`.
    pub address: SocketAddr,
    /// `CODER_SHUTDOWN_TIMEOUT`: how long requests may take to finish when we are asked to stop.
    pub drain_deadline: Duration,
}

/// A client that has not sent a request's head by then sends none.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// The longest head of a request.
const LARGEST_HEAD: usize = 64 * 1024;
const MOST_STREAMS: u32 = 200;
/// When the process is out of file descriptors, accepting again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `listener` until `stop`, then lets what has begun finish.
pub async fn serve<S, F, B>(listener: TcpListener, stop: CancellationToken, handle: S)
where
    S: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    let builder = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        connections.spawn(connection(Arc::clone(&builder), stream, peer, graceful.watcher(), handle.clone()));
    }
    drop(listener);
    graceful.shutdown().await;
    connections.close();
    connections.wait().await;
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(LARGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(60));
    builder
}

async fn connection<S, F, B>(
    builder: Arc<auto::Builder<TokioExecutor>>,
    stream: TcpStream,
    peer: SocketAddr,
    watcher: hyper_util::server::graceful::Watcher,
    handle: S,
) where
    S: Fn(IpAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Without it, small answers wait for the client's acknowledgement of the one before.
    let _best_effort = stream.set_nodelay(true);
    let begun = Arc::new(AtomicBool::new(false));
    let began = Arc::clone(&begun);
    let service = service_fn(move |request| {
        began.store(true, Ordering::Relaxed);
        let answer = handle(peer.ip(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned());
    // The server's own deadlines begin once it knows which protocol is spoken; before that, silence would last for ever.
    let silence = async {
        tokio::time::sleep(HEADER_DEADLINE).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        biased;
        ended = serving => ended,
        () = silence => return,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, client.ip = %peer.ip(), "a connection broke off");
    }
}
