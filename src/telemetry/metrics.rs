//! Prometheus metrics. One cheap handle is passed to whoever counts; there is no global registry.

mod labels;
mod providers;
pub mod reference;
mod spans;
mod store;
mod timers;

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use labels::{Cached, Class, Operation, Outcome, RouteClass, SPAN_DROPPED, SPAN_EXPORTED, UserEnd, Voice};
use providers::{ProviderLabel, ProviderMetrics};

pub use labels::Record;
use timers::seconds;
pub use timers::{ProviderTimer, RouteMetrics, StoreTimer};

/// The metrics of one process; cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>, ProviderLabel);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: [Counter; 5],
    request_seconds: Histogram,
    route_seconds: Family<RouteClass, Histogram, fn() -> Histogram>,
    logouts: Counter,
    user_ends: Family<UserEnd, Counter>,
    bearer_tokens: Family<Outcome, Counter>,
    app_tokens: Family<Outcome, Counter>,
    kept_posts: Family<Outcome, Counter>,
    trace_spans: Family<Outcome, Counter>,
    providers: ProviderMetrics,
    store_seconds: Family<Operation, Histogram, fn() -> Histogram>,
    store_failures: Family<Operation, Counter>,
    store_listener_connected: Gauge,
    store_writable: Gauge,
    encryption_keys_missing: Gauge,
    cache_loads: [Counter; 2],
    cache_entries: [Gauge; 2],
    store_voices: Family<Voice, Gauge>,
    served_from_memory: Counter,
    store_rollbacks: Counter,
    put_right: [Counter; 2],
    remembered: [Gauge; 2],
    sessions: Gauge,
    sessions_with_refresh_token: Gauge,
    certificate_expiry: Gauge,
    client_certificate_expiry: Gauge,
    is_config_in_force: Gauge,
    config_in_force_since: Gauge,
}

/// What can become of a bearer token.
const BEARER_OUTCOMES: [&str; 3] = ["accepted", "refused", "unavailable"];
/// What can become of a request of an app's job for a token.
const APP_TOKEN_OUTCOMES: [&str; 4] = ["given", "exchanged", "refused", "unavailable"];
/// Who may order that a user's sessions end: the names of `EndSource` in `session`, whose test compares them.
pub(crate) const USER_END_SOURCES: [&str; 5] =
    ["front_channel_logout", "provider", "global_token_revocation", "scim", "security_event"];
/// What can become of an order to end a user's sessions.
const USER_END_OUTCOMES: [&str; 4] = ["ok", "unrecorded", "failed", "ignored"];
/// What can become of a form that met the end of its session.
const KEPT_POST_OUTCOMES: [&str; 8] = ["kept", "sent", "discarded", "nobody", "too_large", "broke_off", "full", "unavailable"];
/// How changes in the store are heard of.
const VOICES: [&str; 2] = ["notifications", "polling"];
/// The kinds of [`Record`], in its order.
const RECORDS: [&str; 2] = ["session", "grant"];

const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Default for Metrics {
    fn default() -> Self {
        Self::for_providers(&[])
    }
}

impl Metrics {
    /// Metrics at zero, of the providers with these names.
    pub fn for_providers(names: &[&str]) -> Self {
        let mut registry = Registry::with_prefix("evergate");
        let providers = ProviderMetrics::register(names, &mut registry);
        let by_class = Family::<Class, Counter>::default();
        let requests = STATUS_CLASSES.map(|status| by_class.get_or_create(&Class { status }).clone());
        let (loads, entries) = (Family::<Cached, Counter>::default(), Family::<Cached, Gauge>::default());
        let remembered = Family::<Cached, Gauge>::default();
        let put_right = Family::<Cached, Counter>::default();
        let inner = Inner {
            requests,
            cache_loads: RECORDS.map(|record| loads.get_or_create(&Cached { record }).clone()),
            served_from_memory: Counter::default(),
            store_rollbacks: Counter::default(),
            remembered: RECORDS.map(|record| remembered.get_or_create(&Cached { record }).clone()),
            put_right: RECORDS.map(|record| put_right.get_or_create(&Cached { record }).clone()),
            cache_entries: RECORDS.map(|record| entries.get_or_create(&Cached { record }).clone()),
            request_seconds: seconds(),
            route_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            logouts: Counter::default(),
            user_ends: Family::default(),
            bearer_tokens: Family::default(),
            app_tokens: Family::default(),
            kept_posts: Family::default(),
            trace_spans: Family::default(),
            providers,
            store_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            store_failures: Family::default(),
            store_listener_connected: Gauge::default(),
            store_writable: Gauge::default(),
            encryption_keys_missing: Gauge::default(),
            store_voices: Family::default(),
            sessions: Gauge::default(),
            sessions_with_refresh_token: Gauge::default(),
            certificate_expiry: Gauge::default(),
            client_certificate_expiry: Gauge::default(),
            is_config_in_force: Gauge::default(),
            config_in_force_since: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests by class of status", by_class);
        registry.register_with_unit(
            "request",
            "Time until the head of the response",
            Unit::Seconds,
            inner.request_seconds.clone(),
        );
        registry.register_with_unit(
            "http_server_request_duration",
            "Time until the head of the response, by route and class of status",
            Unit::Seconds,
            inner.route_seconds.clone(),
        );
        registry.register("logouts", "Sessions that their users ended", inner.logouts.clone());
        for source in USER_END_SOURCES {
            for outcome in USER_END_OUTCOMES {
                drop(inner.user_ends.get_or_create(&UserEnd { source, outcome }));
            }
        }
        registry.register(
            "user_ends",
            "Orders from outside to end a user's sessions, by their source and by what became of them",
            inner.user_ends.clone(),
        );
        // An alert on a rate needs the zero before the first event.
        for outcome in BEARER_OUTCOMES {
            drop(inner.bearer_tokens.get_or_create(&Outcome { outcome }));
        }
        registry.register("bearer_tokens", "Requests with a bearer token, by what became of it", inner.bearer_tokens.clone());
        for outcome in APP_TOKEN_OUTCOMES {
            drop(inner.app_tokens.get_or_create(&Outcome { outcome }));
        }
        registry.register("app_tokens", "Requests of apps' jobs for a token, by what became of them", inner.app_tokens.clone());
        for outcome in KEPT_POST_OUTCOMES {
            drop(inner.kept_posts.get_or_create(&Outcome { outcome }));
        }
        registry.register(
            "kept_posts",
            "Forms that met the end of their session, by what became of them",
            inner.kept_posts.clone(),
        );
        for outcome in [SPAN_EXPORTED, SPAN_DROPPED] {
            drop(inner.trace_spans.get_or_create(&Outcome { outcome }));
        }
        registry.register("trace_spans", "Spans of traces (OpenTelemetry), by what became of them", inner.trace_spans.clone());
        registry.register_with_unit("store", "Calls to the store, by operation", Unit::Seconds, inner.store_seconds.clone());
        registry.register("store_failures", "Calls to the store that failed, by operation", inner.store_failures.clone());
        registry.register(
            "store_listener_connected",
            "Whether this replica hears of the changes that others make in the store",
            inner.store_listener_connected.clone(),
        );
        registry.register(
            "store_writable",
            "Whether the store takes writes, as this replica sees it",
            inner.store_writable.clone(),
        );
        registry.register(
            "encryption_keys_missing",
            "How many keys that stored tokens need are not among this replica's",
            inner.encryption_keys_missing.clone(),
        );
        registry.register("session_cache_loads", "Records that were not in memory and were asked of the store", loads);
        registry.register(
            "store_outage_served",
            "Requests that were served from memory because the store could not be asked",
            inner.served_from_memory.clone(),
        );
        registry.register(
            "store_rollbacks",
            "How often the database was found to be older than what was committed",
            inner.store_rollbacks.clone(),
        );
        registry.register(
            "store_remembered",
            "Renewed grants and ended sessions that this replica would put right in an older database",
            remembered,
        );
        registry.register("store_put_right", "Records that an older database had lost and were put right", put_right);
        registry.register("session_cache_entries", "Records in memory", entries);
        for voice in VOICES {
            drop(inner.store_voices.get_or_create(&Voice { voice }));
        }
        registry.register(
            "store_announcements",
            "Whether this replica hears of changes by this voice",
            inner.store_voices.clone(),
        );
        registry.register(
            "sessions",
            "Sessions in the store; beyond 4096 an estimate, with a standard error of 1.6 %",
            inner.sessions.clone(),
        );
        registry.register(
            "sessions_with_refresh_token",
            "Those whose grant can be renewed; beyond 1024 an estimate, within 2.2 % of all sessions",
            inner.sessions_with_refresh_token.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the first of the served certificates expires; 0 without TLS",
            Unit::Seconds,
            inner.certificate_expiry.clone(),
        );
        registry.register_with_unit(
            "client_certificate_expiry_timestamp",
            "When the first expires of the certificates that Evergate presents as a client and of the CA bundles that it trusts, as it has read them; 0 without any",
            Unit::Seconds,
            inner.client_certificate_expiry.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "Whether the settings that were read last are in force",
            inner.is_config_in_force.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "Since when the settings are in force",
            Unit::Seconds,
            inner.config_in_force_since.clone(),
        );
        Self(Arc::new(Inner { registry, ..inner }), ProviderLabel::default())
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
