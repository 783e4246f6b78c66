//! One renewal of a grant per process: who comes second waits for the first one's outcome.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{Engine, Outcome};
use crate::grant::{Grant, GrantId};

/// The renewals that are under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<GrantId, Flight>>);

/// A renewal that somebody waits for.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<Option<Outcome>>);

impl Flight {
    /// What became of it.
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Unavailable(std::time::Duration::from_secs(1))),
            // The task was dropped, as in a shutdown whose deadline passed.
            Err(_) => Outcome::Unavailable(std::time::Duration::from_secs(1)),
        }
    }
}

impl Engine {
    /// Joins the grant's renewal, or starts one that no request can cancel.
    pub(super) fn start(self: &Arc<Self>, grant: &Grant) -> Flight {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&grant.id) {
            return flight.clone();
        }
        let (tell, told) = watch::channel(None);
        let flight = Flight(told);
        flights.insert(grant.id, flight.clone());
        drop(flights);
        let (engine, id, generation) = (Arc::clone(self), grant.id, grant.generation);
        self.tasks.spawn(async move {
            let landing = Landing { engine: &engine, id };
            let outcome = engine.renew(id, generation).await;
            // Taken off before it is told: who comes after this outcome must not be handed it as its own.
            drop(landing);
            tell.send_replace(Some(outcome));
        });
        flight
    }
}

/// Takes a flight off the list however it ends.
struct Landing<'a> {
    engine: &'a Engine,
    id: GrantId,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.engine.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
