//! The access line: one for each request, written when its response has ended, with how it ended and how far it got.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use http_body_util::Either;
use hyper::body::{Body as _, Frame, SizeHint};

use super::trace::Trace;
use crate::{
    exchange::{Exchange, grpc_status},
    forward::{self, BodyError, ByteCount, RESPONSE_MARK},
    telemetry::{
        LoggedUser,
        logs::{ACCESS, causes},
    },
};

/// All of the body was sent.
const COMPLETE: &str = "complete";
/// The client went away, before its response or within it.
pub(super) const CLIENT_LEFT: &str = "client_left";

/// What is told of a request when its response ends.
#[derive(Debug)]
pub(super) struct Line {
    exchange: Exchange,
    trace: Trace,
    user: LoggedUser,
    route: Arc<str>,
    status: u16,
    /// Which response of ours it is; the app's has none.
    mark: Option<HeaderValue>,
    /// From the request to the head of its response.
    head: Duration,
    /// How many bytes of the body were sent, and of how many.
    sent: u64,
    length: Option<u64>,
    /// How a gRPC call ended.
    grpc: Option<u32>,
}

/// A body of the app's, or one of ours.
pub(super) type Source = Either<forward::ResponseBody, axum::body::Body>;

/// A response's body, which has the line written when it ends.
#[derive(Debug)]
pub struct Body {
    source: Source,
    line: Option<Box<Line>>,
}

/// Has the line written when this response ends.
pub(super) fn follow(mut line: Line, response: Response<Source>) -> Response<Body> {
    let is_over = response.body().is_end_stream();
    line.length = response.body().size_hint().exact();
    line.mark = response.headers().get(RESPONSE_MARK).cloned();
    if is_over && line.exchange.call.is_some() {
        line.grpc = grpc_status(response.headers());
    }
    let has_no_body = is_over || line.exchange.method == Method::HEAD || matches!(line.status, 101 | 204 | 304);
    if has_no_body {
        line.write(COMPLETE);
        return response.map(|source| Body { source, line: None });
    }
    response.map(|source| Body { source, line: Some(Box::new(line)) })
}

impl Line {
    /// The line of a request whose response has this status and whose head took so long.
    pub(super) fn new(exchange: Exchange, trace: Trace, user: LoggedUser, route: Arc<str>, status: u16, head: Duration) -> Self {
        Self { exchange, trace, user, route, status, mark: None, head, sent: 0, length: None, grpc: None }
    }

    /// Writes the line of a request that has no response, and says why.
    pub(super) fn write_unanswered(mut self, why: &'static str) {
        self.mark = Some(HeaderValue::from_static(why));
        self.write(why);
    }

    fn write(&self, end: &'static str) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (exchange, trace) = (&self.exchange, &self.trace);
        let original = trace.original.as_deref();
        tracing::info!(
            target: ACCESS,
            {
                http.request.method = exchange.method.as_str(), url.path = exchange.path().as_ref(),
                http.response.status_code = self.status, server.address = exchange.origin.host, http.route = &*self.route,
                user.id = trace.user.as_ref().and_then(|user| user.name(self.user)),
                duration.us = micros(exchange.elapsed()), head.us = micros(self.head),
                upstream.address = trace.upstream.as_ref().map(|(upstream, _)| upstream.as_str()),
                upstream.us = trace.upstream.as_ref().map(|(_, took)| micros(*took)),
                http.request.body.size = trace.received.as_ref().map_or(0, ByteCount::get),
                http.response.body.size = self.sent, end, rpc.grpc.status_code = self.grpc,
                client.address = %exchange.origin.client, request.id = exchange.id_text(),
                response = self.mark.as_ref().and_then(|mark| mark.to_str().ok()).unwrap_or("upstream"),
                reason = trace.reason, original.method = original.map(|original| original.method.as_str()),
                original.host = original.map(|original| original.origin.host.as_str()),
                original.path = original.map(|original| original.path()).as_deref(),
            },
            "request"
        );
    }

    /// Writes the line of a response that broke off.
    fn write_broken(&self, error: &BodyError) {
        let (id, sent, error, end) = (self.exchange.id_text(), self.sent, causes(error), error.word());
        match end {
            "upstream_broken" | "goaway" | "too_slow" => {
                tracing::warn!(
                    request.id = id,
                    http.response.body.size = sent,
                    end,
                    error,
                    "upstream broke off within its response"
                );
            }
            _ => tracing::debug!(request.id = id, http.response.body.size = sent, end, error, "response broke off"),
        }
        self.write(end);
    }
}

impl Body {
    /// Counts bytes, and writes the line at the end.
    fn count(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        let is_over = self.source.is_end_stream();
        let Some(line) = &mut self.line else { return };
        let is_over = match frame {
            Some(Ok(frame)) => {
                line.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                line.grpc = frame.trailers_ref().and_then(grpc_status);
                is_over || frame.is_trailers()
            }
            Some(Err(error)) => {
                line.write_broken(error);
                self.line = None;
                return;
            }
            None => true,
        };
        if is_over && let Some(line) = self.line.take() {
            line.write(COMPLETE);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            // Nobody polls for the end of a body of which all has come.
            line.write(if line.length == Some(line.sent) { COMPLETE } else { CLIENT_LEFT });
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match &mut this.source {
            Either::Left(answer) => {
                let frame = ready!(Pin::new(answer).poll_frame(context));
                this.count(frame.as_ref());
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Either::Right(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let frame = Ok(frame);
                    this.count(Some(&frame));
                    Poll::Ready(Some(frame.map_err(Into::into)))
                }
                Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.count(None);
                    Poll::Ready(None)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
