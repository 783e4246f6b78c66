//! What is told of traces by `CODER_TRACE_ENABLE` and OpenTelemetry's own variables.

use std::{path::PathBuf, time::Duration};

use http::{HeaderMap, Uri};

use super::Sampler;

/// How traces are made and sent.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Uri,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, which may hold a key.
    pub headers: HeaderMap,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: how long one export may take.
    pub timeout: Duration,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION`.
    pub is_compressed: bool,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: the CA bundle by which the collector is trusted.
    pub ca_file: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`: what every span is of.
    pub resource: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER`.
    pub sampler: Sampler,
    /// `OTEL_PROPAGATORS`.
    pub propagation: Propagation,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`: how many spans may wait to be sent.
    pub max_queue: usize,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`: how many are sent at once.
    pub max_batch: usize,
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span waits for others.
    pub delay: Duration,
}

/// Whether other processes are told of traces, and tell of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// By W3C Trace Context.
    TraceContext,
    /// By nothing: headers pass as they are.
    None,
}
