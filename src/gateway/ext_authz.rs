//! Envoy asks over gRPC (`ext_authz`), on a listener of its own: on the main one its path is an app's, and no client of ours can ask.
//!
//! Where Envoy is told to let requests pass whose question fails (`failure_mode_allow`), whoever makes one fail gets in. So a call
//! fails for what Envoy does alone; whatever a client can bring about is a refusal.

use std::{sync::Arc, time::Duration};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use tracing::Instrument;

use super::{
    Answered, Body, Caller, Gateway, PendingResponse,
    forward_auth::{Asked, Question},
    trace::{RouteTaken, Trace},
};
use crate::{
    backoff::SOON,
    exchange::{CallFailure, Exchange, Original, check_has_no_body},
    ext_authz::{
        CheckRequest, CheckResponse, DeniedResponse, FramingError, HealthCheckRequest, Rpc, frame, health_check_response,
        unframed,
    },
    forward::RESPONSE_MARK,
    refusal::{Refusal, response::grpc_failed},
    server::StreamReset,
    visitor::ConnectionMemo,
};

/// The longest question. A head that may pass is much shorter; Envoy sends a body only if it is told to (`with_request_body`).
const MAX_QUESTION: usize = 1024 * 1024;
/// How long an ingress may take to send one, which it has at hand.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);

const NOT_A_QUESTION: CallFailure = CallFailure::InvalidArgument("the message asks about no request of HTTP");

/// What is answered, and which response it is.
struct Reply {
    message: Vec<u8>,
    mark: HeaderValue,
}

/// Why a call has no message.
enum NotRead {
    TooLarge,
    Failed(CallFailure),
}

impl Gateway {
    /// Handles a gRPC call of an ingress: its only entry and exit.
    ///
    /// # Errors
    /// None; the type is that of [`Gateway::handle`].
    pub async fn handle_call(
        self: Arc<Self>,
        caller: Arc<Caller>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, StreamReset> {
        let (head, body) = request.into_parts();
        let exchange = Exchange::begin(&caller.peer, &self.parts.settings.exchange, &head, !body.is_end_stream());
        let mut pending = PendingResponse { gateway: &self, exchange: &exchange, trace: Trace::default(), is_answered: false };
        pending.trace.spans = self.begin_spans(&exchange, &head.headers);
        let response = match pending.trace.span() {
            None => self.answer_call(&exchange, &caller, head.headers, body, &mut pending.trace).await,
            Some(span) => {
                Box::pin(self.answer_call(&exchange, &caller, head.headers, body, &mut pending.trace).instrument(span)).await
            }
        };
        pending.is_answered = true;
        let trace = std::mem::take(&mut pending.trace);
        drop(pending);
        Ok(self.finish(exchange, trace, response))
    }

    async fn answer_call(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        headers: HeaderMap,
        body: Incoming,
        trace: &mut Trace,
    ) -> Answered {
        let Some(call) = exchange.call else { return self.refuse(exchange, Refusal::NoSuchPage) };
        let reply = async {
            match Rpc::of(exchange.raw_path()) {
                Some(Rpc::Check) => self.check(exchange, caller, &headers, body, trace).await,
                Some(Rpc::HealthCheck) => self.check_health(&headers, body, trace).await,
                None => Err(CallFailure::Unimplemented("there is no such method")),
            }
        };
        let reply = match call.time_left(exchange.elapsed()) {
            Some(Duration::ZERO) => Err(CallFailure::DeadlineExceeded),
            Some(left) => tokio::time::timeout(left, Box::pin(reply)).await.unwrap_or(Err(CallFailure::DeadlineExceeded)),
            None => Box::pin(reply).await,
        };
        reply.map_or_else(grpc_failed, Reply::into_response).map(Either::Right)
    }

    /// Answers whether a request may pass.
    async fn check(
        &self,
        exchange: &Exchange,
        caller: &Caller,
        headers: &HeaderMap,
        body: Incoming,
        trace: &mut Trace,
    ) -> Result<Reply, CallFailure> {
        trace.route = RouteTaken::ForwardAuth;
        if !exchange.is_from_trusted_proxy {
            tracing::info!(
                request.id = exchange.id_text(),
                client.address = %caller.peer.address,
                "a question is not answered: whoever asks is no trusted proxy (CODER_PROXY_TRUSTED_ORIGINS)"
            );
            return Err(CallFailure::PermissionDenied("whoever asks is no trusted proxy (CODER_PROXY_TRUSTED_ORIGINS)"));
        }
        let body = match read(headers, body).await {
            Ok(body) => body,
            Err(NotRead::TooLarge) => {
                return Ok(self.denied(exchange, trace, self.refusal_response(exchange, Refusal::HeadTooLarge)).await);
            }
            Err(NotRead::Failed(failure)) => return Err(failure),
        };
        let asked = CheckRequest::read(message(&body)?).ok().flatten().ok_or(NOT_A_QUESTION)?;
        let original = Original::of_check(&asked);
        let client = original.as_ref().map_or_else(|_| HeaderMap::new(), |original| original.head.headers.clone());
        // Many clients' questions come on one connection, so that the last one's is seldom the next one's.
        let memo = ConnectionMemo::default();
        let question =
            Question { asked: Asked::ByGrpc(&asked), has_no_body: check_has_no_body(asked.size, &client), memo: &memo };
        let judging = Box::pin(self.judge_question(exchange, caller, original.as_ref(), question, trace));
        let judged = match exchange.call.and_then(|call| call.time_to_answer(exchange.elapsed())) {
            Some(time) => match tokio::time::timeout(time, judging).await {
                Ok(judged) => judged,
                Err(_) => Err(self.took_too_long(exchange, trace)),
            },
            None => judging.await,
        };
        match judged {
            Ok(passed) => {
                let cookies = &self.parts.settings.exchange.cookies;
                let changes = passed.identity.changes(&client, cookies, passed.hides_authorization);
                let message = CheckResponse::Permitted(changes).written();
                Ok(Reply { message, mark: HeaderValue::from_static("permitted") })
            }
            Err(response) => Ok(self.denied(exchange, trace, response).await),
        }
    }

    /// The response to a request that cannot be judged before the ingress gives up. A client can bring that about, by a token that must
    /// be asked about or refreshed, so that the call must not fail.
    fn took_too_long(&self, exchange: &Exchange, trace: &mut Trace) -> Response<AxumBody> {
        let refusal = Refusal::RenewalUnavailable(SOON);
        trace.reason = refusal.reason();
        tracing::info!(
            request.id = exchange.id_text(),
            "a question is refused, because an answer took longer than the ingress waits"
        );
        self.refusal_response(trace.original.as_deref().unwrap_or(exchange), refusal)
    }

    /// Has the client of a request that may not pass get this response.
    async fn denied(&self, exchange: &Exchange, trace: &mut Trace, mut response: Response<AxumBody>) -> Reply {
        if let Some(readers) = &trace.readers {
            readers.write(&mut response);
        }
        self.write_hsts(trace.original.as_deref().unwrap_or(exchange), response.headers_mut());
        let (head, body) = response.into_parts();
        // It is in memory.
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        trace.judged = Some(head.status.as_u16());
        let mark = head.headers.get(RESPONSE_MARK).cloned().unwrap_or(HeaderValue::from_static("refused"));
        let body = String::from_utf8_lossy(&body).into_owned();
        let denied = DeniedResponse { status: head.status.as_u16(), headers: head.headers, body };
        Reply { message: CheckResponse::Denied(denied).written(), mark }
    }

    /// Answers whether questions are answered here, to whoever asks.
    async fn check_health(&self, headers: &HeaderMap, body: Incoming, trace: &mut Trace) -> Result<Reply, CallFailure> {
        trace.route = RouteTaken::Endpoint;
        let body = read(headers, body).await.map_err(|not_read| match not_read {
            NotRead::TooLarge => CallFailure::InvalidArgument("the message is too large"),
            NotRead::Failed(failure) => failure,
        })?;
        match HealthCheckRequest::read(message(&body)?) {
            Ok(HealthCheckRequest::Known) => {
                let message = health_check_response(self.parts.endpoints.is_ready());
                Ok(Reply { message, mark: HeaderValue::from_static("readyz") })
            }
            Ok(HealthCheckRequest::Unknown) => Err(CallFailure::NotFound("there is no such service")),
            Err(_) => Err(CallFailure::InvalidArgument("the message is malformed")),
        }
    }
}

/// Reads the body of a call.
async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, NotRead> {
    if headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(NotRead::Failed(CallFailure::Unimplemented("compressed messages are not read")));
    }
    match tokio::time::timeout(QUESTION_DEADLINE, Limited::new(body, MAX_QUESTION).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(NotRead::TooLarge),
        Ok(Err(_)) => Err(NotRead::Failed(CallFailure::InvalidArgument("the message broke off"))),
        Err(_) => Err(NotRead::Failed(CallFailure::DeadlineExceeded)),
    }
}

fn message(body: &[u8]) -> Result<&[u8], CallFailure> {
    unframed(body).map_err(|error| match error {
        FramingError::Compressed => CallFailure::Unimplemented("compressed messages are not read"),
        FramingError::NotOneMessage => CallFailure::InvalidArgument("the body is not one message"),
    })
}

impl Reply {
    fn into_response(self) -> Response<AxumBody> {
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let body = Full::new(Bytes::from(frame(&self.message))).with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut response = Response::new(AxumBody::new(body));
        response.headers_mut().insert(RESPONSE_MARK, self.mark);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}
