//! What keeps a provider in trouble from being hammered: after failures in a row, renewals pause for growing
//! times or for as long as the provider says, and then one of them goes ahead to see.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::classify::{Class, Whose};
use crate::{backoff::back_off, clock::Timestamp};

/// The breaker of one provider.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    failed_at: Timestamp,
    open_until: Timestamp,
    probing: bool,
    client_refused: bool,
    /// The last answer that says anything of this client accepted it.
    client_accepted: bool,
    outage: bool,
    /// Since the last failure it answered another question as it should.
    heard: bool,
    names_its_pause: bool,
    answered_at: Option<Timestamp>,
}

/// How a call is let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// As everybody.
    Normal,
    /// As the one who looks whether the trouble is over.
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
pub(super) struct Failed {
    /// Until when this grant is not to be tried again.
    pub(super) retry_at: Timestamp,
    /// With this failure an outage has begun.
    pub(super) outage_began: bool,
}

/// So many failures in a row are chance; more are an outage.
const PATIENCE: u32 = 3;
/// A refused client is asked for again once a minute.
const CONFIG_PAUSE: Duration = Duration::from_secs(60);
/// A failure says nothing of the provider after this.
const TROUBLE: Duration = Duration::from_secs(90);
/// Pauses grow between these.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// However long one answer asks us to wait, somebody looks after this.
const LONGEST_FOR_ALL: Duration = Duration::from_secs(60);

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last renewals failed, and not so long ago that somebody should look again. Of a provider that answers other
    /// questions, one failure is chance, and failures in a row are trouble all the same.
    pub(super) fn in_trouble(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.failures > 0 && now < state.failed_at.plus(TROUBLE) && (state.outage || !state.heard)
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
    pub(super) fn enter(&self, now: Timestamp, window: Option<Duration>) -> Result<Admission, Duration> {
        let mut state = self.state();
        if now < state.open_until {
            let pause = state.open_until.since(now);
            if state.probing || state.client_refused || window.is_none_or(|window| pause < window) {
                return Err(pause);
            }
            state.probing = true;
            return Ok(Admission::Normal);
        }
        let half_open = state.client_refused || state.failures >= PATIENCE;
        if half_open && state.probing {
            return Err(Duration::from_secs(1));
        }
        state.probing = half_open;
        Ok(if half_open { Admission::HalfOpenProbe } else { Admission::Normal })
    }

    /// The call was not made after all.
    pub(super) fn withdrawn(&self) {
        self.state().probing = false;
    }

    /// The provider answered as it should, were it with a dead grant. `true`: an outage is over now.
    pub(super) fn succeeded(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let recovered = state.outage;
        *state = State { answered_at: Some(now), client_accepted: true, ..State::default() };
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
    pub(super) fn failed(&self, class: Class, now: Timestamp) -> Failed {
        let mut state = self.state();
        state.probing = false;
        if class == Class::Config(Whose::Grant) || class == Class::Config(Whose::Client) {
            // A refusal without a reason may be about this client.
            state.client_accepted = false;
        }
        // What concerns one grant says nothing of the others.
        if class == Class::Config(Whose::Grant) {
            return Failed { retry_at: now.plus(CONFIG_PAUSE), outage_began: false };
        }
        state.failures = state.failures.saturating_add(1);
        (state.failed_at, state.heard) = (now, false);
        // Over when the provider answers as it should, not when it fails in another way.
        state.client_refused |= class == Class::Config(Whose::Client);
        let pause = match class {
            Class::Config(_) => CONFIG_PAUSE,
            Class::Retry(Some(wait)) => wait.max(Duration::from_millis(100)),
            Class::Retry(None) | Class::Ambiguous | Class::Dead => back_off(state.failures, FIRST_PAUSE, LONGEST),
        };
        state.names_its_pause = matches!(class, Class::Retry(Some(_)));
        let for_all = matches!(class, Class::Config(_) | Class::Retry(Some(_))) || state.failures >= PATIENCE;
        let outage_began = for_all && !state.outage;
        if for_all {
            state.outage = true;
            state.open_until = state.open_until.max(now.plus(pause.min(LONGEST_FOR_ALL)));
        }
        Failed { retry_at: now.plus(pause), outage_began }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn one_failure_stops_nobody_else_but_an_outage_lets_one_through_at_a_time() {
        let breaker = Breaker::default();
        breaker.failed(Class::Ambiguous, NOW);
        assert!(breaker.enter(NOW, None).is_ok() && breaker.in_trouble(NOW));
        assert!(!breaker.failed(Class::Ambiguous, NOW).outage_began);
        assert!(breaker.failed(Class::Ambiguous, NOW).outage_began);
        assert!(!breaker.failed(Class::Ambiguous, NOW).outage_began, "it is said once");
        assert!(breaker.enter(NOW, None).is_err());
        let later = NOW.plus(LONGEST);
        assert_eq!(breaker.enter(later, None), Ok(Admission::HalfOpenProbe));
        assert!(breaker.enter(later, None).is_err(), "one probe at a time");
        breaker.withdrawn();
        assert!(breaker.enter(later, None).is_ok());
        assert!(breaker.succeeded(later) && breaker.answered_since(later));
        assert!(breaker.enter(later, None).is_ok() && breaker.enter(later, None).is_ok() && !breaker.in_trouble(later));
    }

    #[test]
    fn a_provider_that_answers_other_questions_is_not_away_for_one_failure() {
        let breaker = Breaker::default();
        breaker.failed(Class::Ambiguous, NOW);
        breaker.was_heard();
        assert!(!breaker.in_trouble(NOW));
        breaker.failed(Class::Ambiguous, NOW);
        assert!(breaker.in_trouble(NOW), "until it is heard again");
        breaker.failed(Class::Ambiguous, NOW);
        breaker.was_heard();
        assert!(breaker.in_trouble(NOW), "failures in a row are an outage of renewals");
    }

    #[test]
    fn the_providers_own_wait_is_honoured_at_once_and_a_refused_client_is_asked_for_once_a_minute() {
        let breaker = Breaker::default();
        breaker.failed(Class::Retry(Some(Duration::from_secs(20))), NOW);
        assert_eq!(breaker.enter(NOW, None), Err(Duration::from_secs(20)));
        assert!(breaker.names_its_pause());
        breaker.failed(Class::Ambiguous, NOW);
        assert!(!breaker.names_its_pause());
        let breaker = Breaker::default();
        breaker.failed(Class::Config(Whose::Client), NOW);
        assert!(breaker.client_is_refused());
        breaker.failed(Class::Ambiguous, NOW);
        assert!(breaker.client_is_refused(), "an outage is no word about the client");
        assert_eq!(breaker.enter(NOW, None), Err(CONFIG_PAUSE));
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_ok());
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE), None).is_err());
    }

    #[test]
    fn one_grants_oddity_and_one_answers_long_wait_do_not_stop_the_others() {
        let breaker = Breaker::default();
        assert_eq!(breaker.failed(Class::Config(Whose::Grant), NOW).retry_at, NOW.plus(CONFIG_PAUSE));
        assert!(breaker.enter(NOW, None).is_ok() && !breaker.in_trouble(NOW) && breaker.pause(NOW).is_none());
        assert_eq!(
            breaker.failed(Class::Retry(Some(Duration::from_secs(600))), NOW).retry_at,
            NOW.plus(Duration::from_secs(600))
        );
        assert_eq!(breaker.pause(NOW), Some(LONGEST_FOR_ALL));
    }
}
