//! Has the spans of a process sent to a collector, from its start to its end.

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    secret::random,
    telemetry::{
        metrics::Metrics,
        traces::{Exporter, SpanQueue, TraceSettings},
    },
    tls::ClientTls,
};

/// Spans that are to be sent, and all that is needed for that.
pub(super) struct Exported {
    queue: SpanQueue,
    settings: TraceSettings,
    tls: rustls::ClientConfig,
}

/// Spans that are being sent.
pub(super) struct Exporting {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Exported {
    /// Reads the certificates by which the collector is trusted.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn prepare(queue: SpanQueue, settings: TraceSettings) -> anyhow::Result<Self> {
        let trust = ClientTls { ca_file: settings.ca_file.clone(), client_certificate: settings.client_certificate.clone() };
        let tls = trust.client_config().context("the collector of traces cannot be reached (OTEL_EXPORTER_OTLP_CERTIFICATE)")?;
        Ok(Self { queue, settings: settings.of_instance(random()), tls })
    }

    pub(super) fn start(self, metrics: Metrics) -> Exporting {
        let stop = CancellationToken::new();
        let exporter = Exporter::new(self.queue, self.settings, self.tls, metrics);
        Exporting { task: tokio::spawn(exporter.run(stop.clone())), stop }
    }
}

impl Exporting {
    /// Sends the last spans.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        let _ended = self.task.await;
    }
}
