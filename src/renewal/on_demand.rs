//! Token refresh that somebody asks for, whether or not it is due.

use std::{sync::Arc, time::Duration};

use super::{
    Renewer,
    decision::{self, NextRefresh},
    result::Outcome,
};
use crate::grant::Grant;

/// What became of a token refresh that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshedNow {
    /// The grant has new tokens.
    Renewed,
    /// The grant has ended.
    Ended,
    /// There is no refresh token.
    NotRenewable,
    /// It is of another provider or client than the configured ones.
    OtherProvider,
    /// This replica does not have the key that its tokens are encrypted under.
    KeyMissing,
    /// The provider refuses this grant without ending it.
    Refused,
    /// The provider or the store cannot be asked now; for so long.
    Unavailable(Duration),
    /// It takes longer than one waits for it, and goes on.
    UnderWay,
}

impl RefreshedNow {
    /// The name of the outcome, for programs and the history. It must not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Ended => "ended",
            Self::NotRenewable => "not_renewable",
            Self::OtherProvider => "other_provider",
            Self::KeyMissing => "key_missing",
            Self::Refused => "refused",
            Self::Unavailable(_) => "unavailable",
            Self::UnderWay => "under_way",
        }
    }
}

impl Renewer {
    /// Refreshes a grant as any other token refresh: one at a time, within the rate limit, not while the circuit breaker is open, and
    /// not while the grant is backing off.
    pub async fn refresh_now(&self, grant: Arc<Grant>) -> RefreshedNow {
        if grant.ended.is_some() {
            return RefreshedNow::Ended;
        }
        let Some(engine) = self.engine_of(&grant) else { return RefreshedNow::OtherProvider };
        if !grant.has_refresh_token {
            return RefreshedNow::NotRenewable;
        }
        if grant.missing_key.is_some() {
            return RefreshedNow::KeyMissing;
        }
        if !engine.may_wait_for(&grant) {
            return RefreshedNow::Unavailable(super::MIN_RETRY_AFTER);
        }
        let flight = engine.start(&grant);
        let waited = Box::pin(tokio::time::timeout(self.timings.blocking_refresh_wait, flight.outcome())).await;
        match waited {
            Err(_) => RefreshedNow::UnderWay,
            Ok(Outcome::Renewed(_)) => RefreshedNow::Renewed,
            Ok(Outcome::Ended(_) | Outcome::Gone) => RefreshedNow::Ended,
            Ok(Outcome::Refused) => RefreshedNow::Refused,
            Ok(Outcome::Busy(wait) | Outcome::Unavailable(wait)) => RefreshedNow::Unavailable(wait),
        }
    }

    /// How long after expiry the last verified identity is used while the provider does not refresh it (`CODER_OIDC_OUTAGE_GRACE`).
    pub fn outage_grace(&self) -> Duration {
        self.engines.iter().map(|engine| engine.settings.outage_grace).max().unwrap_or_default()
    }

    /// When a grant is refreshed next.
    pub fn next_refresh(&self, grant: &Grant) -> NextRefresh {
        match self.engine_of(grant) {
            Some(engine) => decision::next_refresh(grant, &engine.settings, self.clock.now()),
            None => NextRefresh::Never,
        }
    }
}
