//! A connection of HTTP/1: hyper serves its requests, and is taken off it in between.

use std::{
    error::Error,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    CutBody, Peer, StreamReset,
    abort_after_flush::AbortAfterFlush,
    activity::ConnectionActivity,
    client_stream::ClientStream,
    connection_end::{close, log_cut, log_evicted, log_failure},
    lifetime::{Event, Lifetime},
    protocols::Protocols,
    shared_body::SharedBody,
};

/// Serves the requests of a connection of HTTP/1.
pub(super) async fn serve_http1<S, F, B>(
    protocols: &Protocols,
    mut stream: ClientStream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    respond: S,
    client: Peer,
    mut lifetime: Lifetime,
) where
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<B>, StreamReset>> + Send + 'static,
    B: CutBody + Unpin + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (address, slot, activity) = (client.address, client.slot, client.interims.0);
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
            event = lifetime.ended() => match event {
                Event::Evicted => return log_evicted(address),
                Event::Park | Event::Stop | Event::IdleTimeout => Ok(false),
            },
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
            // Another client waits. What has come meanwhile would not be read in any case.
            Event::Evicted => {
                log_evicted(address);
                return Http1End::Ended;
            }
            Event::Park | Event::Stop | Event::IdleTimeout if is_idle => {
                let Some(parts) = connection.into_parts() else { return Http1End::Ended };
                return match event {
                    Event::Park => {
                        // It would hold what hyper knew of it.
                        let _dropped = activity.take_refused_upgrade();
                        Http1End::Parking(parts)
                    }
                    Event::Stop | Event::IdleTimeout | Event::Evicted => Http1End::Closing(parts.io.into_inner()),
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
