//! The circuit breaker of a provider. After failures in a row it opens: token refreshes pause, with exponential back-off or for as
//! long as the provider says (`Retry-After`). Then it is half open, and one probe finds out whether the outage is over.

use std::time::Duration;

use super::classify::{ConfigScope, FailureClass};
use crate::{
    backoff::back_off,
    clock::Timestamp,
    lock::{Mutex, MutexGuard},
};

/// The breaker of one provider.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    failed_at: Timestamp,
    open_until: Timestamp,
    probing: bool,
    client_refused: bool,
    /// Whether the last response that says anything about this client accepted it.
    client_accepted: bool,
    outage: bool,
    /// Whether the introspection endpoint has responded properly since the last failure.
    introspection_responds: bool,
    has_retry_after: bool,
    answered_at: Option<Timestamp>,
}

/// How a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// A normal call.
    Normal,
    /// The one call that finds out whether the outage is over.
    HalfOpenProbe,
}

/// Whether the provider accepts this client, by its responses so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStanding {
    /// No response has shown it.
    Unknown,
    /// The client is accepted.
    Accepted,
    /// Client authentication fails, or the client may not refresh tokens.
    Refused,
}

/// The effect of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailureEffect {
    /// When this grant may be tried again.
    pub(super) retry_at: Timestamp,
    /// Whether this failure begins an outage.
    pub(super) outage_began: bool,
}

/// The number of consecutive failures after which the breaker opens.
pub const FAILURE_THRESHOLD: u32 = 3;
/// The pause between probes while the client is refused.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);
/// How long a failure counts as a sign of trouble.
const FAILURE_TTL: Duration = Duration::from_secs(90);
/// The first and the longest pause of the back-off.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long the breaker is open at most: what a long `Retry-After` says holds for its own grant, and may not hold for others.
const MAX_OPEN: Duration = Duration::from_secs(60);

impl Breaker {
    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock()
    }

    /// Whether the last token refreshes failed recently. If the introspection endpoint responds, a single failure does not count,
    /// but consecutive failures do.
    pub(super) fn in_trouble(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.failures > 0 && now.is_within(FAILURE_TTL, state.failed_at) && (state.outage || !state.introspection_responds)
    }

    /// Whether the breaker has opened, and the last failure is recent: one failure alone is no outage.
    pub(super) fn in_outage(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.outage && now.is_within(FAILURE_TTL, state.failed_at)
    }

    /// Whether the provider refuses this client.
    pub(super) fn client_is_refused(&self) -> bool {
        self.state().client_refused
    }

    /// Returns whether the provider accepts this client.
    pub(super) fn client_standing(&self) -> ClientStanding {
        let state = self.state();
        match (state.client_refused, state.client_accepted) {
            (true, _) => ClientStanding::Refused,
            (false, true) => ClientStanding::Accepted,
            (false, false) => ClientStanding::Unknown,
        }
    }

    /// Whether the last failure had a `Retry-After`, as of a provider that is at its rate limit rather than unavailable.
    pub(super) fn has_retry_after(&self) -> bool {
        self.state().has_retry_after
    }

    /// Asks to make one call. A caller that is admitted must report with [`Breaker::record_success`], [`Breaker::record_failure`]
    /// or [`Breaker::withdraw`]. A call that is allowed only within a `window` that ends before the breaker's pause is admitted
    /// although the breaker is open, one at a time.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn enter(&self, now: Timestamp, window: Option<Duration>) -> Result<CallKind, Duration> {
        let mut state = self.state();
        if let Some(pause) = state.pause(now) {
            if state.probing || state.client_refused || window.is_none_or(|window| pause < window) {
                return Err(pause);
            }
            state.probing = true;
            return Ok(CallKind::Normal);
        }
        let half_open = state.client_refused || state.failures >= FAILURE_THRESHOLD;
        if half_open && state.probing {
            return Err(Duration::from_secs(1));
        }
        state.probing = half_open;
        Ok(if half_open { CallKind::HalfOpenProbe } else { CallKind::Normal })
    }

    /// Records that the call was not made after all.
    pub(super) fn withdraw(&self) {
        self.state().probing = false;
    }

    /// Records a proper response, which may also be that a grant is dead. Returns `true` if this ends an outage.
    pub(super) fn record_success(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let recovered = state.outage;
        *state = BreakerState { answered_at: Some(now), client_accepted: true, ..BreakerState::default() };
        recovered
    }

    /// Records that the provider is reachable, without a token call.
    pub(super) fn record_reachable(&self, now: Timestamp) {
        let mut state = self.state();
        (state.answered_at, state.probing) = (Some(now), false);
    }

    /// Records a proper response of the introspection endpoint.
    pub(super) fn record_introspection_response(&self) {
        self.state().introspection_responds = true;
    }

    /// Whether the last token call failed.
    pub(super) fn has_failures(&self) -> bool {
        self.state().failures > 0
    }

    /// Whether the provider has responded properly within this time.
    pub(super) fn answered_within(&self, time: Duration, now: Timestamp) -> bool {
        self.state().answered_at.is_some_and(|at| now.is_within(time, at))
    }

    /// How long the breaker stays open.
    pub(super) fn pause(&self, now: Timestamp) -> Option<Duration> {
        self.state().pause(now)
    }

    /// Records a failure.
    pub(super) fn record_failure(&self, class: FailureClass, now: Timestamp) -> FailureEffect {
        let mut state = self.state();
        state.probing = false;
        if class == FailureClass::Config(ConfigScope::Grant) || class == FailureClass::Config(ConfigScope::Client) {
            // A refusal without a reason may concern this client.
            state.client_accepted = false;
        }
        // A failure that concerns one grant says nothing about the others.
        if class == FailureClass::Config(ConfigScope::Grant) {
            return FailureEffect { retry_at: now.plus(CONFIG_PAUSE), outage_began: false };
        }
        state.failures = state.failures.saturating_add(1);
        (state.failed_at, state.introspection_responds) = (now, false);
        // Cleared by a proper response, not by another kind of failure.
        state.client_refused |= class == FailureClass::Config(ConfigScope::Client);
        let pause = match class {
            FailureClass::Config(_) => CONFIG_PAUSE,
            FailureClass::Retry(Some(wait)) => wait.max(FIRST_PAUSE),
            FailureClass::Retry(None) | FailureClass::Ambiguous | FailureClass::Dead => {
                back_off(state.failures, FIRST_PAUSE, MAX_BACKOFF)
            }
        };
        state.has_retry_after = matches!(class, FailureClass::Retry(Some(_)));
        let affects_all =
            matches!(class, FailureClass::Config(_) | FailureClass::Retry(Some(_))) || state.failures >= FAILURE_THRESHOLD;
        let outage_began = affects_all && !state.outage;
        if affects_all {
            state.outage = true;
            let longer = state.pause(now).unwrap_or_default().max(pause.min(MAX_OPEN));
            state.open_until = now.plus(longer);
        }
        FailureEffect { retry_at: now.plus(pause), outage_began }
    }
}

impl BreakerState {
    /// How long the breaker stays open.
    fn pause(&self, now: Timestamp) -> Option<Duration> {
        now.pause_until(self.open_until, MAX_OPEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn one_failure_stops_nobody_else_but_an_outage_lets_one_through_at_a_time() {
        let breaker = Breaker::default();
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        assert!(breaker.enter(NOW, None).is_ok() && breaker.in_trouble(NOW));
        assert!(!breaker.record_failure(FailureClass::Ambiguous, NOW).outage_began && !breaker.in_outage(NOW));
        assert!(breaker.record_failure(FailureClass::Ambiguous, NOW).outage_began);
        assert!(!breaker.record_failure(FailureClass::Ambiguous, NOW).outage_began, "it is said once");
        assert!(breaker.enter(NOW, None).is_err() && breaker.in_outage(NOW));
        let later = NOW.plus(MAX_BACKOFF);
        assert_eq!(breaker.enter(later, None), Ok(CallKind::HalfOpenProbe));
        assert!(breaker.enter(later, None).is_err(), "one probe at a time");
        breaker.withdraw();
        assert!(breaker.enter(later, None).is_ok());
        assert!(breaker.record_success(later) && breaker.answered_within(FAILURE_TTL, later));
        assert!(breaker.enter(later, None).is_ok() && breaker.enter(later, None).is_ok() && !breaker.in_trouble(later));
    }

    #[test]
    fn a_provider_that_answers_other_questions_is_not_away_for_one_failure() {
        let breaker = Breaker::default();
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        breaker.record_introspection_response();
        assert!(!breaker.in_trouble(NOW));
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        assert!(breaker.in_trouble(NOW), "until introspection responds again");
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        breaker.record_introspection_response();
        assert!(breaker.in_trouble(NOW), "failures in a row are an outage of renewals");
    }

    #[test]
    fn the_providers_own_wait_is_honoured_at_once_and_a_refused_client_is_asked_for_once_a_minute() {
        let breaker = Breaker::default();
        breaker.record_failure(FailureClass::Retry(Some(Duration::from_secs(20))), NOW);
        assert_eq!(breaker.enter(NOW, None), Err(Duration::from_secs(20)));
        assert!(breaker.has_retry_after());
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        assert!(!breaker.has_retry_after());
        let breaker = Breaker::default();
        breaker.record_failure(FailureClass::Config(ConfigScope::Client), NOW);
        assert!(breaker.client_is_refused());
        breaker.record_failure(FailureClass::Ambiguous, NOW);
        assert!(breaker.client_is_refused(), "an outage is no word about the client");
        assert_eq!(breaker.enter(NOW, None), Err(CONFIG_PAUSE));
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_ok());
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_err());
    }

    #[test]
    fn one_grants_oddity_and_one_answers_long_wait_do_not_stop_the_others() {
        let breaker = Breaker::default();
        assert_eq!(breaker.record_failure(FailureClass::Config(ConfigScope::Grant), NOW).retry_at, NOW.plus(CONFIG_PAUSE));
        assert!(breaker.enter(NOW, None).is_ok() && !breaker.in_trouble(NOW) && breaker.pause(NOW).is_none());
        assert_eq!(
            breaker.record_failure(FailureClass::Retry(Some(Duration::from_secs(600))), NOW).retry_at,
            NOW.plus(Duration::from_secs(600))
        );
        assert_eq!(breaker.pause(NOW), Some(MAX_OPEN));
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_no_outage_and_no_health() {
        let hour = Duration::from_secs(3600);
        let ahead = NOW.plus(hour);
        let failing = || {
            let breaker = Breaker::default();
            for _ in 0..FAILURE_THRESHOLD {
                breaker.record_failure(FailureClass::Retry(None), ahead);
            }
            breaker
        };
        assert!(failing().in_trouble(ahead) && failing().enter(ahead, None).is_err());
        assert!(!failing().in_trouble(NOW) && failing().pause(NOW).is_none());
        assert_eq!(failing().enter(NOW, None), Ok(CallKind::HalfOpenProbe));
        let breaker = failing();
        breaker.record_failure(FailureClass::Retry(None), NOW);
        assert!(breaker.in_trouble(NOW) && breaker.enter(NOW, None).is_err(), "it opens by the clock that is right");
        let breaker = Breaker::default();
        breaker.record_reachable(ahead);
        assert!(breaker.answered_within(FAILURE_TTL, ahead) && !breaker.answered_within(FAILURE_TTL, NOW));
    }
}
