//! What is counted, and each metric's name in the registry with the text that the reference has too.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    labels::{Cached, Class, Operation, Outcome, RouteClass, SPAN_DROPPED, SPAN_EXPORTED, UserEnd, Voice},
    providers::ProviderMetrics,
    timers::seconds,
};

/// What one process counts.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) registry: Registry,
    pub(super) requests: [Counter; 5],
    pub(super) request_seconds: Histogram,
    pub(super) route_seconds: Family<RouteClass, Histogram, fn() -> Histogram>,
    pub(super) logouts: Counter,
    pub(super) user_ends: Family<UserEnd, Counter>,
    pub(super) bearer_tokens: Family<Outcome, Counter>,
    pub(super) app_tokens: Family<Outcome, Counter>,
    pub(super) kept_posts: Family<Outcome, Counter>,
    pub(super) trace_spans: Family<Outcome, Counter>,
    pub(super) log_lines_lost: Counter,
    pub(super) providers: ProviderMetrics,
    pub(super) store_seconds: Family<Operation, Histogram, fn() -> Histogram>,
    pub(super) store_failures: Family<Operation, Counter>,
    pub(super) store_listener_connected: Gauge,
    pub(super) store_writable: Gauge,
    pub(super) encryption_keys_missing: Gauge,
    pub(super) cache_loads: [Counter; 2],
    pub(super) cache_entries: [Gauge; 2],
    pub(super) store_voices: Family<Voice, Gauge>,
    pub(super) served_from_memory: Counter,
    pub(super) store_rollbacks: Counter,
    pub(super) put_right: [Counter; 2],
    pub(super) remembered: [Gauge; 2],
    pub(super) sessions: Gauge,
    pub(super) sessions_with_refresh_token: Gauge,
    pub(super) certificate_expiry: Gauge,
    pub(super) client_certificate_expiry: Gauge,
    pub(super) client_connections: Gauge,
    pub(super) client_connections_max: Gauge,
    pub(super) is_config_in_force: Gauge,
    pub(super) config_in_force_since: Gauge,
}

/// Who may order that a user's sessions end: the names of `EndSource` in `session`, whose test compares them.
pub(crate) const USER_END_SOURCES: [&str; 5] =
    ["front_channel_logout", "provider", "global_token_revocation", "scim", "security_event"];

/// The kinds of [`Record`](super::Record), in its order.
const RECORDS: [&str; 2] = ["session", "grant"];
/// How changes in the store are heard of.
pub(super) const VOICES: [&str; 2] = ["notifications", "polling"];

/// The classes of a response's status.
pub(super) const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What can become of a bearer token.
const BEARER_OUTCOMES: [&str; 3] = ["accepted", "refused", "unavailable"];
/// What can become of a request of an app's job for a token.
const APP_TOKEN_OUTCOMES: [&str; 4] = ["given", "exchanged", "refused", "unavailable"];
/// What can become of an order to end a user's sessions.
const USER_END_OUTCOMES: [&str; 4] = ["ok", "unrecorded", "failed", "ignored"];
/// What can become of a form that met the end of its session.
const KEPT_POST_OUTCOMES: [&str; 8] = ["kept", "sent", "discarded", "nobody", "too_large", "broke_off", "full", "unavailable"];

/// What is counted by the kind of a record.
#[derive(Default)]
struct RecordFamilies {
    loads: Family<Cached, Counter>,
    entries: Family<Cached, Gauge>,
    remembered: Family<Cached, Gauge>,
    put_right: Family<Cached, Counter>,
}

impl Counted {
    /// All at zero, of the providers with these names.
    pub(super) fn at_zero(names: &[&str]) -> Self {
        let mut registry = Registry::with_prefix("evergate");
        let providers = ProviderMetrics::register(names, &mut registry);
        let by_class = Family::<Class, Counter>::default();
        let requests = STATUS_CLASSES.map(|status| by_class.get_or_create(&Class { status }).clone());
        let families = RecordFamilies::default();
        let counted = Self {
            requests,
            cache_loads: RECORDS.map(|record| families.loads.get_or_create(&Cached { record }).clone()),
            served_from_memory: Counter::default(),
            store_rollbacks: Counter::default(),
            remembered: RECORDS.map(|record| families.remembered.get_or_create(&Cached { record }).clone()),
            put_right: RECORDS.map(|record| families.put_right.get_or_create(&Cached { record }).clone()),
            cache_entries: RECORDS.map(|record| families.entries.get_or_create(&Cached { record }).clone()),
            request_seconds: seconds(),
            route_seconds: Family::new_with_constructor(seconds as fn() -> Histogram),
            logouts: Counter::default(),
            user_ends: Family::default(),
            bearer_tokens: Family::default(),
            app_tokens: Family::default(),
            kept_posts: Family::default(),
            trace_spans: Family::default(),
            log_lines_lost: Counter::default(),
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
            client_connections: Gauge::default(),
            client_connections_max: Gauge::default(),
            is_config_in_force: Gauge::default(),
            config_in_force_since: Gauge::default(),
            registry: Registry::default(),
        };
        register_requests(&mut registry, &counted, by_class);
        register_outcomes(&mut registry, &counted);
        register_store(&mut registry, &counted);
        register_records(&mut registry, &counted, families);
        register_process(&mut registry, &counted);
        Self { registry, ..counted }
    }
}

/// The requests and their times.
fn register_requests(registry: &mut Registry, counted: &Counted, by_class: Family<Class, Counter>) {
    registry.register("requests", "Requests by class of status", by_class);
    registry.register_with_unit("request", "Time until the head of the response", Unit::Seconds, counted.request_seconds.clone());
    registry.register_with_unit(
        "http_server_request_duration",
        "Time until the head of the response, by route and class of status",
        Unit::Seconds,
        counted.route_seconds.clone(),
    );
}

/// What became of logouts, tokens, kept forms, spans and log lines.
fn register_outcomes(registry: &mut Registry, counted: &Counted) {
    registry.register("logouts", "Sessions that their users ended", counted.logouts.clone());
    for source in USER_END_SOURCES {
        for outcome in USER_END_OUTCOMES {
            drop(counted.user_ends.get_or_create(&UserEnd { source, outcome }));
        }
    }
    registry.register(
        "user_ends",
        "Orders from outside to end a user's sessions, by their source and by what became of them",
        counted.user_ends.clone(),
    );
    // An alert on a rate needs the zero before the first event.
    for outcome in BEARER_OUTCOMES {
        drop(counted.bearer_tokens.get_or_create(&Outcome { outcome }));
    }
    registry.register("bearer_tokens", "Requests with a bearer token, by what became of it", counted.bearer_tokens.clone());
    for outcome in APP_TOKEN_OUTCOMES {
        drop(counted.app_tokens.get_or_create(&Outcome { outcome }));
    }
    registry.register("app_tokens", "Requests of apps' jobs for a token, by what became of them", counted.app_tokens.clone());
    for outcome in KEPT_POST_OUTCOMES {
        drop(counted.kept_posts.get_or_create(&Outcome { outcome }));
    }
    registry.register(
        "kept_posts",
        "Forms that met the end of their session, by what became of them",
        counted.kept_posts.clone(),
    );
    for outcome in [SPAN_EXPORTED, SPAN_DROPPED] {
        drop(counted.trace_spans.get_or_create(&Outcome { outcome }));
    }
    registry.register("trace_spans", "Spans of traces (OpenTelemetry), by what became of them", counted.trace_spans.clone());
    registry.register(
        "log_lines_lost",
        "Log lines that could not be written, or found the queue full because they are not read fast enough",
        counted.log_lines_lost.clone(),
    );
}

/// The calls to the store, and what is known of its state.
fn register_store(registry: &mut Registry, counted: &Counted) {
    registry.register_with_unit("store", "Calls to the store, by operation", Unit::Seconds, counted.store_seconds.clone());
    registry.register("store_failures", "Calls to the store that failed, by operation", counted.store_failures.clone());
    registry.register(
        "store_listener_connected",
        "Whether this replica hears of the changes that others make in the store",
        counted.store_listener_connected.clone(),
    );
    registry.register(
        "store_writable",
        "Whether the store takes writes, as this replica sees it",
        counted.store_writable.clone(),
    );
    registry.register(
        "encryption_keys_missing",
        "How many keys that stored tokens need are not among this replica's",
        counted.encryption_keys_missing.clone(),
    );
}

/// The records in memory and in the store.
fn register_records(registry: &mut Registry, counted: &Counted, families: RecordFamilies) {
    registry.register("session_cache_loads", "Records that were not in memory and were asked of the store", families.loads);
    registry.register(
        "store_outage_served",
        "Requests that were served from memory because the store could not be asked",
        counted.served_from_memory.clone(),
    );
    registry.register(
        "store_rollbacks",
        "How often the database was found to be older than what was committed",
        counted.store_rollbacks.clone(),
    );
    registry.register(
        "store_remembered",
        "Renewed grants and ended sessions that this replica would put right in an older database",
        families.remembered,
    );
    registry.register("store_put_right", "Records that an older database had lost and were put right", families.put_right);
    registry.register("session_cache_entries", "Records in memory", families.entries);
    for voice in VOICES {
        drop(counted.store_voices.get_or_create(&Voice { voice }));
    }
    registry.register("store_announcements", "Whether this replica hears of changes by this voice", counted.store_voices.clone());
    registry.register(
        "sessions",
        "Sessions in the store; beyond 4096 an estimate, with a standard error of 1.6 %",
        counted.sessions.clone(),
    );
    registry.register(
        "sessions_with_refresh_token",
        "Those whose grant can be renewed; beyond 1024 an estimate, within 2.2 % of all sessions",
        counted.sessions_with_refresh_token.clone(),
    );
}

/// The connections, certificates and settings of this process.
fn register_process(registry: &mut Registry, counted: &Counted) {
    registry.register("client_connections", "Open connections of clients", counted.client_connections.clone());
    registry.register(
        "client_connections_max",
        "How many connections of clients may be open, by the limit of open files; where all are in use, others are turned away",
        counted.client_connections_max.clone(),
    );
    registry.register_with_unit(
        "certificate_expiry_timestamp",
        "When the first of the served certificates expires; 0 without TLS",
        Unit::Seconds,
        counted.certificate_expiry.clone(),
    );
    registry.register_with_unit(
        "client_certificate_expiry_timestamp",
        "When the first expires of the certificates that Evergate presents as a client, of that of the key by which it signs as one, and of the CA bundles that it trusts, as it uses them; 0 without any",
        Unit::Seconds,
        counted.client_certificate_expiry.clone(),
    );
    registry.register(
        "config_last_reload_successful",
        "Whether the settings that were read last are in force",
        counted.is_config_in_force.clone(),
    );
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "Since when the settings are in force",
        Unit::Seconds,
        counted.config_in_force_since.clone(),
    );
}
