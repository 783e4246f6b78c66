//! The circuit breaker of a provider. After failures in a row it opens: token refreshes pause, with exponential back-off or for as
//! long as the provider says (`Retry-After`). Then it is half open, and one probe finds out whether the outage is over.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::classify::{ConfigScope, FailureClass};
use crate::{backoff::back_off, clock::Timestamp};

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
    /// The last answer that says anything of this client accepted it.
    client_accepted: bool,
    outage: bool,
    /// Whether it answered another endpoint's request properly since the last failure.
    heard: bool,
    names_its_pause: bool,
    answered_at: Option<Timestamp>,
}

/// How a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    /// As any other.
    Normal,
    /// As the one that finds out whether the outage is over.
    HalfOpenProbe,
}

/// What the provider thinks of this client, as far as its answers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientStanding {
    /// No answer has told.
    Unknown,
    /// It is who it says it is.
    Accepted,
    /// It is not, or may not renew.
    Refused,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailureEffect {
    /// Until when this grant is not to be tried again.
    pub(super) retry_at: Timestamp,
    /// With this failure an outage has begun.
    pub(super) outage_began: bool,
}

/// After so many failures in a row the breaker opens.
const FAILURE_THRESHOLD: u32 = 3;
/// A refused client is probed once a minute.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);
/// After this long a failure says nothing of the provider any more.
const FAILURE_TTL: Duration = Duration::from_secs(90);
/// The first and the longest pause of the back-off.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// However long one `Retry-After` is, a probe is made after this long.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

impl Breaker {
    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last renewals failed, and not so long ago that somebody should look again. Of a provider that answers other
    /// questions, one failure is chance, and failures in a row are trouble all the same.
    pub(super) fn in_trouble(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.failures > 0 && now < state.failed_at.plus(FAILURE_TTL) && (state.outage || !state.heard)
    }

    /// Whether the last answers were that this client is refused.
    pub(super) fn client_is_refused(&self) -> bool {
        self.state().client_refused
    }

    /// What the last answers say of this client.
    pub(super) fn client_standing(&self) -> ClientStanding {
        let state = self.state();
        match (state.client_refused, state.client_accepted) {
            (true, _) => ClientStanding::Refused,
            (false, true) => ClientStanding::Accepted,
            (false, false) => ClientStanding::Unknown,
        }
    }

    /// Whether the last answer said when to come again, as of a provider that is at its limit and not away.
    pub(super) fn names_its_pause(&self) -> bool {
        self.state().names_its_pause
    }

    /// Asks to make one call. Whoever may must report with [`Breaker::succeeded`], [`Breaker::failed`] or
    /// [`Breaker::withdrawn`]. A call that can be made within a `window` alone, which may be over when the breaker's pause is,
    /// is let pass, one at a time.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn enter(&self, now: Timestamp, window: Option<Duration>) -> Result<CallKind, Duration> {
        let mut state = self.state();
        if now < state.open_until {
            let pause = state.open_until.since(now);
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

    /// The call was not made after all.
    pub(super) fn withdrawn(&self) {
        self.state().probing = false;
    }

    /// The provider answered as it should, were it with a dead grant. `true`: an outage is over now.
    pub(super) fn succeeded(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let recovered = state.outage;
        *state = BreakerState { answered_at: Some(now), client_accepted: true, ..BreakerState::default() };
        recovered
    }

    /// The provider was there, as far as could be seen without asking it for tokens.
    pub(super) fn was_reached(&self, now: Timestamp) {
        let mut state = self.state();
        (state.answered_at, state.probing) = (Some(now), false);
    }

    /// The provider answered a question about a token as it should.
    pub(super) fn was_heard(&self) {
        self.state().heard = true;
    }

    /// Whether the provider failed the last time that it was asked for tokens.
    pub(super) fn has_failed(&self) -> bool {
        self.state().failures > 0
    }

    /// Whether the provider has answered as it should since `then`.
    pub(super) fn answered_since(&self, then: Timestamp) -> bool {
        self.state().answered_at.is_some_and(|at| at >= then)
    }

    /// How long nobody may call, as far as is known now.
    pub(super) fn pause(&self, now: Timestamp) -> Option<Duration> {
        let open_until = self.state().open_until;
        (now < open_until).then(|| open_until.since(now))
    }

    /// The call failed.
    pub(super) fn failed(&self, class: FailureClass, now: Timestamp) -> FailureEffect {
        let mut state = self.state();
        state.probing = false;
        if class == FailureClass::Config(ConfigScope::Grant) || class == FailureClass::Config(ConfigScope::Client) {
            // A refusal without a reason may be about this client.
            state.client_accepted = false;
        }
        // What concerns one grant says nothing of the others.
        if class == FailureClass::Config(ConfigScope::Grant) {
            return FailureEffect { retry_at: now.plus(CONFIG_PAUSE), outage_began: false };
        }
        state.failures = state.failures.saturating_add(1);
        (state.failed_at, state.heard) = (now, false);
        // Over when the provider answers as it should, not when it fails in another way.
        state.client_refused |= class == FailureClass::Config(ConfigScope::Client);
        let pause = match class {
            FailureClass::Config(_) => CONFIG_PAUSE,
            FailureClass::Retry(Some(wait)) => wait.max(Duration::from_millis(100)),
            FailureClass::Retry(None) | FailureClass::Ambiguous | FailureClass::Dead => {
                back_off(state.failures, FIRST_PAUSE, MAX_BACKOFF)
            }
        };
        state.names_its_pause = matches!(class, FailureClass::Retry(Some(_)));
        let for_all =
            matches!(class, FailureClass::Config(_) | FailureClass::Retry(Some(_))) || state.failures >= FAILURE_THRESHOLD;
        let outage_began = for_all && !state.outage;
        if for_all {
            state.outage = true;
            state.open_until = state.open_until.max(now.plus(pause.min(MAX_RETRY_AFTER)));
        }
        FailureEffect { retry_at: now.plus(pause), outage_began }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn one_failure_stops_nobody_else_but_an_outage_lets_one_through_at_a_time() {
        let breaker = Breaker::default();
        breaker.failed(FailureClass::Ambiguous, NOW);
        assert!(breaker.enter(NOW, None).is_ok() && breaker.in_trouble(NOW));
        assert!(!breaker.failed(FailureClass::Ambiguous, NOW).outage_began);
        assert!(breaker.failed(FailureClass::Ambiguous, NOW).outage_began);
        assert!(!breaker.failed(FailureClass::Ambiguous, NOW).outage_began, "it is said once");
        assert!(breaker.enter(NOW, None).is_err());
        let later = NOW.plus(MAX_BACKOFF);
        assert_eq!(breaker.enter(later, None), Ok(CallKind::HalfOpenProbe));
        assert!(breaker.enter(later, None).is_err(), "one probe at a time");
        breaker.withdrawn();
        assert!(breaker.enter(later, None).is_ok());
        assert!(breaker.succeeded(later) && breaker.answered_since(later));
        assert!(breaker.enter(later, None).is_ok() && breaker.enter(later, None).is_ok() && !breaker.in_trouble(later));
    }

    #[test]
    fn a_provider_that_answers_other_questions_is_not_away_for_one_failure() {
        let breaker = Breaker::default();
        breaker.failed(FailureClass::Ambiguous, NOW);
        breaker.was_heard();
        assert!(!breaker.in_trouble(NOW));
        breaker.failed(FailureClass::Ambiguous, NOW);
        assert!(breaker.in_trouble(NOW), "until it is heard again");
        breaker.failed(FailureClass::Ambiguous, NOW);
        breaker.was_heard();
        assert!(breaker.in_trouble(NOW), "failures in a row are an outage of renewals");
    }

    #[test]
    fn the_providers_own_wait_is_honoured_at_once_and_a_refused_client_is_asked_for_once_a_minute() {
        let breaker = Breaker::default();
        breaker.failed(FailureClass::Retry(Some(Duration::from_secs(20))), NOW);
        assert_eq!(breaker.enter(NOW, None), Err(Duration::from_secs(20)));
        assert!(breaker.names_its_pause());
        breaker.failed(FailureClass::Ambiguous, NOW);
        assert!(!breaker.names_its_pause());
        let breaker = Breaker::default();
        breaker.failed(FailureClass::Config(ConfigScope::Client), NOW);
        assert!(breaker.client_is_refused());
        breaker.failed(FailureClass::Ambiguous, NOW);
        assert!(breaker.client_is_refused(), "an outage is no word about the client");
        assert_eq!(breaker.enter(NOW, None), Err(CONFIG_PAUSE));
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_ok());
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_err());
    }

    #[test]
    fn one_grants_oddity_and_one_answers_long_wait_do_not_stop_the_others() {
        let breaker = Breaker::default();
        assert_eq!(breaker.failed(FailureClass::Config(ConfigScope::Grant), NOW).retry_at, NOW.plus(CONFIG_PAUSE));
        assert!(breaker.enter(NOW, None).is_ok() && !breaker.in_trouble(NOW) && breaker.pause(NOW).is_none());
        assert_eq!(
            breaker.failed(FailureClass::Retry(Some(Duration::from_secs(600))), NOW).retry_at,
            NOW.plus(Duration::from_secs(600))
        );
        assert_eq!(breaker.pause(NOW), Some(MAX_RETRY_AFTER));
    }
}
