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
    /// `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`: how many characters of an attribute are kept. Clients choose how long a path is.
    pub max_attribute: usize,
    /// `OTEL_BSP_EXPORT_TIMEOUT`: how long spans are tried to be sent, with all attempts.
    pub batch_timeout: Duration,
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span waits for others.
    pub delay: Duration,
}

impl TraceSettings {
    /// Names this process in its spans (`service.instance.id`, a UUID by convention), if `OTEL_RESOURCE_ATTRIBUTES` does not.
    #[must_use]
    pub fn of_instance(mut self, random: [u8; 16]) -> Self {
        let name = "service.instance.id";
        if !self.resource.iter().any(|(given, _)| given == name) {
            // Version 4, of the variant of RFC 9562.
            let bits = u128::from_be_bytes(random) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
            let digits = format!("{bits:032x}");
            let parts: Vec<_> = [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().filter_map(|part| digits.get(part)).collect();
            self.resource.push((name.to_owned(), parts.join("-")));
        }
        self
    }
}

/// Whether other processes are told of traces, and tell of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// By W3C Trace Context.
    TraceContext,
    /// By nothing: headers pass as they are.
    None,
}
