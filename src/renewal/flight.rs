//! Single-flight: one renewal of a grant per process. Who comes second waits for the first one's outcome; who comes after somebody
//! has waited in vain does not wait, and who comes after the store failed it does not try.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Engine, Outcome};
use crate::{
    backoff::back_off,
    grant::{Grant, GrantId},
};

/// The renewals that are under way, and the grants whose renewal the store has just failed.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<FlightState>);

#[derive(Debug, Default)]
struct FlightState {
    under_way: HashMap<GrantId, Flight>,
    resting: HashMap<GrantId, Rest>,
}

/// A renewal that somebody waits for.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    told: watch::Receiver<Option<Outcome>>,
    waited_in_vain: Arc<AtomicBool>,
}

/// A grant that is not tried again before.
#[derive(Clone, Copy, Debug)]
struct Rest {
    failures: u32,
    until: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A failure says nothing any more this long after its pause.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// With so many grants at rest, those whose time is over are looked for.
const MANY: usize = 1024;

impl Flight {
    /// What became of it.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.told.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Unavailable(Duration::from_secs(1))),
            // The task was dropped, as in a shutdown whose deadline passed.
            Err(_) => Outcome::Unavailable(Duration::from_secs(1)),
        }
    }
}

impl Flights {
    fn state(&self) -> MutexGuard<'_, FlightState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has waited for a grant's renewal for as long as requests do.
    pub(super) fn was_waited_for(&self, id: GrantId) {
        if let Some(flight) = self.state().under_way.get(&id) {
            flight.waited_in_vain.store(true, Ordering::Relaxed);
        }
    }

    /// Whether waiting for a grant's renewal is of no use now: somebody has waited for it in vain, or the store failed it.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    pub(super) fn is_hopeless(&self, id: GrantId) -> bool {
        let state = self.state();
        state.under_way.get(&id).is_some_and(|flight| flight.waited_in_vain.load(Ordering::Relaxed))
            || state.resting.get(&id).is_some_and(|rest| Instant::now() < rest.until)
    }

    /// The store failed a grant's renewal: it is not tried again for a while that grows with each failure.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    pub(super) fn rest(&self, id: GrantId) {
        let (mut state, now) = (self.state(), Instant::now());
        if state.resting.len() >= MANY {
            state.resting.retain(|_, rest| now < rest.until + FORGOTTEN);
        }
        let before = state.resting.get(&id).filter(|rest| now < rest.until + FORGOTTEN).map_or(0, |rest| rest.failures);
        let failures = before.saturating_add(1);
        state.resting.insert(id, Rest { failures, until: now + back_off(failures, FIRST_PAUSE, LONGEST_PAUSE) });
    }

    /// The store has not failed it this time.
    pub(super) fn rested(&self, id: GrantId) {
        self.state().resting.remove(&id);
    }
}

impl Engine {
    /// Joins the grant's renewal, or starts one that no request can cancel.
    pub(super) fn start(self: &Arc<Self>, grant: &Grant) -> Flight {
        let mut state = self.flights.state();
        if let Some(flight) = state.under_way.get(&grant.id) {
            return flight.clone();
        }
        let (tell, told) = watch::channel(None);
        let flight = Flight { told, waited_in_vain: Arc::default() };
        state.under_way.insert(grant.id, flight.clone());
        drop(state);
        let (engine, id, generation) = (Arc::clone(self), grant.id, grant.generation);
        self.tasks.spawn(async move {
            let in_flight = InFlightGuard { engine: &engine, id };
            let outcome = engine.renew(id, generation).await;
            // Taken off before it is told: who comes after this outcome must not be handed it as its own.
            drop(in_flight);
            tell.send_replace(Some(outcome));
        });
        flight
    }
}

/// Takes a flight off the list however it ends.
struct InFlightGuard<'a> {
    engine: &'a Engine,
    id: GrantId,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.engine.flights.state().under_way.remove(&self.id);
    }
}
