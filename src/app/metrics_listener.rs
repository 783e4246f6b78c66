//! Serves metrics on their own listener, so that no route can expose them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    server::{self, ConnectionService, ConnectionSlots, Peer, StreamReset},
    telemetry::metrics::Metrics,
};

/// A few programs read metrics, each on a connection or two. Whoever else reaches the listener takes no more of the process's file
/// descriptors than these.
const MAX_CONNECTIONS: usize = 32;

/// Serves metrics until `stop`, among them how many connections of clients there are, which have these `slots`.
pub(super) async fn serve_metrics(socket: TcpListener, metrics: Metrics, slots: Arc<ConnectionSlots>, stop: CancellationToken) {
    let listener = server::Listener { socket, tls: None };
    let make_service = move |_peer: Peer| {
        let (metrics, slots) = (metrics.clone(), Arc::clone(&slots));
        ConnectionService {
            reject: Box::new(|status| {
                empty(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)).map(|_| Bytes::new())
            }),
            respond: move |request: Request<Incoming>| {
                metrics.client_connections(slots.open(), slots.max());
                std::future::ready(Ok::<_, StreamReset>(answer(&request, &metrics)))
            },
        }
    };
    server::serve(listener, ConnectionSlots::new(MAX_CONNECTIONS), stop, make_service).await;
}

fn answer<B>(request: &Request<B>, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return empty(StatusCode::NOT_FOUND);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let text = metrics.render().unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
