//! Events that could not be taken: each is tried again after pauses of its own, and holds up no other, unless they are so many that they
//! fill an answer of the transmitter.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::{backoff::back_off, clock::Stopwatch};

/// The longest pause before an event is tried again: somebody is to be ended.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause between two polls while any event is put off: what is new at the transmitter waits no longer than that.
const MAX_POLL_PAUSE: Duration = Duration::from_secs(5);

/// Events that are tried again later, by their identifiers.
#[derive(Debug, Default)]
pub(super) struct PutOff(HashMap<String, Tries>);

#[derive(Debug)]
struct Tries {
    failures: u32,
    since: Stopwatch,
    pause: Duration,
}

impl PutOff {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether an event may be tried.
    pub(super) fn is_due(&self, id: &str) -> bool {
        self.0.get(id).is_none_or(|tries| tries.since.elapsed() >= tries.pause)
    }

    /// The pause before the next poll: the shortest before any of them is tried again, within bounds. They come with each answer, so that
    /// polls without end at `interval` would bring all of them twice a second, to no end.
    pub(super) fn poll_pause(&self, interval: Duration) -> Duration {
        let shortest = self.0.values().map(|tries| tries.pause).min().unwrap_or_default();
        shortest.min(MAX_POLL_PAUSE).max(interval)
    }

    /// Puts an event off that could not be taken. Returns whether it is the first time.
    pub(super) fn put_off(&mut self, id: String, first: Duration) -> bool {
        let tries = self.0.entry(id).or_insert(Tries { failures: 0, since: Stopwatch::start(), pause: first });
        tries.failures = tries.failures.saturating_add(1);
        (tries.since, tries.pause) = (Stopwatch::start(), back_off(tries.failures, first, MAX_PAUSE));
        tries.failures == 1
    }

    /// Forgets an event that is done with.
    pub(super) fn done(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Forgets all but these, which the transmitter still has.
    pub(super) fn keep(&mut self, ids: &HashSet<String>) {
        self.0.retain(|id, _| ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_put_off_by_itself_until_it_is_done_with_or_gone() {
        let (mut put_off, long) = (PutOff::default(), Duration::from_secs(20));
        assert!(put_off.put_off("a".into(), long) && !put_off.put_off("a".into(), long));
        assert!(!put_off.is_due("a") && put_off.is_due("b"));
        assert!(put_off.put_off("b".into(), Duration::ZERO) && put_off.is_due("b"));
        assert_eq!(put_off.len(), 2);
        put_off.done("a");
        assert!(put_off.is_due("a"));
        put_off.keep(&HashSet::new());
        assert_eq!(put_off.len(), 0);
    }

    #[test]
    fn the_longer_events_are_put_off_the_less_often_they_are_polled() {
        let (mut put_off, interval) = (PutOff::default(), Duration::from_millis(500));
        assert_eq!(put_off.poll_pause(interval), interval, "nothing is put off");
        put_off.put_off("a".into(), interval);
        assert_eq!(put_off.poll_pause(interval), interval, "no pause is shorter");
        for _ in 0..3 {
            put_off.put_off("a".into(), interval);
        }
        let pause = put_off.poll_pause(interval);
        assert!(pause >= interval * 4 && pause <= MAX_POLL_PAUSE, "half of it is random: {pause:?}");
        for _ in 0..10 {
            put_off.put_off("a".into(), interval);
        }
        assert_eq!(put_off.poll_pause(interval), MAX_POLL_PAUSE);
        put_off.put_off("b".into(), interval);
        assert_eq!(put_off.poll_pause(interval), interval, "one is tried again soon");
    }
}
