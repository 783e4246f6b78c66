//! Prometheus metrics. One cheap handle is passed to whoever counts; there is no global registry.

mod counted;
mod labels;
mod providers;
pub mod reference;
mod spans;
mod store;
mod timers;

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::encoding::text::encode;

use counted::{Counted, STATUS_CLASSES};
use labels::{Outcome, RouteClass, UserEnd};
use providers::ProviderLabel;

#[cfg(test)]
pub(crate) use counted::USER_END_SOURCES;
pub use labels::Record;
pub use timers::{ProviderTimer, RouteMetrics, StoreTimer};

/// The metrics of one process; cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counted>, ProviderLabel);

impl Default for Metrics {
    fn default() -> Self {
        Self::for_providers(&[])
    }
}

impl Metrics {
    /// Metrics at zero, of the providers with these names.
    pub fn for_providers(names: &[&str]) -> Self {
        Self(Arc::new(Counted::at_zero(names)), ProviderLabel::default())
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: the writer is a string.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// The figures of one route, which exist from now on.
    pub fn route(&self, name: &str) -> RouteMetrics {
        let seconds = STATUS_CLASSES.map(|status| {
            let class = RouteClass { route: name.to_owned(), status };
            self.0.route_seconds.get_or_create(&class).clone()
        });
        RouteMetrics { requests: self.0.requests.clone(), request_seconds: self.0.request_seconds.clone(), seconds }
    }

    /// The same metrics, where what is counted is the provider's of this name.
    #[must_use]
    pub fn of_provider(&self, name: &str) -> Self {
        Self(Arc::clone(&self.0), self.0.providers.label(name))
    }

    /// Counts a login attempt that returned.
    pub fn login(&self, outcome: &'static str) {
        self.0.providers.login(&self.1, outcome).inc();
    }

    /// Counts a poll for security events that its transmitter has answered, or that has failed.
    pub fn event_poll(&self, outcome: &'static str) {
        self.0.providers.event_poll(&self.1, outcome).inc();
    }

    /// Counts a renewal. `reason` is the provider's error code or one of our own words.
    pub fn renewal(&self, outcome: &'static str, reason: &str) {
        self.0.providers.renewal(&self.1, outcome, reason).inc();
    }

    /// Has renewals of this outcome and reason counted from zero. An alert sees no increase in a counter that begins with its first
    /// value, however high that is.
    pub fn expect_renewal(&self, outcome: &'static str, reason: &str) {
        drop(self.0.providers.renewal(&self.1, outcome, reason));
    }

    /// Begins to time a call to the provider.
    #[expect(clippy::disallowed_methods, reason = "how long a call took is measured, not decided by")]
    pub fn provider_timer(&self, call: &'static str) -> ProviderTimer {
        ProviderTimer { seconds: self.0.providers.call(&self.1, call), started: Instant::now() }
    }

    /// Says whether the provider is known.
    pub fn provider_ready(&self, ready: bool) {
        self.0.providers.ready.get_or_create(&self.1).set(i64::from(ready));
    }

    /// Says whether the provider renews no grants at present.
    pub fn provider_outage(&self, outage: bool) {
        self.0.providers.outage.get_or_create(&self.1).set(i64::from(outage));
    }

    /// Says whether the provider refuses this client.
    pub fn client_config_error(&self, refused: bool) {
        self.0.providers.client_config_error.get_or_create(&self.1).set(i64::from(refused));
    }

    /// Counts a request that brings a bearer token.
    pub fn bearer_token(&self, outcome: &'static str) {
        self.0.bearer_tokens.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a request of an app's job for a token.
    pub fn app_token(&self, outcome: &'static str) {
        self.0.app_tokens.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts log lines that nobody gets.
    pub fn log_lines_lost(&self, count: u64) {
        self.0.log_lines_lost.inc_by(count);
    }

    /// Counts what became of a form that met the end of its session.
    pub fn kept_post(&self, outcome: &'static str) {
        self.0.kept_posts.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a logout.
    pub fn logout(&self) {
        self.0.logouts.inc();
    }

    /// Counts an order from outside to end a user's sessions.
    pub fn user_end(&self, source: &'static str, outcome: &'static str) {
        self.0.user_ends.get_or_create(&UserEnd { source, outcome }).inc();
    }

    /// Sets when the first of the served certificates expires, in seconds since 1970.
    pub fn certificate_expiry(&self, seconds: i64) {
        self.0.certificate_expiry.set(seconds);
    }

    /// When the first of the certificates expires that are presented, or that peers are trusted by; in seconds since the epoch.
    pub fn client_certificate_expiry(&self, seconds: i64) {
        self.0.client_certificate_expiry.set(seconds);
    }

    /// Sets how many connections of clients are open, and how many may be.
    pub fn client_connections(&self, open: usize, most: usize) {
        self.0.client_connections.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.0.client_connections_max.set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// Says that settings are in force, since a time in seconds since 1970.
    pub fn config_in_force(&self, seconds: i64) {
        self.0.is_config_in_force.set(1);
        self.0.config_in_force_since.set(seconds);
    }

    /// Says that the settings that were read last are not in force.
    pub fn config_refused(&self) {
        self.0.is_config_in_force.set(0);
    }
}
