//! What keeps a provider in trouble from being hammered: after failures in a row, renewals pause for growing
//! times or for as long as the provider says, and then one of them goes ahead to see.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::classify::{Class, Whose};
use crate::{clock::Timestamp, secret::random};

/// The breaker of one provider.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    failed_at: Timestamp,
    closed_until: Timestamp,
    probing: bool,
    client_refused: bool,
    outage: bool,
    names_its_pause: bool,
    answered_at: Option<Timestamp>,
}

/// The leave to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// As everybody.
    Free,
    /// As the one who looks whether the trouble is over.
    ToLook,
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
const LONGEST: Duration = Duration::from_secs(30);
/// However long one answer asks us to wait, somebody looks after this.
const LONGEST_FOR_ALL: Duration = Duration::from_secs(60);

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last renewals failed, and not so long ago that somebody should look again.
    pub(super) fn in_trouble(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.failures > 0 && now < state.failed_at.plus(TROUBLE)
    }

    /// Whether the last answers were that this client is refused.
    pub(super) fn client_is_refused(&self) -> bool {
        self.state().client_refused
    }

    /// Whether the last answer said when to come again, as of a provider that is at its limit and not away.
    pub(super) fn names_its_pause(&self) -> bool {
        self.state().names_its_pause
    }

    /// Asks to make one call. Whoever may must report with [`Breaker::succeeded`], [`Breaker::failed`] or
    /// [`Breaker::withdrawn`].
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn enter(&self, now: Timestamp) -> Result<Leave, Duration> {
        let mut state = self.state();
        if now < state.closed_until {
            return Err(state.closed_until.since(now));
        }
        let half_open = state.client_refused || state.failures >= PATIENCE;
        if half_open && state.probing {
            return Err(Duration::from_secs(1));
        }
        state.probing = half_open;
        Ok(if half_open { Leave::ToLook } else { Leave::Free })
    }

    /// The call was not made after all.
    pub(super) fn withdrawn(&self) {
        self.state().probing = false;
    }

    /// The provider answered as it should, were it with a dead grant. `true`: an outage is over now.
    pub(super) fn succeeded(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let recovered = state.outage;
        *state = State { answered_at: Some(now), ..State::default() };
        recovered
    }

    /// Whether the provider has answered as it should since `then`.
    pub(super) fn answered_since(&self, then: Timestamp) -> bool {
        self.state().answered_at.is_some_and(|at| at >= then)
    }

    /// How long nobody may call, as far as is known now.
    pub(super) fn pause(&self, now: Timestamp) -> Option<Duration> {
        let closed_until = self.state().closed_until;
        (now < closed_until).then(|| closed_until.since(now))
    }

    /// The call failed.
    pub(super) fn failed(&self, class: Class, now: Timestamp) -> Failed {
        let mut state = self.state();
        state.probing = false;
        // What concerns one grant says nothing of the others.
        if class == Class::Config(Whose::Grant) {
            return Failed { retry_at: now.plus(CONFIG_PAUSE), outage_began: false };
        }
        state.failures = state.failures.saturating_add(1);
        state.failed_at = now;
        // Over when the provider answers as it should, not when it fails in another way.
        state.client_refused |= class == Class::Config(Whose::Client);
        let pause = match class {
            Class::Config(_) => CONFIG_PAUSE,
            Class::Retry(Some(wait)) => wait.max(Duration::from_millis(100)),
            Class::Retry(None) | Class::Ambiguous | Class::Dead => back_off(state.failures),
        };
        state.names_its_pause = matches!(class, Class::Retry(Some(_)));
        let for_all = matches!(class, Class::Config(_) | Class::Retry(Some(_))) || state.failures >= PATIENCE;
        let outage_began = for_all && !state.outage;
        if for_all {
            state.outage = true;
            state.closed_until = state.closed_until.max(now.plus(pause.min(LONGEST_FOR_ALL)));
        }
        Failed { retry_at: now.plus(pause), outage_began }
    }
}

/// Twice as long each time from half a second on, and half of it by chance, so that replicas spread.
fn back_off(failures: u32) -> Duration {
    let full = Duration::from_millis(500).saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST);
    let [chance] = random::<1>();
    full / 2 + full / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn one_failure_stops_nobody_else_but_an_outage_lets_one_through_at_a_time() {
        let breaker = Breaker::default();
        breaker.failed(Class::Ambiguous, NOW);
        assert!(breaker.enter(NOW).is_ok() && breaker.in_trouble(NOW));
        assert!(!breaker.failed(Class::Ambiguous, NOW).outage_began);
        assert!(breaker.failed(Class::Ambiguous, NOW).outage_began);
        assert!(!breaker.failed(Class::Ambiguous, NOW).outage_began, "it is said once");
        assert!(breaker.enter(NOW).is_err());
        let later = NOW.plus(LONGEST);
        assert_eq!(breaker.enter(later), Ok(Leave::ToLook));
        assert!(breaker.enter(later).is_err(), "one probe at a time");
        breaker.withdrawn();
        assert!(breaker.enter(later).is_ok());
        assert!(breaker.succeeded(later) && breaker.answered_since(later));
        assert!(breaker.enter(later).is_ok() && breaker.enter(later).is_ok() && !breaker.in_trouble(later));
    }

    #[test]
    fn the_providers_own_wait_is_honoured_at_once_and_a_refused_client_is_asked_for_once_a_minute() {
        let breaker = Breaker::default();
        breaker.failed(Class::Retry(Some(Duration::from_secs(20))), NOW);
        assert_eq!(breaker.enter(NOW), Err(Duration::from_secs(20)));
        assert!(breaker.names_its_pause());
        breaker.failed(Class::Ambiguous, NOW);
        assert!(!breaker.names_its_pause());
        let breaker = Breaker::default();
        breaker.failed(Class::Config(Whose::Client), NOW);
        assert!(breaker.client_is_refused());
        breaker.failed(Class::Ambiguous, NOW);
        assert!(breaker.client_is_refused(), "an outage is no word about the client");
        assert_eq!(breaker.enter(NOW), Err(CONFIG_PAUSE));
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE)).is_ok());
        assert!(breaker.enter(NOW.plus(CONFIG_PAUSE)).is_err());
    }

    #[test]
    fn one_grants_oddity_and_one_answers_long_wait_do_not_stop_the_others() {
        let breaker = Breaker::default();
        assert_eq!(breaker.failed(Class::Config(Whose::Grant), NOW).retry_at, NOW.plus(CONFIG_PAUSE));
        assert!(breaker.enter(NOW).is_ok() && !breaker.in_trouble(NOW) && breaker.pause(NOW).is_none());
        assert_eq!(
            breaker.failed(Class::Retry(Some(Duration::from_secs(600))), NOW).retry_at,
            NOW.plus(Duration::from_secs(600))
        );
        assert_eq!(breaker.pause(NOW), Some(LONGEST_FOR_ALL));
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        for failures in 1..100 {
            let pause = back_off(failures);
            assert!(pause >= Duration::from_millis(250) && pause <= LONGEST, "{failures}: {pause:?}");
        }
        assert!(back_off(50) >= LONGEST / 2);
    }
}
