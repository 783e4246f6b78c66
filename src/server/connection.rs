//! The life of a connection: TLS handshake, detection of the protocol, requests, parking in between, and the end.
//!
//! hyper holds a read buffer, a write buffer and the memory of a request's future for as long as it serves a connection. A
//! connection of HTTP/1 that is idle is therefore parked: hyper is taken off it, and put on again when the next bytes come.

use std::{
    error::Error,
    fmt::Display,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionService, CutBody, MAX_HEAD_BYTES, MAX_HEADER_FIELDS, Peer, StreamReset,
    abort_after_flush::AbortAfterFlush,
    activity::ConnectionActivity,
    alpn::{Detected, Expected},
    client_stream::ClientStream,
    lifetime::{Event, IdleTimeout, Lifetime},
    lingering_close::LingerTimeouts,
    shared_body::SharedBody,
    stream_body::StreamBody,
    stream_task::StreamExecutor,
    write_timeout::WriteTimeout,
};

/// The longest head of a request of HTTP/2, where 32 bytes are added to each field (RFC 9113 section 6.5.2). A head of more than
/// [`MAX_HEAD_BYTES`] without those is refused with a response of ours.
const MAX_HEAD_BYTES_HTTP2: u32 = 4 * 64 * 1024;
const MAX_STREAMS: u32 = 100;
/// An app that takes a body slowly holds up that stream alone: what one stream may have on its way is little, and what a connection
/// may is as much as all its streams together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is written to it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Load balancers keep their idle connections for a minute (nginx, AWS) up to ten (Google Cloud), and lose a request that they send
/// on one in the moment in which its other end closes it. A connection that is kept costs a few kilobytes, and makes room for others.
const IDLE_TIMEOUT: IdleTimeout =
    IdleTimeout { head: Duration::from_secs(30), http1: Duration::from_secs(620), http2: Duration::from_secs(180) };
const LINGER_TIMEOUTS: LingerTimeouts =
    LingerTimeouts { idle: Duration::from_secs(5), total: Duration::from_secs(30), stopping: Duration::from_secs(1) };

/// hyper's settings of both protocols.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    http1: http1::Builder,
}

impl Protocols {
    pub(super) fn new() -> Self {
        let mut http1 = http1::Builder::new();
        // A head that does not come is an idle connection (`Lifetime`).
        http1.header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADER_FIELDS);
        Self { http1 }
    }

    /// Those of a connection of HTTP/2.
    fn http2<B>(executor: StreamExecutor<B>) -> http2::Builder<StreamExecutor<B>> {
        let mut http2 = http2::Builder::new(executor);
        // No pings: some clients answer one only when they next read, and what is merely quiet must not end. A client that has
        // vanished is detected by TCP keep-alive.
        http2.enable_connect_protocol().max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEAD_BYTES_HTTP2);
        http2.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        http2
    }
}

/// Completes the TLS handshake, if the listener terminates TLS, and serves the connection.
pub(super) async fn handshake<S, F, B>(
    protocols: &Protocols,
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    stop: &CancellationToken,
    make_service: impl FnOnce(Peer) -> ConnectionService<S>,
) where
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<B>, StreamReset>> + Send + 'static,
    B: CutBody + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Without it, small responses wait for the client's acknowledgement of the one before.
    let _best_effort = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return serve_connection(protocols, stream, Expected::Either, peer, stop, make_service).await;
    };
    // In memory of its own, which is released when the handshake is complete.
    match Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, accept_tls(&tls, stream))).await {
        Ok(Ok(stream)) => {
            let expected = Expected::after_tls(stream.get_ref().1.alpn_protocol());
            serve_connection(protocols, stream, expected, peer, stop, make_service).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, client.address = %peer.address, "TLS handshake failed"),
        Err(_) => tracing::debug!(client.address = %peer.address, "TLS handshake timed out"),
    }
}

async fn accept_tls(tls: &TlsAcceptor, stream: TcpStream) -> std::io::Result<Box<TlsStream<TcpStream>>> {
    tls.accept(stream).await.map(Box::new)
}

/// Serves the requests of a connection until the client closes it, it has been idle for too long, or Evergate stops.
pub(super) async fn serve_connection<S, F, B>(
    protocols: &Protocols,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    expected: Expected,
    peer: Peer,
    stop: &CancellationToken,
    make_service: impl FnOnce(Peer) -> ConnectionService<S>,
) where
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<B>, StreamReset>> + Send + 'static,
    B: CutBody + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (address, slot, activity) = (peer.address, peer.slot.clone(), Arc::clone(&peer.interims.0));
    let ConnectionService { respond, reject } = make_service(peer);
    let stream = WriteTimeout::new(stream, WRITE_TIMEOUT);
    let mut stream = ClientStream::new(stream, LINGER_TIMEOUTS, Arc::clone(&activity), reject);
    let mut lifetime = Lifetime::begin(IDLE_TIMEOUT, Arc::clone(&activity), slot.clone(), stop.clone());

    let detected = tokio::select! {
        biased;
        detected = stream.detect_protocol(expected) => detected,
        () = lifetime.ended() => Ok(None),
    };
    match detected {
        Ok(Some(Detected::Http1)) => {}
        Ok(Some(Detected::Http2)) => {
            let executor = StreamExecutor::new(Arc::clone(&activity), WRITE_TIMEOUT);
            let http2 = Protocols::http2(executor.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                activity.request_begins(&request);
                let (progress, in_use, activity) = (executor.begin_stream(), slot.in_use(), Arc::clone(&activity));
                // Not awaited in a block of its own, which would hold the future, a large one, twice.
                respond(request).map(move |response| {
                    let response = response?;
                    drop(in_use);
                    Ok::<_, StreamReset>(StreamBody::wrap(response, progress, activity, WRITE_TIMEOUT))
                })
            });
            let connection = Box::pin(http2.serve_connection(TokioIo::new(stream), service));
            return drive_http2(connection, &mut lifetime, address).await;
        }
        Ok(Some(Detected::Unexpected | Detected::Undecided)) => {
            return tracing::debug!(client.address = %address, "client speaks another protocol than ALPN chose");
        }
        Ok(None) => return close(stream).await,
        Err(error) => return log_failure(&error, address),
    }
    let shared = Arc::<SharedBody<B>>::default();
    let (served_activity, served_body) = (Arc::clone(&activity), Arc::clone(&shared));
    let mut service = service_fn(move |request: Request<Incoming>| {
        served_activity.request_begins(&request);
        let (in_use, activity, version) = (slot.in_use(), Arc::clone(&served_activity), request.version());
        let shared = Arc::clone(&served_body);
        respond(request).map(move |response| {
            let response = response?;
            activity.response_begins(&response);
            drop(in_use);
            Ok::<_, StreamReset>(AbortAfterFlush::wrap(response, version, shared, activity))
        })
    });
    loop {
        let connection = Box::new(protocols.http1.serve_connection(TokioIo::new(stream), service).with_upgrades());
        match drive_http1(connection, &mut lifetime, (&activity, &shared), address).await {
            Http1End::Ended => return,
            Http1End::Closing(idle) => return close(idle).await,
            Http1End::Parking(parts) => {
                (stream, service) = (parts.io.into_inner(), parts.service);
                if !parts.read_buf.is_empty() {
                    // The beginning of a head, of which the rest is under way.
                    lifetime.head_begins();
                    stream.unread(parts.read_buf);
                    continue;
                }
            }
        }
        let received = tokio::select! {
            biased;
            received = stream.receive() => received,
            () = lifetime.ended() => Ok(false),
        };
        match received {
            Ok(true) => lifetime.head_begins(),
            Ok(false) => return close(stream).await,
            Err(error) => return log_failure(&error, address),
        }
    }
}

/// What hyper's connection of HTTP/1 came to.
enum Http1End<I, S> {
    /// The connection has ended, or has been upgraded.
    Ended,
    /// It is to end between two requests.
    Closing(I),
    /// It has been idle for long enough to take hyper off it.
    Parking(http1::Parts<TokioIo<I>, S>),
}

/// Lets hyper serve requests of HTTP/1 until the connection ends or is idle.
async fn drive_http1<I, S, B>(
    mut connection: Box<http1::UpgradeableConnection<TokioIo<I>, S>>,
    lifetime: &mut Lifetime,
    (activity, response): (&ConnectionActivity, &SharedBody<B>),
    address: IpAddr,
) -> Http1End<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = AbortAfterFlush<B>> + Unpin,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: CutBody + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // A head that comes slowly keeps hyper until it is a request.
    let requests_before = activity.requests();
    let mut is_ending = false;
    let ended = loop {
        let event = tokio::select! {
            biased;
            ended = &mut *connection => break ended,
            // The client takes nothing of what it was sent, and gets no more.
            () = poll_fn(|context| response.poll_cut(context)) => return Http1End::Ended,
            event = lifetime.next(Some(requests_before)) => event,
        };
        let is_idle = lifetime.is_between_requests();
        match event {
            Event::Park | Event::Stop | Event::IdleTimeout if is_idle => {
                let Some(parts) = connection.into_parts() else { return Http1End::Ended };
                return match event {
                    Event::Park => {
                        // It would hold what hyper knew of it.
                        let _dropped = activity.take_refused_upgrade();
                        Http1End::Parking(parts)
                    }
                    Event::Stop | Event::IdleTimeout => Http1End::Closing(parts.io.into_inner()),
                };
            }
            // No whole head has come, for which a client had a moment longer.
            Event::Stop if !activity.has_begun() => {
                let parts = connection.into_parts();
                return parts.map_or(Http1End::Ended, |parts| Http1End::Closing(parts.io.into_inner()));
            }
            Event::IdleTimeout if is_ending => {
                log_cut(address);
                return Http1End::Ended;
            }
            Event::Stop | Event::IdleTimeout => {
                // The response in progress is completed. If none comes to its end, the next idle timeout cuts the connection.
                Pin::new(&mut *connection).graceful_shutdown();
                is_ending = true;
            }
            Event::Park => {}
        }
    };
    if let Err(error) = ended {
        log_failure(&error, address);
    }
    // hyper leaves a connection on which an upgrade was requested to the holder of the upgrade, also to be closed.
    if let Some(Some(Ok(upgraded))) = activity.take_refused_upgrade().map(FutureExt::now_or_never) {
        let _result = TokioIo::new(upgraded).shutdown().await;
    }
    Http1End::Ended
}

/// Lets hyper serve a connection of HTTP/2 until it ends.
async fn drive_http2<C>(mut connection: Pin<Box<C>>, lifetime: &mut Lifetime, address: IpAddr)
where
    C: GracefulConnection,
    C::Error: Display,
{
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    log_failure(&error, address);
                }
                return;
            }
            event = lifetime.next(None) => {
                let is_over = match event {
                    Event::IdleTimeout => is_ending,
                    // Nobody has asked for anything, and had a moment longer for it.
                    Event::Stop => !lifetime.has_begun(),
                    Event::Park => false,
                };
                if is_over {
                    return log_cut(address);
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        is_ending = true;
    }
}

/// Closes an idle connection.
async fn close(mut stream: impl AsyncWrite + Unpin) {
    let _result = stream.shutdown().await;
}

fn log_failure(error: &dyn Display, address: IpAddr) {
    tracing::debug!(%error, client.address = %address, "client connection failed");
}

fn log_cut(address: IpAddr) {
    tracing::debug!(client.address = %address, "client connection cut: no request was completed on it in time");
}
