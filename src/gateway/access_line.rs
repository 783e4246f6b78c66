//! The access line: one for each request, written when its answer has ended, with how that was and how far it got.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use http_body_util::Either;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::{
    exchange::{Exchange, grpc_status},
    forward::{self, BodyError, RESPONSE_MARK},
    telemetry::logs::{ACCESS, causes},
};

/// All of it went out.
const COMPLETE: &str = "complete";
/// The client went away, before its answer or within it.
pub(super) const CLIENT_LEFT: &str = "client_left";

/// What is said of a request when its answer ends.
#[derive(Debug)]
pub(super) struct Line {
    exchange: Exchange,
    status: u16,
    /// Which answer of ours it is; the app's has none.
    mark: Option<HeaderValue>,
    /// From the request to the head of its answer.
    head: Duration,
    /// So many bytes of the body went out, of so many.
    sent: u64,
    length: Option<u64>,
    /// How a call of gRPC ended.
    grpc: Option<u32>,
}

/// A body of the app's, or one of ours.
type Source = Either<forward::ResponseBody, axum::body::Body>;

/// An answer's body, which writes the line when it ends.
#[derive(Debug)]
pub struct Body {
    source: Source,
    line: Option<Box<Line>>,
}

/// Has the line written when this answer ends, whose head took so long.
pub(super) fn follow(exchange: Exchange, head: Duration, response: Response<Source>) -> Response<Body> {
    let (is_over, length) = (response.body().is_end_stream(), response.body().size_hint().exact());
    let mark = response.headers().get(RESPONSE_MARK).cloned();
    let has_no_body = is_over || exchange.method == Method::HEAD || matches!(response.status().as_u16(), 101 | 204 | 304);
    let grpc = if is_over && exchange.call.is_some() { grpc_status(response.headers()) } else { None };
    let line = Line { exchange, status: response.status().as_u16(), mark, head, sent: 0, length, grpc };
    if has_no_body {
        line.write(COMPLETE);
        return response.map(|source| Body { source, line: None });
    }
    response.map(|source| Body { source, line: Some(Box::new(line)) })
}

/// Writes the line of a request that has no answer, with the status that says so.
pub(super) fn unanswered(exchange: &Exchange, status: u16, why: &'static str) {
    let (head, mark) = (exchange.elapsed(), Some(HeaderValue::from_static(why)));
    Line { exchange: exchange.clone(), status, mark, head, sent: 0, length: None, grpc: None }.write(why);
}

impl Line {
    fn write(&self, end: &'static str) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let exchange = &self.exchange;
        tracing::info!(
            target: ACCESS,
            {
                http.method = exchange.method.as_str(), http.path = exchange.path().as_ref(), http.status = self.status,
                duration.us = micros(exchange.elapsed()), head.us = micros(self.head), sent.bytes = self.sent, end,
                grpc.status = self.grpc, client.ip = %exchange.origin.client, request.id = exchange.id_text(),
                answer = self.mark.as_ref().and_then(|mark| mark.to_str().ok()).unwrap_or("upstream"),
            },
            "request"
        );
    }

    /// The answer broke off.
    fn write_broken(&self, error: &BodyError) {
        let (id, sent, error, end) = (self.exchange.id_text(), self.sent, causes(error), error.word());
        match end {
            "upstream_broken" | "goaway" | "too_slow" => {
                tracing::warn!(request.id = id, sent.bytes = sent, end, error, "the upstream broke off within its answer");
            }
            _ => tracing::debug!(request.id = id, sent.bytes = sent, end, error, "an answer broke off"),
        }
        self.write(end);
    }
}

impl Body {
    /// Keeps count, and writes the line when there is an end.
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
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
            // Nobody asks for the end of a body of which all has come.
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
                this.note(frame.as_ref());
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Either::Right(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let frame = Ok(frame);
                    this.note(Some(&frame));
                    Poll::Ready(Some(frame.map_err(Into::into)))
                }
                Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.note(None);
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
