//! A gateway that runs: reloaded, and stopped.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{components::Core, front::CurrentFront};
use crate::{config::Checked, telemetry::metrics::Metrics};

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The address that it listens on for TLS.
    pub tls_address: Option<SocketAddr>,
    /// The address of its metrics.
    pub metrics_address: Option<SocketAddr>,
    /// The address at which ingresses ask over gRPC.
    pub ext_authz_address: Option<SocketAddr>,
    /// The address at which the administration is reached, if it has one of its own.
    pub admin_address: Option<SocketAddr>,
    /// The address at which apps' jobs ask for tokens, on loopback.
    pub app_token_address: Option<SocketAddr>,
    /// Its metrics.
    pub metrics: Metrics,
    pub(super) core: Core,
    pub(super) front: Arc<CurrentFront>,
    pub(super) drain_deadline: Duration,
    /// Ends when all connections have.
    pub(super) serving: tokio::task::JoinHandle<()>,
}

/// How long the last events and heartbeat may take to be written.
const LAST_WRITES: Duration = Duration::from_secs(10);

impl Running {
    /// Reloads the certificates of `CODER_TLS_CERT_FILE` without waiting for the files to change.
    pub fn read_certificates_again(&self) {
        match &self.core.certificates {
            Some(cert_resolver) => {
                let _is_logged = cert_resolver.reload();
            }
            None => tracing::info!("there are no certificates to reload, because CODER_TLS_ENABLE is not set"),
        }
    }

    /// Has new requests meet the routes of `settings`, which differ from those of the start in nothing else that matters to one that
    /// runs ([`Raw::reloaded`](crate::config::Raw::reloaded)). No connection ends.
    ///
    /// # Errors
    /// They need what takes a restart, or a file that they name cannot be used. Nothing is changed.
    pub fn reload(&self, settings: Checked) -> anyhow::Result<()> {
        let reloaded = self.front.replace(&self.core, &settings.renewal.claims, settings.gateway, settings.targets);
        reloaded.inspect_err(|_| self.metrics.config_refused())
    }

    /// Says that settings could not even be read.
    pub fn refuse_settings(&self) {
        self.metrics.config_refused();
    }

    /// The longest time that [`Self::stop`] takes.
    pub fn longest_stop(&self) -> Duration {
        self.core.foundations.timings.unready_before_stop + self.drain_deadline + self.core.renewer.longest_finish() + LAST_WRITES
    }

    /// Shuts down gracefully: reports unready, stops accepting connections, lets requests finish, and ends tunnels and event
    /// streams one after the other in the second half of the drain. What has not finished by the deadline is cut off, except
    /// token refreshes, which are always saved. Returns `false` if something was cut off.
    pub async fn stop(self) -> bool {
        let (shutdown, store) = (&self.core.shutdown, &self.core.foundations.store);
        shutdown.begin();
        tokio::time::sleep(self.core.foundations.timings.unready_before_stop).await;
        shutdown.stop.cancel();
        shutdown.drain.begin();
        let finished = tokio::time::timeout(self.drain_deadline, shutdown.finish(self.serving)).await.is_ok();
        shutdown.background.cancel();
        if !finished {
            tracing::warn!(
                deadline.seconds = self.drain_deadline.as_secs(),
                "requests were cut off because the shutdown deadline passed"
            );
        }
        let renewed = self.core.renewer.finish().await;
        // Token refreshes that finished after the event writer had stopped left events.
        store.flush_events().await;
        store.flush_provider_hours().await;
        shutdown.heartbeat.cancel();
        store.stop_heartbeat().await;
        renewed && finished
    }

    /// Stops immediately, as a crash would: nothing is finished, nothing is written.
    pub fn abort(self) {
        self.serving.abort();
        self.core.shutdown.stop.cancel();
        self.core.shutdown.background.cancel();
        self.core.shutdown.heartbeat.cancel();
    }
}
