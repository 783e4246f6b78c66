//! The spans of a request: its own, and that of its way to an app, which other processes are told of.

use http::{HeaderMap, Method};
use tracing::{Span, field::Empty};

use super::{Propagation, RemoteContext, SPANS, Sampler, TraceContext, TraceSettings};
use crate::secret::random;

/// Begins the traces of requests.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    /// Which are exported.
    pub sampler: Sampler,
    /// Whether other processes are told.
    pub propagation: Propagation,
}

/// The trace of a request.
#[derive(Clone, Debug)]
pub struct RequestTrace {
    /// The request's own span.
    pub span: Span,
    context: TraceContext,
    propagation: Propagation,
}

/// What is known of a request when its span begins.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// `http.request.method`.
    pub method: &'a Method,
    /// `url.path`, without the query.
    pub path: &'a str,
    /// `url.scheme`.
    pub scheme: &'a str,
    /// `server.address`.
    pub host: &'a str,
    /// `server.port`, if the client named one.
    pub port: Option<u16>,
    /// `client.address`, if it is known.
    pub client: Option<std::net::IpAddr>,
    /// `network.protocol.version`.
    pub version: &'a str,
    /// The id that its log lines have too.
    pub request_id: &'a str,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd<'a> {
    /// `http.route`, if it took one.
    pub route: Option<&'a str>,
    /// `http.response.status_code`.
    pub status: u16,
    /// Which response of ours it is; the app's has none.
    pub response: Option<&'a str>,
    /// `rpc.grpc.status_code`, of a gRPC call whose end says it.
    pub grpc: Option<u32>,
}

impl RequestEnd<'_> {
    /// What `error.type` says, if the server has failed: 4xx, and their like in gRPC, are the client's failures.
    fn error(&self) -> Option<String> {
        let of_grpc = self.grpc.and_then(grpc_failure);
        let is_failed = self.status >= 500 || of_grpc.is_some();
        let named = self.response.or(of_grpc);
        is_failed.then(|| named.map_or_else(|| self.status.to_string(), str::to_owned))
    }
}

impl From<&TraceSettings> for Tracer {
    fn from(settings: &TraceSettings) -> Self {
        Self { sampler: settings.sampler, propagation: settings.propagation }
    }
}

impl Tracer {
    /// Begins the span of a request. `told`: its headers, if whoever sent it is trusted to say which trace it belongs to.
    pub fn begin(&self, told: Option<&HeaderMap>, facts: RequestFacts<'_>) -> RequestTrace {
        let told = told.filter(|_| self.propagation == Propagation::TraceContext).and_then(RemoteContext::read);
        let trace_id = told.as_ref().map_or_else(|| u128::from_be_bytes(random()).max(1), |told| told.trace_id);
        let context = TraceContext {
            trace_id,
            span_id: new_span_id(),
            parent_id: told.as_ref().map(|told| told.span_id),
            is_sampled: self.sampler.samples(trace_id, told.as_ref().map(|told| told.is_sampled)),
            state: told.and_then(|told| told.state),
        };
        let method = method_name(facts.method);
        let span = tracing::trace_span!(
            target: SPANS,
            parent: None,
            "request",
            otel.name = span_name(facts.method),
            otel.kind = "server",
            otel.trace_id = context.trace_id,
            otel.span_id = context.span_id,
            otel.parent_id = context.parent_id,
            otel.sampled = context.is_sampled,
            otel.state = context.state.as_ref().and_then(|state| state.to_str().ok()),
            otel.failed = Empty,
            http.request.method = method,
            http.request.method_original = original_method(facts.method),
            url.path = facts.path,
            url.scheme = facts.scheme,
            server.address = facts.host,
            server.port = facts.port,
            client.address = facts.client.map(tracing::field::display),
            network.protocol.version = facts.version,
            evergate.request.id = facts.request_id,
            http.route = Empty,
            http.response.status_code = Empty,
            rpc.system = Empty,
            rpc.grpc.status_code = Empty,
            error.type = Empty,
        );
        RequestTrace { span, context, propagation: self.propagation }
    }
}

impl RequestTrace {
    /// Begins the span of the request's way to an app, which is told of it in the headers.
    pub fn begin_forwarding(&self, request_method: &Method, headers: &mut HeaderMap) -> Span {
        let method = method_name(request_method);
        let context = TraceContext { span_id: new_span_id(), parent_id: Some(self.context.span_id), ..self.context.clone() };
        if self.propagation == Propagation::TraceContext {
            context.write(headers);
        }
        tracing::trace_span!(
            target: SPANS,
            parent: &self.span,
            "forward",
            otel.name = span_name(request_method),
            otel.kind = "client",
            otel.trace_id = context.trace_id,
            otel.span_id = context.span_id,
            otel.parent_id = context.parent_id,
            otel.sampled = context.is_sampled,
            otel.failed = Empty,
            http.request.method = method,
            http.request.method_original = original_method(request_method),
            server.address = Empty,
            server.port = Empty,
            http.response.status_code = Empty,
            error.type = Empty,
        )
    }

    /// Says which route the request took, and how it ended.
    pub fn end(&self, method: &Method, end: RequestEnd<'_>) {
        let span = &self.span;
        if let Some(route) = end.route {
            span.record("otel.name", format!("{} {route}", span_name(method)));
            span.record("http.route", route);
        }
        span.record("http.response.status_code", end.status);
        if let Some(status) = end.grpc {
            span.record("rpc.system", "grpc");
            span.record("rpc.grpc.status_code", status);
        }
        if let Some(error) = end.error() {
            fail(span, &error);
        }
    }
}

/// Says which upstream a request went to, or was to go to.
pub fn name_upstream(span: &Span, host: &str, port: Option<u16>) {
    span.record("server.address", host);
    if let Some(port) = port {
        span.record("server.port", port);
    }
}

/// Says how the request's way to an app ended.
pub fn end_forwarding(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    // Of a client's span, 4xx is a failure too.
    if status >= 400 {
        span.record("otel.failed", true);
        span.record("error.type", status.to_string());
    }
}

/// Says that a call has failed in this way.
pub fn fail(span: &Span, error: &str) {
    span.record("otel.failed", true);
    span.record("error.type", error);
}

/// The name of a gRPC status that marks the span of a server as failed
/// (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/#grpc-status>).
fn grpc_failure(status: u32) -> Option<&'static str> {
    Some(match status {
        2 => "UNKNOWN",
        4 => "DEADLINE_EXCEEDED",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        _ => return None,
    })
}

/// A method that is not known.
const OTHER: &str = "_OTHER";

/// The method, if it is one that is known: others could be any text.
fn method_name(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH") => known,
        _ => OTHER,
    }
}

/// What a span of this method is named by: one that is not known names none
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/#name>).
fn span_name(method: &Method) -> &str {
    Some(method_name(method)).filter(|name| *name != OTHER).unwrap_or("HTTP")
}

/// The method as it was sent, if it is none that is known.
fn original_method(method: &Method) -> Option<&str> {
    (method_name(method) == OTHER).then(|| method.as_str())
}

fn new_span_id() -> u64 {
    u64::from_be_bytes(random()).max(1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FACTS: RequestFacts<'_> = RequestFacts {
        method: &Method::GET,
        path: "/",
        scheme: "https",
        host: "app.test",
        port: None,
        client: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        version: "1.1",
        request_id: "1",
    };

    fn told() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        headers.insert("tracestate", HeaderValue::from_static("their=1"));
        headers
    }

    #[test]
    fn an_app_is_told_of_our_span_in_the_trace_of_whoever_is_trusted() {
        let sampler = Sampler { follows_parent: true, ratio: 0.0 };
        let tracer = Tracer { sampler, propagation: Propagation::TraceContext };
        let sent = |trace: &RequestTrace| {
            let mut headers = told();
            let _span = trace.begin_forwarding(&Method::GET, &mut headers);
            RemoteContext::read(&headers).unwrap()
        };
        let of_trusted = sent(&tracer.begin(Some(&told()), FACTS));
        assert_eq!(of_trusted.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert!(of_trusted.span_id != 0xb7ad_6b71_6920_3331 && of_trusted.is_sampled && of_trusted.state.is_some());
        let of_a_client = sent(&tracer.begin(None, FACTS));
        assert_ne!(of_a_client.trace_id, of_trusted.trace_id);
        assert!(!of_a_client.is_sampled && of_a_client.state.is_none(), "nor does a client's own state pass");
        let silent = Tracer { propagation: Propagation::None, ..tracer };
        assert_eq!(sent(&silent.begin(Some(&told()), FACTS)).span_id, 0xb7ad_6b71_6920_3331, "headers pass as they are");
    }

    #[test]
    fn a_server_s_span_is_failed_by_what_is_the_server_s_failure() {
        let error = |status, response, grpc| RequestEnd { route: None, status, response, grpc }.error();
        for (status, response, grpc, expected) in [
            (200, None, None, None),
            (404, Some("not_found"), None, None),
            (502, None, None, Some("502")),
            (503, Some("store_unavailable"), None, Some("store_unavailable")),
            (200, None, Some(0), None),
            (200, None, Some(5), None),
            (200, Some("sign_in_required"), Some(16), None),
            (200, None, Some(13), Some("INTERNAL")),
            (200, Some("store_unavailable"), Some(14), Some("store_unavailable")),
            (200, None, Some(99), None),
        ] {
            assert_eq!(error(status, response, grpc).as_deref(), expected, "{status} {response:?} {grpc:?}");
        }
        let failures: Vec<_> = (0..20).filter(|status| grpc_failure(*status).is_some()).collect();
        assert_eq!(failures, [2, 4, 12, 13, 14, 15]);
    }

    #[test]
    fn a_method_that_nobody_knows_names_no_span() {
        let unknown = Method::from_bytes(b"PROPFIND").unwrap();
        assert_eq!([method_name(&Method::PATCH), method_name(&unknown)], ["PATCH", "_OTHER"]);
        assert_eq!([span_name(&Method::PATCH), span_name(&unknown)], ["PATCH", "HTTP"]);
        assert_eq!([original_method(&Method::PATCH), original_method(&unknown)], [None, Some("PROPFIND")]);
    }
}
