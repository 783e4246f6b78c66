//! A connection of HTTP/2, whose streams have tasks of their own.

use std::{error::Error, fmt::Display, future::Future, net::IpAddr, pin::Pin, sync::Arc};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulConnection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    CutBody, Peer, StreamReset,
    connection_end::{log_cut, log_evicted, log_failure},
    lifetime::{Event, Lifetime},
    protocols::Protocols,
    stream_body::StreamBody,
    stream_task::StreamExecutor,
    write_timeout::WRITE_TIMEOUT,
};

/// Serves the requests of a connection of HTTP/2.
pub(super) async fn serve_http2<S, F, B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
    let executor = StreamExecutor::new(Arc::clone(&activity), WRITE_TIMEOUT);
    let http2 = Protocols::http2(executor.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        activity.request_begins(&request);
        let (progress, in_use) = (executor.begin_stream(), slot.in_use());
        // Not awaited in a block of its own, which would hold the future, a large one, twice.
        respond(request).map(move |response| {
            let response = StreamBody::wrap(response?, progress, WRITE_TIMEOUT);
            drop(in_use);
            Ok::<_, StreamReset>(response)
        })
    });
    let connection = Box::pin(http2.serve_connection(TokioIo::new(stream), service));
    drive_http2(connection, &mut lifetime, address).await;
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
                    // It was told before, and did not say that it knows.
                    Event::Evicted if is_ending => return,
                    Event::Evicted => {
                        log_evicted(address);
                        if !lifetime.has_begun() {
                            return;
                        }
                        false
                    }
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
