//! What every attempt at a token refresh works with.

use std::sync::{Arc, atomic::AtomicBool};

use tokio_util::task::TaskTracker;

use super::{
    blocked::BlockedIntrospections, breaker::Breaker, flight::Flights, knowledge::Observed, pending::Pending, settings::Settings,
    slots::Slots,
};
use crate::{
    clock::{Clock, Stopwatch, Timestamp},
    lock::Mutex,
    oidc::Provider,
    store::Store,
    telemetry::metrics::Metrics,
    timings::Timings,
};

/// The token refresh of one process at one provider. Its steps are `impl Engine` blocks in the files of their names.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) timings: Timings,
    pub(super) provider: Arc<Provider>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) flights: Flights,
    pub(super) breaker: Breaker,
    pub(super) blocked: BlockedIntrospections,
    pub(super) slots: Slots,
    pub(super) tasks: TaskTracker,
    pub(super) draining: AtomicBool,
    pub(super) observed: Observed,
    pub(super) pending: Arc<Pending>,
    pub(super) provider_check: tokio::sync::Mutex<()>,
    /// When the check of the provider that is under way began to ask it.
    pub(super) provider_check_began: Mutex<Option<Stopwatch>>,
    /// What a dummy refresh token last showed that was presented to judge a refusal by.
    pub(super) dummy_verdict: tokio::sync::Mutex<Option<DummyVerdict>>,
    /// When a token refresh that could not be verified was last logged as an error.
    pub(super) unverified_logged_at: Mutex<Option<Timestamp>>,
}

/// What a dummy refresh token has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct DummyVerdict {
    pub(super) asked: Stopwatch,
    /// Whether it was refused by the protocol, as no firewall and no page of maintenance does it: the provider has let this client in.
    pub(super) proves_this_client: bool,
}
