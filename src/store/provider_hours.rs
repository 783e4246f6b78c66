//! Token refreshes as hourly aggregates: what waits to be written, and what is read.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    client_registration::ClientRegistration,
    clock::{Timestamp, millis},
    lock::{Mutex, MutexGuard},
};

/// The upper bounds of the classes of durations, in milliseconds. What takes longer than all is in a class of its own.
pub const LATENCY_BOUNDS: [i64; 10] = [25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800];

/// An hour in milliseconds.
const HOUR: i64 = 3_600_000;

/// Token refreshes of one hour at one provider that came to the same and took about as long.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProviderHour {
    /// When the hour began.
    pub hour: Timestamp,
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// The outcome class, as events name it.
    pub outcome: String,
    /// The place in [`LATENCY_BOUNDS`] of the first bound that is no shorter.
    pub bucket: usize,
    /// How many there were.
    pub calls: i64,
}

/// What tells the aggregates of different rows apart, in the order in which replicas write them.
pub(super) type Key = (i64, String, String, String, usize);

/// Token refreshes that wait to be written.
#[derive(Debug, Default)]
pub(super) struct HourBuffer(Mutex<BTreeMap<Key, i64>>);

impl ProviderHour {
    /// The client registration.
    pub fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

impl HourBuffer {
    pub(super) fn count(&self, registration: ClientRegistration<'_>, outcome: &str, took: Duration, at: Timestamp) {
        let hour = at.0.div_euclid(HOUR).saturating_mul(HOUR);
        let took = millis(took);
        let bucket = LATENCY_BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        let key = (hour, registration.issuer.to_owned(), registration.client_id.to_owned(), outcome.to_owned(), bucket);
        *self.waiting().entry(key).or_insert(0) += 1;
    }

    /// Takes all out.
    pub(super) fn take(&self) -> Vec<(Key, i64)> {
        std::mem::take(&mut *self.waiting()).into_iter().collect()
    }

    /// Puts back what was taken out and not written.
    pub(super) fn put_back(&self, rows: Vec<(Key, i64)>) {
        let mut waiting = self.waiting();
        for (key, calls) in rows {
            *waiting.entry(key).or_insert(0) += calls;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Key, i64>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_an_hour_that_came_to_the_same_are_one_row() {
        let buffer = HourBuffer::default();
        let registration = ClientRegistration { issuer: "idp", client_id: "c" };
        let count = |outcome, took, at| buffer.count(registration, outcome, Duration::from_millis(took), Timestamp(at));
        for (outcome, took, at) in
            [("ok", 25, HOUR), ("ok", 3, 2 * HOUR - 1), ("ok", 26, HOUR), ("dead", 99_999, HOUR), ("ok", 1, 2 * HOUR)]
        {
            count(outcome, took, at);
        }
        let row =
            |hour, outcome: &str, bucket, calls| ((hour, "idp".to_owned(), "c".to_owned(), outcome.to_owned(), bucket), calls);
        let rows = vec![row(HOUR, "dead", 10, 1), row(HOUR, "ok", 0, 2), row(HOUR, "ok", 1, 1), row(2 * HOUR, "ok", 0, 1)];
        let taken = buffer.take();
        assert_eq!(taken, rows);
        count("ok", 1, HOUR);
        buffer.put_back(taken);
        assert_eq!(buffer.take().get(1).map(|(_, calls)| *calls), Some(3), "nothing is lost, and nothing counted twice");
    }
}
