//! Single-flight: one token refresh per grant and process. Later callers wait for its outcome; once a wait for it has timed out,
//! no more callers wait; and after the store failed it, none starts until a back-off is over.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::result::Outcome;
use crate::{
    backoff::back_off,
    grant::GrantId,
    lock::{Mutex, MutexGuard},
};

/// The token refreshes under way, and the grants whose refresh the store has just failed.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<FlightState>);

#[derive(Debug, Default)]
struct FlightState {
    under_way: HashMap<GrantId, Flight>,
    backing_off: HashMap<GrantId, Backoff>,
}

/// A token refresh under way, which callers can wait for.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    receiver: watch::Receiver<Option<Outcome>>,
    wait_timed_out: Arc<AtomicBool>,
}

/// A grant that is backing off after failures of the store.
#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// How long after its pause a failure is forgotten.
const FAILURE_TTL: Duration = Duration::from_secs(60);
/// The number of grants backing off above which old entries are removed.
const CLEANUP_THRESHOLD: usize = 1024;

impl Flight {
    /// Waits for the outcome.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Unavailable(Duration::from_secs(1))),
            // The task was dropped, as at a shutdown whose deadline passed.
            Err(_) => Outcome::Unavailable(Duration::from_secs(1)),
        }
    }
}

impl Flights {
    fn state(&self) -> MutexGuard<'_, FlightState> {
        self.0.lock()
    }

    /// Joins the grant's token refresh, or registers one that the caller starts and whose outcome it sends.
    pub(super) fn join(&self, id: GrantId) -> (Flight, Option<watch::Sender<Option<Outcome>>>) {
        let mut state = self.state();
        if let Some(flight) = state.under_way.get(&id) {
            return (flight.clone(), None);
        }
        let (sender, receiver) = watch::channel(None);
        let flight = Flight { receiver, wait_timed_out: Arc::default() };
        state.under_way.insert(id, flight.clone());
        (flight, Some(sender))
    }

    /// Removes a flight that was registered, when it is dropped.
    pub(super) fn guard(&self, id: GrantId) -> InFlightGuard<'_> {
        InFlightGuard { flights: self, id }
    }

    /// Records that a request's wait for a grant's refresh timed out.
    pub(super) fn record_wait_timeout(&self, id: GrantId) {
        if let Some(flight) = self.state().under_way.get(&id) {
            flight.wait_timed_out.store(true, Ordering::Relaxed);
        }
    }

    /// Whether waiting for a grant's refresh makes no sense now: a wait for it has timed out, or the store has just failed it.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    pub(super) fn is_not_worth_waiting(&self, id: GrantId) -> bool {
        let state = self.state();
        state.under_way.get(&id).is_some_and(|flight| flight.wait_timed_out.load(Ordering::Relaxed))
            || state.backing_off.get(&id).is_some_and(|backoff| Instant::now() < backoff.until)
    }

    /// Records that the store failed a grant's refresh, which then backs off exponentially.
    #[expect(clippy::disallowed_methods, reason = "pauses have nothing to do with tokens' times")]
    pub(super) fn record_store_failure(&self, id: GrantId) {
        let (mut state, now) = (self.state(), Instant::now());
        if state.backing_off.len() >= CLEANUP_THRESHOLD {
            state.backing_off.retain(|_, backoff| now < backoff.until + FAILURE_TTL);
        }
        let before =
            state.backing_off.get(&id).filter(|backoff| now < backoff.until + FAILURE_TTL).map_or(0, |backoff| backoff.failures);
        let failures = before.saturating_add(1);
        state.backing_off.insert(id, Backoff { failures, until: now + back_off(failures, FIRST_PAUSE, MAX_PAUSE) });
    }

    /// Records that the store did not fail this time.
    pub(super) fn clear_failures(&self, id: GrantId) {
        self.state().backing_off.remove(&id);
    }
}

/// Removes a flight from the list, however it ends.
pub(super) struct InFlightGuard<'a> {
    flights: &'a Flights,
    id: GrantId,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.flights.state().under_way.remove(&self.id);
    }
}
