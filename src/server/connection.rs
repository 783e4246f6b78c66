//! The life of a connection: TLS handshake, detection of the protocol, requests, parking in between, and the end.
//!
//! hyper holds a read buffer, a write buffer and the memory of a request's future for as long as it serves a connection. A
//! connection of HTTP/1 that is idle is therefore parked: hyper is taken off it, and put on again when the next bytes come.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    ConnectionService, CutBody, Peer, StreamReset,
    alpn::{Detected, Expected},
    client_stream::ClientStream,
    connection_end::{close, log_evicted, log_failure},
    lifetime::{Event, IdleTimeout, Lifetime},
    lingering_close::LingerTimeouts,
    over_http1::serve_http1,
    over_http2::serve_http2,
    protocols::Protocols,
    write_timeout::{WRITE_TIMEOUT, WriteTimeout},
};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Load balancers keep their idle connections for a minute (nginx, AWS) up to ten (Google Cloud), and lose a request that they send
/// on one in the moment in which its other end closes it. A connection that is kept costs a few kilobytes, and makes room for others.
const IDLE_TIMEOUT: IdleTimeout =
    IdleTimeout { head: Duration::from_secs(30), http1: Duration::from_secs(620), http2: Duration::from_secs(180) };
const LINGER_TIMEOUTS: LingerTimeouts =
    LingerTimeouts { idle: Duration::from_secs(5), total: Duration::from_secs(30), hurried: Duration::from_secs(1) };

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
    let accepted = tokio::select! {
        biased;
        accepted = Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, accept_tls(&tls, stream))) => accepted,
        () = peer.interims.0.evicted(&peer.slot) => return log_evicted(peer.address),
    };
    match accepted {
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
    let (client, activity) = (peer.clone(), Arc::clone(&peer.interims.0));
    let ConnectionService { respond, reject } = make_service(peer);
    let stream = WriteTimeout::new(stream, WRITE_TIMEOUT);
    let mut stream = ClientStream::new(stream, LINGER_TIMEOUTS, activity, reject);
    let lifetime = Lifetime::begin(IDLE_TIMEOUT, &client, stop.clone());
    match detect(&mut stream, expected, &lifetime).await {
        Ok(Beginning::Spoken(Detected::Http1)) => serve_http1(protocols, stream, respond, client, lifetime).await,
        Ok(Beginning::Spoken(Detected::Http2)) => serve_http2(stream, respond, client, lifetime).await,
        Ok(Beginning::Spoken(Detected::Unexpected | Detected::Undecided)) => {
            tracing::debug!(client.address = %client.address, "client speaks another protocol than ALPN chose");
        }
        Ok(Beginning::Left | Beginning::Ended(Event::Stop | Event::IdleTimeout | Event::Park)) => close(stream).await,
        // Nothing that it could lose was sent to the client, and others wait.
        Ok(Beginning::Ended(Event::Evicted)) => log_evicted(client.address),
        Err(error) => log_failure(&error, client.address),
    }
}

/// What a connection begins with.
enum Beginning {
    /// The client speaks this protocol.
    Spoken(Detected),
    /// The client leaves before.
    Left,
    /// This comes before.
    Ended(Event),
}

/// Waits until it is known what a client speaks.
async fn detect<S>(stream: &mut ClientStream<S>, expected: Expected, lifetime: &Lifetime) -> std::io::Result<Beginning>
where
    S: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        detected = stream.detect_protocol(expected) => Ok(detected?.map_or(Beginning::Left, Beginning::Spoken)),
        event = lifetime.ended() => Ok(Beginning::Ended(event)),
    }
}
