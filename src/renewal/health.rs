//! What renewals show of the provider's health, and health probes with a dummy refresh token.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    Engine, Outcome,
    breaker::FailureEffect,
    classify::{self, ConfigScope, FailureClass},
};
use crate::{
    clock::Timestamp,
    grant::Grant,
    oidc::{ProviderError, TokenFailure},
    telemetry::logs::causes,
};

/// A provider that answered so recently is there.
const RECENTLY: Duration = Duration::from_secs(30);
/// Renewals that cannot be verified are told of this often.
const ALARM: Duration = Duration::from_secs(60);

impl Engine {
    /// The provider answered as it should.
    pub(super) fn answered(&self, issuer: &str) {
        if self.breaker.succeeded(self.clock.now()) {
            self.metrics.provider_outage(false);
            tracing::info!(oidc.issuer = issuer, "the provider renews grants again");
        }
        self.metrics.client_config_error(false);
        self.slots.succeeded();
    }

    /// What a failure means for everybody, said once when an outage begins.
    pub(super) fn failed(&self, class: FailureClass, issuer: &str) -> FailureEffect {
        let failed = self.breaker.failed(class, self.clock.now());
        self.metrics.client_config_error(self.breaker.client_is_refused());
        if failed.outage_began {
            self.metrics.provider_outage(true);
            tracing::warn!(
                oidc.issuer = issuer,
                grace.seconds = self.settings.outage_grace.as_secs(),
                "the provider does not renew grants: sessions are served on with the identity last verified"
            );
        }
        failed
    }

    /// Probes with a dummy refresh token whether a provider in trouble can be asked again, so that no outage costs a grant whose
    /// token is good for one use. How long to wait, if it cannot. A provider that is well is never probed so: each dummy is a
    /// failed refresh in its audit log.
    pub(super) async fn probe_provider(&self, grant: &Grant) -> Option<Duration> {
        let failure = self.provider.probe().await.err()?;
        let class = classify::classify(&failure, self.provider.preset().error_rules);
        if matches!(class, FailureClass::Dead | FailureClass::Config(ConfigScope::Grant)) {
            self.learn_that_it_rejects_dummies().await;
            return None;
        }
        if classify::is_inconclusive(&failure, class, self.rejects_dummies().await) {
            return None;
        }
        let failed = self.failed(class, &grant.issuer);
        report(grant, class.as_str(), &classify::reason(&failure), &failure);
        Some(failed.retry_at.since(self.clock.now()))
    }

    /// Whether the provider is there, by what renewals showed, or by asking. For a grant that no renewal can serve: nobody is
    /// sent to a provider that is away.
    pub(super) async fn provider_answers(self: &Arc<Self>, grant: &Arc<Grant>) -> bool {
        // A task of its own: a client that leaves must not take the breaker's one probe with it.
        let (engine, grant) = (Arc::clone(self), Arc::clone(grant));
        self.tasks.spawn(async move { engine.ask_provider(&grant).await }).await.unwrap_or(false)
    }

    /// Where the provider failed the last time that anybody heard of it, here or on the replica that lost this grant's answer, it
    /// is probed as in any outage; else it is only asked for its metadata.
    async fn ask_provider(&self, grant: &Grant) -> bool {
        let _one_asks = self.looking.lock().await;
        let now = self.clock.now();
        if self.breaker.in_trouble(now) {
            return false;
        }
        if self.breaker.answered_since(now.minus(RECENTLY)) {
            return true;
        }
        if self.breaker.enter(now, None).is_err() {
            return false;
        }
        let failed = self.breaker.has_failed() || grant.retry_at.is_some();
        let answers = if failed { self.probe_provider(grant).await.is_none() } else { self.provider.is_reachable().await };
        match (answers, failed) {
            (true, true) => self.answered(&grant.issuer),
            (true, false) => self.breaker.was_reached(now),
            // Who comes next need not find out again.
            (false, false) => drop(self.failed(FailureClass::Retry(None), &grant.issuer)),
            (false, true) => {}
        }
        answers
    }

    /// Why the provider was not asked, or not with success: it is at its limit, or it is in trouble.
    pub(super) fn told_to_wait(&self, wait: Duration) -> Outcome {
        if self.breaker.names_its_pause() || !self.breaker.in_trouble(self.clock.now()) {
            Outcome::Busy(wait)
        } else {
            Outcome::Unavailable(wait)
        }
    }

    /// What a grant's own pause comes to: a refusal of the provider's, or a wait.
    pub(super) fn paused(&self, grant: &Grant, wait: Duration) -> Outcome {
        if grant.refused.is_some() { Outcome::Refused } else { self.told_to_wait(wait) }
    }

    /// The one line that a failed renewal leaves in the log, and what it means for everybody.
    pub(super) fn fault(&self, grant: &Grant, class: FailureClass, failure: &TokenFailure) -> Timestamp {
        report(grant, class.as_str(), &classify::reason(failure), failure);
        if classify::is_too_many(failure) {
            self.slots.throttled(self.clock.now());
        }
        self.failed(class, &grant.issuer).retry_at
    }

    /// The line of a renewal whose tokens are kept and whose user cannot be told. It needs a person: nobody is logged out, and
    /// nobody is served for longer than the grace. One a minute is enough, for what is wrong is wrong for all users at once.
    pub(super) fn report_unverified(&self, grant: &Grant, error: &ProviderError) {
        let now = self.clock.now();
        let mut told_at = self.unverified_told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|at| now < at.plus(ALARM)) {
            tracing::debug!(grant.id = %grant.id, error = causes(error), "another renewal could not be verified");
            return;
        }
        *told_at = Some(now);
        tracing::error!(
            grant.id = %grant.id, oidc.issuer = grant.issuer, error = causes(error),
            "a renewal could not be verified: its tokens are kept, and the identity from before is served, marked stale, until a \
             renewal can be verified or CODER_OIDC_OUTAGE_GRACE is over"
        );
    }
}

/// The one line that a failed renewal leaves in the log.
pub(super) fn report(grant: &Grant, class: &'static str, reason: &str, error: &dyn std::error::Error) {
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(
        grant.id = %grant.id, oidc.issuer = grant.issuer, oidc.error = reason, renewal.outcome = class, error = %error, cause,
        "failed to renew OIDC token: {reason}"
    );
}
