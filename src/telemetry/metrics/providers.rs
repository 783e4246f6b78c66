//! The metrics of each provider. With several, each has the label `provider`; with one there is none, so that dashboards and alerts stay
//! as they are.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::timers::seconds;

/// What can become of a login.
const LOGIN_OUTCOMES: [&str; 8] =
    ["ok", "unknown_attempt", "refused", "busy", "declined", "provider_error", "denied", "store_error"];
/// What becomes of a token refresh: whatever ends a grant or leaves its outcome unknown, and the most frequent of the rest. What presets
/// say of their providers' own error codes is expected besides ([`Metrics::expect_renewal`](super::Metrics::expect_renewal)).
const RENEWAL_OUTCOMES: [(&str, &str); 24] = [
    ("ok", "rotated"),
    ("ok", "kept"),
    ("ok", "unverified"),
    ("dead", "invalid_grant"),
    ("dead", "interaction_required"),
    ("dead", "consent_required"),
    ("dead", "login_required"),
    ("dead", "identity_refused"),
    ("dead", "key_lost"),
    ("dead", "no_refresh_token"),
    ("config", "invalid_client"),
    ("retry", "unreachable"),
    ("retry", "store_unavailable"),
    ("ambiguous", "timed_out"),
    ("ambiguous", "connection_broken"),
    ("ambiguous", "unusable_answer"),
    ("ambiguous", "server_error"),
    ("ambiguous", "status_408"),
    ("ambiguous", "status_500"),
    ("ambiguous", "status_502"),
    ("ambiguous", "status_503"),
    ("ambiguous", "status_504"),
    ("ambiguous", "status_5xx"),
    ("ambiguous", "outcome_unknown"),
];
/// What becomes of a poll for security events.
const EVENT_POLL_OUTCOMES: [&str; 2] = ["answered", "failed"];
/// The calls to the provider that are timed.
const PROVIDER_CALLS: [&str; 4] = ["code", "refresh", "introspection", "exchange"];

/// The label with the provider's name; none where there is one provider.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub(super) struct ProviderLabel(Option<Arc<str>>);

impl EncodeLabelSet for ProviderLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        match &self.0 {
            Some(name) => [("provider", &**name)].encode(encoder),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProviderOutcome {
    #[prometheus(flatten)]
    provider: ProviderLabel,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Renewal {
    #[prometheus(flatten)]
    provider: ProviderLabel,
    outcome: &'static str,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    #[prometheus(flatten)]
    provider: ProviderLabel,
    call: &'static str,
}

/// The metrics of all providers.
#[derive(Debug)]
pub(super) struct ProviderMetrics {
    names: Vec<Arc<str>>,
    logins: Family<ProviderOutcome, Counter>,
    renewals: Family<Renewal, Counter>,
    calls: Family<Call, Histogram, fn() -> Histogram>,
    event_polls: Family<ProviderOutcome, Counter>,
    pub(super) ready: Family<ProviderLabel, Gauge>,
    pub(super) outage: Family<ProviderLabel, Gauge>,
    pub(super) client_config_error: Family<ProviderLabel, Gauge>,
}

impl ProviderMetrics {
    /// The metrics of the providers with these names, of which one alone needs none.
    pub(super) fn register(names: &[&str], registry: &mut Registry) -> Self {
        let this = Self {
            names: if names.len() > 1 { names.iter().map(|name| Arc::from(*name)).collect() } else { Vec::new() },
            logins: Family::default(),
            renewals: Family::default(),
            calls: Family::new_with_constructor(seconds as fn() -> Histogram),
            event_polls: Family::default(),
            ready: Family::default(),
            outage: Family::default(),
            client_config_error: Family::default(),
        };
        // An alert on a rate needs the zero before the first event.
        for provider in this.labels() {
            for outcome in LOGIN_OUTCOMES {
                drop(this.logins.get_or_create(&ProviderOutcome { provider: provider.clone(), outcome }));
            }
            for (outcome, reason) in RENEWAL_OUTCOMES {
                drop(this.renewals.get_or_create(&Renewal { provider: provider.clone(), outcome, reason: reason.to_owned() }));
            }
            for outcome in EVENT_POLL_OUTCOMES {
                drop(this.event_polls.get_or_create(&ProviderOutcome { provider: provider.clone(), outcome }));
            }
            for call in PROVIDER_CALLS {
                drop(this.calls.get_or_create(&Call { provider: provider.clone(), call }));
            }
        }
        registry.register("logins", "Login attempts that returned, by outcome", this.logins.clone());
        registry.register("renewals", "Renewals by outcome class and reason", this.renewals.clone());
        registry.register_with_unit("provider", "Calls to the provider", Unit::Seconds, this.calls.clone());
        registry.register(
            "event_polls",
            "Polls for security events, by what became of them; one that its transmitter held until its end is none of them",
            this.event_polls.clone(),
        );
        this.register_gauge(registry, "provider_ready", "Whether discovery has succeeded", &this.ready);
        this.register_gauge(
            registry,
            "provider_outage",
            "Whether renewals fail and sessions are served on without",
            &this.outage,
        );
        this.register_gauge(
            registry,
            "client_config_error",
            "Whether the provider refuses this client; needs a person",
            &this.client_config_error,
        );
        this
    }

    fn labels(&self) -> Vec<ProviderLabel> {
        if self.names.is_empty() {
            return vec![ProviderLabel::default()];
        }
        self.names.iter().map(|name| ProviderLabel(Some(Arc::clone(name)))).collect()
    }

    fn register_gauge(&self, registry: &mut Registry, name: &str, help: &str, gauge: &Family<ProviderLabel, Gauge>) {
        for label in self.labels() {
            drop(gauge.get_or_create(&label));
        }
        if self.names.is_empty() {
            registry.register(name, help, gauge.get_or_create(&ProviderLabel::default()).clone());
        } else {
            registry.register(name, help, gauge.clone());
        }
    }
}

impl ProviderMetrics {
    /// The label of the provider with this name.
    pub(super) fn label(&self, name: &str) -> ProviderLabel {
        ProviderLabel(self.names.iter().find(|known| &***known == name).cloned())
    }

    pub(super) fn login(&self, provider: &ProviderLabel, outcome: &'static str) -> Counter {
        self.logins.get_or_create(&ProviderOutcome { provider: provider.clone(), outcome }).clone()
    }

    pub(super) fn event_poll(&self, provider: &ProviderLabel, outcome: &'static str) -> Counter {
        self.event_polls.get_or_create(&ProviderOutcome { provider: provider.clone(), outcome }).clone()
    }

    pub(super) fn renewal(&self, provider: &ProviderLabel, outcome: &'static str, reason: &str) -> Counter {
        let labels = Renewal { provider: provider.clone(), outcome, reason: reason.to_owned() };
        self.renewals.get_or_create(&labels).clone()
    }

    pub(super) fn call(&self, provider: &ProviderLabel, call: &'static str) -> Histogram {
        self.calls.get_or_create(&Call { provider: provider.clone(), call }).clone()
    }
}
