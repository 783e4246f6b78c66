//! Sends spans to a collector by OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), in batches.

use std::{io::Write, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::TokioExecutor,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    layer::SpanQueue,
    otlp::{Rejected, export_request, rejected},
    recording::FinishedSpan,
    settings::TraceSettings,
};
use crate::{
    connect_timeout::tcp_connector,
    telemetry::{logs::causes, metrics::Metrics},
};

/// Empties the queue of spans.
#[derive(Debug)]
pub struct Exporter {
    queue: SpanQueue,
    settings: TraceSettings,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    metrics: Metrics,
    /// Whether the last batch could not be sent, which is told once.
    is_failing: bool,
    /// Whether spans of the last batch were rejected, which is told once.
    is_rejecting: bool,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum NotExported {
    #[error("the collector cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    #[error("the collector did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the collector says {0}")]
    Refused(u16, Option<Duration>),
}

/// How often a batch is tried that the collector could take later, and how long after the first try.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long the last spans may take to be sent at the end.
pub const LAST_EXPORT: Duration = Duration::from_secs(5);
/// How large an export is at most, in bytes: a collector takes 20 MiB by default, and some services less (gRPC's 4 MiB).
const MAX_EXPORT: usize = 2 * 1024 * 1024;
/// No more of a response is read.
const MAX_RESPONSE: usize = 64 * 1024;

impl Exporter {
    /// Sends the spans of `queue` as `settings` say, over TLS as `tls` says where the collector's address is https.
    pub fn new(queue: SpanQueue, settings: TraceSettings, tls: rustls::ClientConfig, metrics: Metrics) -> Self {
        let tcp = tcp_connector(GaiResolver::new(), settings.timeout);
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { queue, settings, client, metrics, is_failing: false, is_rejecting: false }
    }

    /// Sends spans until `stop`, and then those that are left, for a few seconds.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(self.settings.max_batch);
        while stop.run_until_cancelled(self.fill(&mut batch)).await.is_some_and(|is_open| is_open) {
            let sent = stop.run_until_cancelled(self.export_in_parts(&batch)).await;
            if sent.is_none() {
                break;
            }
            batch.clear();
        }
        self.queue.receiver.close();
        let rest = async {
            loop {
                if !batch.is_empty() {
                    self.export_in_parts(&batch).await;
                    batch.clear();
                }
                if self.queue.receiver.recv_many(&mut batch, self.settings.max_batch).await == 0 {
                    return;
                }
            }
        };
        if timeout(LAST_EXPORT, rest).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }

    /// Waits for a span, and then for others until the batch is full or the delay is over. `false`: none comes any more.
    async fn fill(&mut self, batch: &mut Vec<FinishedSpan>) -> bool {
        if self.queue.receiver.recv_many(batch, self.settings.max_batch).await == 0 {
            return false;
        }
        let more = async {
            while let Some(left) = self.settings.max_batch.checked_sub(batch.len()).filter(|left| *left > 0) {
                if self.queue.receiver.recv_many(batch, left).await == 0 {
                    return;
                }
            }
        };
        let _full_or_late = timeout(self.settings.delay, more).await;
        true
    }

    /// Sends a batch in parts that a collector takes.
    async fn export_in_parts(&mut self, batch: &[FinishedSpan]) {
        let limit = self.settings.batch_timeout;
        for part in parts(batch) {
            if timeout(limit, self.export_with_retry(part)).await.is_err() {
                self.failed(&NotExported::TimedOut(limit));
                self.metrics.spans_dropped(part.len() as u64);
            }
        }
    }

    /// Says so of the first of several failures.
    fn failed(&mut self, error: &NotExported) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(error = causes(error), "spans do not reach the collector (OTEL_EXPORTER_OTLP_ENDPOINT)");
        }
    }

    /// Sends a part of a batch, again if the collector may take it later; or else drops it.
    async fn export_with_retry(&mut self, batch: &[FinishedSpan]) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            self.metrics.spans_dropped(self.queue.dropped.swap(0, Ordering::Relaxed));
            let error = match self.export(batch).await {
                Ok(rejected) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("spans reach the collector again");
                    }
                    return self.exported(batch.len() as u64, rejected);
                }
                Err(error) => error,
            };
            self.failed(&error);
            let Some(asked) = error.may_pass_later() else { break };
            if attempt < TRIES {
                tokio::time::sleep(asked.unwrap_or(pause).min(MAX_PAUSE)).await;
                pause *= 2;
            }
        }
        self.metrics.spans_dropped(batch.len() as u64);
    }

    /// Counts a batch that reached the collector, of which that may have rejected some.
    fn exported(&mut self, count: u64, rejected: Option<Rejected>) {
        let refused = rejected.as_ref().map_or(0, |rejected| rejected.spans.min(count));
        self.metrics.spans_exported(count - refused);
        self.metrics.spans_dropped(refused);
        let was_rejecting = std::mem::replace(&mut self.is_rejecting, rejected.is_some());
        if let Some(rejected) = rejected.filter(|_| !was_rejecting) {
            tracing::warn!(
                spans = rejected.spans,
                reason = rejected.reason,
                "the collector says that it does not take all spans as they are"
            );
        }
    }

    /// Sends a batch, and returns what the collector rejects of it.
    async fn export(&self, batch: &[FinishedSpan]) -> Result<Option<Rejected>, NotExported> {
        let body = export_request(&self.settings.resource, batch);
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(&self.settings.endpoint);
        request.headers_mut().clone_from(&self.settings.headers);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let compressed = if self.settings.is_compressed { gzip(&body) } else { None };
        if compressed.is_some() {
            request.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *request.body_mut() = Full::new(compressed.unwrap_or(body).into());
        let call = async {
            let response = self.client.request(request).await.map_err(NotExported::Unreachable)?;
            let status = response.status();
            let retry_after = retry_after(&response);
            // To the end, so that the connection can be used again.
            let body = Limited::new(response.into_body(), MAX_RESPONSE).collect().await;
            if !status.is_success() {
                return Err(NotExported::Refused(status.as_u16(), retry_after));
            }
            Ok(body.ok().and_then(|body| rejected(&body.to_bytes())))
        };
        timeout(self.settings.timeout, call).await.unwrap_or(Err(NotExported::TimedOut(self.settings.timeout)))
    }
}

impl NotExported {
    /// Whether the collector may take the batch later, and when, if it says so.
    fn may_pass_later(&self) -> Option<Option<Duration>> {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => Some(None),
            Self::Refused(429 | 502 | 503 | 504, after) => Some(*after),
            Self::Refused(_, _) => None,
        }
    }
}

/// A batch in parts of which none is too large, but for a span that is so by itself.
fn parts(batch: &[FinishedSpan]) -> Vec<&[FinishedSpan]> {
    let (mut parts, mut rest, mut size) = (Vec::new(), batch, 0);
    let mut count = 0;
    for span in batch {
        if count > 0 && size + span.size() > MAX_EXPORT {
            let (part, others) = rest.split_at(count);
            parts.push(part);
            (rest, count, size) = (others, 0, 0);
        }
        (count, size) = (count + 1, size + span.size());
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::recording::{AttributeValue, Recording};

    #[test]
    fn no_export_is_larger_than_collectors_take() {
        let span = |length: usize| {
            let mut span = Recording::begin("GET /", length).finish();
            span.attributes.push(("url.path", AttributeValue::Text("x".repeat(length))));
            span
        };
        let sizes = |lengths: &[usize]| {
            let batch: Vec<_> = lengths.iter().map(|length| span(*length)).collect();
            let found: Vec<_> = parts(&batch).into_iter().map(<[FinishedSpan]>::len).collect();
            assert_eq!(found.iter().sum::<usize>(), batch.len(), "none is left out");
            found
        };
        assert_eq!(sizes(&[]), Vec::<usize>::new());
        assert_eq!(sizes(&[10; 512]), [512]);
        assert_eq!(sizes(&[1024 * 1024; 4]), [1; 4]);
        assert_eq!(sizes(&[900_000; 5]), [2, 2, 1]);
        assert_eq!(sizes(&[10, 3 * 1024 * 1024, 10]), [1, 1, 1], "one that is too large goes by itself");
    }
}
