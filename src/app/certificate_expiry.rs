//! Tells when the first certificate expires that Evergate presents or trusts its peers by.

use std::time::Duration;

use crate::{clock::Timestamp, telemetry::metrics::Metrics, tls::CertificateFile};

/// Tells it now.
pub(super) fn tell(files: &[CertificateFile], metrics: &Metrics) {
    let first = files.iter().filter_map(|file| file.now().expires_at).min();
    metrics.client_certificate_expiry(first.map_or(0, Timestamp::seconds));
}

/// Tells it again and again, for as long as it runs: a file that is read again when it changes may end at another time by then.
pub(super) async fn run(files: Vec<CertificateFile>, metrics: Metrics, interval: Duration) {
    while files.iter().any(CertificateFile::may_change) {
        tokio::time::sleep(interval).await;
        tell(&files, &metrics);
    }
}
