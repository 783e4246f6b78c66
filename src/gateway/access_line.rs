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
    server::CutBody,
    telemetry::{
        AccessLog, Field,
        logs::{ACCESS, causes},
        traces::RequestEnd,
    },
};

/// The route of a request that took none.
pub(super) const NOWHERE: &str = "none";
/// All of the body was sent.
const COMPLETE: &str = "complete";
/// The client went away, before its response or within it.
pub(super) const CLIENT_LEFT: &str = "client_left";

/// How a gRPC call ends that has not failed.
const GRPC_OK: u32 = 0;

/// What is told of a request when its response ends.
#[derive(Debug)]
pub(super) struct Line {
    exchange: Exchange,
    trace: Trace,
    log: AccessLog,
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
    pub(super) fn new(exchange: Exchange, trace: Trace, log: AccessLog, route: Arc<str>, status: u16, head: Duration) -> Self {
        Self { exchange, trace, log, route, status, mark: None, head, sent: 0, length: None, grpc: None }
    }

    /// Writes the line of a request that has no response, and says why.
    pub(super) fn write_unanswered(mut self, why: &'static str) {
        self.mark = Some(HeaderValue::from_static(why));
        self.write(why);
    }

    fn write(&self, end: &'static str) {
        let Some(spans) = &self.trace.spans else { return self.write_line(end) };
        let mark = self.mark.as_ref().and_then(|mark| mark.to_str().ok());
        let route = Some(&*self.route).filter(|route| *route != NOWHERE);
        let grpc = self.grpc.filter(|_| self.exchange.call.is_some());
        spans.end(&self.exchange.method, RequestEnd { route, status: self.status, response: mark, grpc });
        spans.span.in_scope(|| self.write_line(end));
    }

    fn write_line(&self, end: &'static str) {
        if !self.is_remarkable(end) && !self.log.sample.includes(|| self.exchange.id_text()) {
            return;
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let has = |field| self.log.fields.has(field);
        let (exchange, trace) = (&self.exchange, &self.trace);
        let (original, (host, port)) = (trace.original.as_deref(), exchange.origin.server());
        let (upstream, upstream_took) = trace.upstream.as_ref().map(|(upstream, took)| (upstream.as_str(), *took)).unzip();
        tracing::info!(
            target: ACCESS,
            {
                http.request.method = has(Field::Method).then_some(exchange.method.as_str()),
                url.path = has(Field::Path).then(|| exchange.path()).as_deref(),
                http.response.status_code = has(Field::Status).then_some(self.status),
                server.address = has(Field::Host).then_some(host),
                server.port = port.filter(|_| has(Field::Port)),
                http.route = has(Field::Route).then_some(&*self.route),
                user.id = trace.user.as_ref().and_then(|user| user.name(self.log.user)),
                duration.us = has(Field::Duration).then(|| micros(exchange.elapsed())),
                head.us = has(Field::Head).then(|| micros(self.head)),
                upstream.address = upstream.filter(|_| has(Field::Upstream)),
                upstream.us = upstream_took.filter(|_| has(Field::UpstreamTime)).map(micros),
                http.request.body.size = has(Field::Received).then(|| trace.received.as_ref().map_or(0, ByteCount::get)),
                http.response.body.size = has(Field::Sent).then_some(self.sent),
                end = has(Field::End).then_some(end), rpc.grpc.status_code = self.grpc.filter(|_| has(Field::Grpc)),
                client.address = has(Field::Client).then(|| tracing::field::display(exchange.origin.client)),
                request.id = exchange.id_text(), response = self.response().filter(|_| has(Field::Response)),
                reason = trace.reason.filter(|_| has(Field::Reason)),
                original.method = original.filter(|_| has(Field::OriginalMethod)).map(|original| original.method.as_str()),
                original.host = original.filter(|_| has(Field::OriginalHost)).map(|original| original.origin.host.as_str()),
                original.path = original.filter(|_| has(Field::OriginalPath)).map(|original| original.path()).as_deref(),
            },
            "request"
        );
    }

    /// Which response of ours it is, or the upstream's.
    fn response(&self) -> Option<&str> {
        self.mark.as_ref().map_or(Some("upstream"), |mark| mark.to_str().ok())
    }

    /// Whether somebody may ask about the request: it failed, was refused, or broke off. Its line is written, whatever the sample.
    fn is_remarkable(&self, end: &str) -> bool {
        let is_failed = self.status >= 400 || self.grpc.is_some_and(|status| status != GRPC_OK);
        is_failed || self.trace.reason.is_some() || end != COMPLETE
    }

    /// Writes the line of a response that broke off.
    fn write_broken(&self, error: &BodyError) {
        match &self.trace.spans {
            None => self.tell_of_break(error),
            Some(spans) => spans.span.in_scope(|| self.tell_of_break(error)),
        }
        self.write(error.word());
    }

    fn tell_of_break(&self, error: &BodyError) {
        let (id, sent, end, is_upstreams) = (self.exchange.id_text(), self.sent, error.word(), error.is_upstreams_fault());
        let error = causes(error);
        if is_upstreams {
            tracing::warn!(request.id = id, http.response.body.size = sent, end, error, "upstream broke off within its response");
        } else {
            tracing::debug!(request.id = id, http.response.body.size = sent, end, error, "response broke off");
        }
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

impl CutBody for Body {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Either::Left(answer) = &mut self.source else { return Poll::Pending };
        let error = ready!(answer.poll_cut(context));
        self.count(Some(&Err(error)));
        Poll::Ready(())
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
