//! The demonstration's app: it has no login code, and knows its users by the gateway's headers.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::clock::Clock;

/// The app's pages.
pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("sample_app.html")) }))
        .route("/whoami", get(whoami))
        .route("/clock", get(clock))
}

/// The headers that the gateway added.
async fn whoami(headers: HeaderMap) -> Json<Value> {
    let told =
        headers.iter().filter(|(name, _)| name.as_str().starts_with("x-forwarded") || name.as_str().starts_with("x-evergate"));
    let told = told.map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))));
    Json(json!({ "headers": told.collect::<serde_json::Map<_, _>>(), "cookies": headers.contains_key(header::COOKIE) }))
}

/// A clock as Server-Sent Events: one response that continues while tokens are renewed.
async fn clock() -> Response {
    let (events, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        // The task ends when the client has gone.
        while events.send(Bytes::from(format!("data: {}\n\n", Clock::System.now().0))).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], Body::new(Events(receiver)))
        .into_response()
}

/// The clock's events as a body.
struct Events(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
