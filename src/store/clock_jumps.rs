//! Notices that the database's clock has jumped ahead, as after a failover to a server whose clock differs. All that was dated before looks
//! older then than it is: a replica that lives seems to have had no heartbeat for long, and the lease of a token call that is under way
//! seems to have expired.

use std::time::Duration;

use crate::{
    clock::{Stopwatch, Timestamp},
    lock::Mutex,
};

/// A clock that gains no more than this between two heartbeats has not jumped. Nothing here expires by so little.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The database's clock as this replica's heartbeats show it.
#[derive(Debug, Default)]
pub(super) struct ClockJumps {
    /// The last heartbeat's time by the database, and when it was begun.
    last: Mutex<Option<(Timestamp, Stopwatch)>>,
    noticed: Mutex<Option<Stopwatch>>,
}

impl ClockJumps {
    /// Takes the database's time of a heartbeat, and when it was `begun` here. Returns how far the clock has jumped ahead since the last
    /// one, if it has.
    pub(super) fn observe(&self, at: Timestamp, begun: Stopwatch) -> Option<Duration> {
        let (before, since) = self.last.lock().replace((at, begun))?;
        // No more time than this can have passed between the two, however long each took.
        let ahead = at.since(before).saturating_sub(since.elapsed());
        if ahead <= TOLERANCE {
            return None;
        }
        *self.noticed.lock() = Some(Stopwatch::start());
        Some(ahead)
    }

    /// Whether a jump was noticed within this time.
    pub(super) fn has_been_within(&self, time: Duration) -> bool {
        self.noticed.lock().is_some_and(|noticed| noticed.elapsed() < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_has_jumped_that_gained_more_than_the_time_that_can_have_passed() {
        let jumps = ClockJumps::default();
        let minute = Duration::from_secs(60);
        let heard = |millis| jumps.observe(Timestamp(millis), Stopwatch::start());
        assert_eq!(heard(500_000), None, "there is nothing to compare it with");
        assert_eq!(heard(501_000), None);
        assert_eq!(heard(200_000), None, "one that is set back makes nothing older");
        assert!(!jumps.has_been_within(minute));
        assert!(heard(210_000).is_some_and(|ahead| ahead > Duration::from_secs(8)));
        assert!(jumps.has_been_within(minute) && !jumps.has_been_within(Duration::ZERO));
        assert_eq!(heard(210_500), None, "it runs on from there");
        assert!(jumps.has_been_within(minute));
    }
}
