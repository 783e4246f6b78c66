//! Records what token refreshes show of the provider's health, and makes health probes with a dummy refresh token.

use std::{sync::Arc, time::Duration};

use super::{
    breaker::FailureEffect,
    classify::{self, ConfigScope, FailureClass},
    engine::{DummyVerdict, Engine},
    result::Outcome,
};
use crate::{
    clock::{Stopwatch, Timestamp},
    grant::Grant,
    lock::Mutex,
    oidc::{ProviderError, TokenFailure},
    telemetry::logs::causes,
};

/// A provider that has responded within this time is available.
const RECENT: Duration = Duration::from_secs(30);
/// How long the answer to a dummy is waited for while a grant's own failure is to be judged, which its lease has time for.
const DUMMY_DEADLINE: Duration = Duration::from_secs(5);
/// How long it counts that the provider has refused a dummy by the protocol, so that many refused grants cost one dummy.
const DUMMY_COUNTS: Duration = Duration::from_secs(2);
/// How often token refreshes that cannot be verified are logged as errors.
const ALARM_INTERVAL: Duration = Duration::from_secs(60);

impl Engine {
    /// Records a proper response.
    pub(super) fn record_success(&self, issuer: &str) {
        if self.breaker.record_success(self.clock.now()) {
            self.metrics.provider_outage(false);
            tracing::info!(oidc.issuer = issuer, "the provider renews grants again");
        }
        self.metrics.client_config_error(false);
        self.slots.succeeded();
    }

    /// Records a failure, and logs once that an outage begins.
    pub(super) fn record_failure(&self, class: FailureClass, issuer: &str) -> FailureEffect {
        let effect = self.breaker.record_failure(class, self.clock.now());
        self.metrics.client_config_error(self.breaker.client_is_refused());
        if effect.outage_began {
            self.metrics.provider_outage(true);
            tracing::warn!(
                oidc.issuer = issuer,
                grace.seconds = self.settings.outage_grace.as_secs(),
                "the provider does not renew grants: sessions are served on with the identity last verified"
            );
        }
        effect
    }

    /// Probes with a dummy refresh token whether an outage is over, so that it costs no grant whose refresh token can be used
    /// only once. Returns how long to wait if the outage goes on. A provider that has not failed is never probed, because each probe
    /// is a failed refresh in its audit log.
    pub(super) async fn probe_provider(&self, grant: &Grant) -> Option<Duration> {
        let failure = self.provider.probe().await.err()?;
        let class = self.classify(&failure);
        if classify::is_proper_refusal(class) {
            self.observed.record_dummy_rejection().await;
            return None;
        }
        if classify::is_inconclusive(&failure, class, self.observed.rejects_dummies().await) {
            return None;
        }
        let failed = self.record_failure(class, &grant.issuer);
        report(grant, class.as_str(), &classify::reason(&failure), &failure);
        Some(failed.retry_at.since(self.clock.now()))
    }

    /// The class of a refused presentation. An answer without an error code is somebody else's, or about this client, unless the provider
    /// refuses a dummy by the protocol: then the same way leads to the provider, it accepts this client, and it means this grant. The
    /// others must not pay for it.
    pub(super) async fn class_of(&self, failure: &TokenFailure, issuer: &str) -> FailureClass {
        let class = self.classify(failure);
        if classify::may_concern_one_grant(failure, class) && self.refuses_dummies_now().await {
            self.record_success(issuer);
            return FailureClass::Config(ConfigScope::Grant);
        }
        class
    }

    /// Whether the provider refuses a dummy refresh token by the protocol. It is asked by one at a time. That it does not is remembered for
    /// [`RECENT`]; that it does, hardly longer than for whoever has waited meanwhile, because a firewall may begin to answer.
    async fn refuses_dummies_now(&self) -> bool {
        let mut verdict = self.dummy_verdict.lock().await;
        if let Some(DummyVerdict { asked, proves_this_client }) = *verdict
            && asked.elapsed() < if proves_this_client { DUMMY_COUNTS } else { RECENT }
        {
            return proves_this_client;
        }
        let probed = tokio::time::timeout(DUMMY_DEADLINE, self.provider.probe()).await;
        let proves_this_client = matches!(probed, Ok(Err(failure)) if classify::is_proper_refusal(self.classify(&failure)));
        *verdict = Some(DummyVerdict { asked: Stopwatch::start(), proves_this_client });
        proves_this_client
    }

    fn classify(&self, failure: &TokenFailure) -> FailureClass {
        classify::classify(failure, self.provider.preset().error_rules)
    }

    /// Whether the provider is available, by recent token refreshes or by a request. Asked for ended grants: a browser is not
    /// sent to a provider that is unavailable, nor to one that does not answer while its request, which has `waited` already, may
    /// still wait.
    pub(super) async fn is_provider_available(self: &Arc<Self>, grant: &Arc<Grant>, waited: Stopwatch) -> bool {
        // Nobody waits for the probe that finds out whether an outage is over.
        if self.breaker.in_outage(self.clock.now()) {
            return false;
        }
        // Nobody waits again for a check that one request has waited for in vain.
        let checked_for = self.provider_check_began().map(Stopwatch::elapsed).unwrap_or_default();
        let left = self.timings.blocking_refresh_wait.saturating_sub(waited.elapsed().max(checked_for));
        if left.is_zero() {
            return false;
        }
        // A separate task: neither the end of the wait nor a client that disconnects must cancel the breaker's only probe.
        let (engine, grant) = (Arc::clone(self), Arc::clone(grant));
        let check = self.tasks.spawn(async move { engine.check_provider(&grant).await });
        matches!(tokio::time::timeout(left, check).await, Ok(Ok(true)))
    }

    /// When the check that is under way began to ask the provider.
    fn provider_check_began(&self) -> Option<Stopwatch> {
        *self.provider_check_began.lock()
    }

    /// If the last token call failed, here or on the replica that lost this grant's response, the provider is probed as in an
    /// outage, because it may have lost that one response alone, and nobody else may renew for long; otherwise only its metadata is
    /// requested.
    async fn check_provider(&self, grant: &Grant) -> bool {
        let _guard = self.provider_check.lock().await;
        let now = self.clock.now();
        if self.breaker.in_outage(now) {
            return false;
        }
        if !self.breaker.in_trouble(now) && self.breaker.answered_within(RECENT, now) {
            return true;
        }
        if self.breaker.enter(now, None).is_err() {
            return false;
        }
        let failed = self.breaker.has_failures() || grant.retry_at.is_some();
        let under_way = CheckUnderWay::begin(&self.provider_check_began);
        let is_available = if failed { self.probe_provider(grant).await.is_none() } else { self.provider.is_reachable().await };
        drop(under_way);
        match (is_available, failed) {
            (true, true) => self.record_success(&grant.issuer),
            (true, false) => self.breaker.record_reachable(now),
            // Later requests need not check again.
            (false, false) => drop(self.record_failure(FailureClass::Retry(None), &grant.issuer)),
            (false, true) => {}
        }
        is_available
    }

    /// Returns the outcome of a call that was not made or failed: the provider is at its rate limit, or it is unavailable.
    pub(super) fn wait_outcome(&self, wait: Duration) -> Outcome {
        if self.breaker.has_retry_after() || !self.breaker.in_trouble(self.clock.now()) {
            Outcome::Busy(wait)
        } else {
            Outcome::Unavailable(wait)
        }
    }

    /// Returns the outcome for a grant that is backing off: refused, or a wait.
    pub(super) fn paused_outcome(&self, grant: &Grant, wait: Duration) -> Outcome {
        if grant.refused.is_some() { Outcome::Refused } else { self.wait_outcome(wait) }
    }

    /// Logs a failed token refresh, records it, and returns when the grant may be tried again.
    pub(super) fn report_failure(&self, grant: &Grant, class: FailureClass, failure: &TokenFailure) -> Timestamp {
        report(grant, class.as_str(), &classify::reason(failure), failure);
        if classify::is_rate_limited(failure) {
            self.slots.throttled(self.clock.now());
        }
        self.record_failure(class, &grant.issuer).retry_at
    }

    /// Logs a token refresh whose tokens are kept and whose identity cannot be verified. It needs a person: no user is logged
    /// out, and none is served for longer than the grace. One line a minute is enough, because the cause affects all users.
    pub(super) fn report_unverified(&self, grant: &Grant, error: &ProviderError) {
        let now = self.clock.now();
        let mut logged_at = self.unverified_logged_at.lock();
        if logged_at.is_some_and(|at| now.is_within(ALARM_INTERVAL, at)) {
            tracing::debug!(grant.id = %grant.id, error = causes(error), "another renewal could not be verified");
            return;
        }
        *logged_at = Some(now);
        tracing::error!(
            grant.id = %grant.id, oidc.issuer = grant.issuer, error = causes(error),
            "a renewal could not be verified: its tokens are kept, and the identity from before is served, marked stale, until a \
             renewal can be verified or CODER_OIDC_OUTAGE_GRACE is over"
        );
    }
}

/// A check of the provider, for as long as it asks.
struct CheckUnderWay<'a>(&'a Mutex<Option<Stopwatch>>);

impl<'a> CheckUnderWay<'a> {
    fn begin(began: &'a Mutex<Option<Stopwatch>>) -> Self {
        *began.lock() = Some(Stopwatch::start());
        Self(began)
    }
}

impl Drop for CheckUnderWay<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// Logs a failed token refresh, in the documented form that administrators search for.
pub(super) fn report(grant: &Grant, class: &'static str, reason: &str, error: &dyn std::error::Error) {
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(
        grant.id = %grant.id, oidc.issuer = grant.issuer, oidc.error = reason, renewal.outcome = class, error = %error, cause,
        "failed to renew OIDC token: {reason}"
    );
}
