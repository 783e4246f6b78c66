//! Time as a parameter: all code takes the time from a [`Clock`], so that tests can move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch, the format in which times are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Adds `later`, saturating.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(millis(later)))
    }

    /// The moment before: an end that holds until then spares what begins now.
    pub fn just_before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Subtracts `earlier`, saturating.
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(millis(earlier)))
    }

    /// Returns the time since `earlier`; zero if that lies after this moment.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether `other` is less than `span` away from this moment, to either side: what a clock that was set back since has dated in
    /// the future counts for no longer than anything else.
    pub fn is_within(self, span: Duration, other: Self) -> bool {
        self.since(other).max(other.since(self)) < span
    }

    /// How long it is from this moment to the end of a pause that is `longest` at most. `None`: it is over, or so far away that a
    /// clock was wrong when it began, and has been set back since.
    pub fn pause_until(self, end: Self, longest: Duration) -> Option<Duration> {
        let pause = end.since(self);
        (!pause.is_zero() && pause <= longest).then_some(pause)
    }

    /// Returns whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// Converts a duration to milliseconds, saturating.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Measures durations with the machine's monotonic clock, which tests do not move: for everything but tokens' times.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the steady clock")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A source of the current time.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// A clock that moves only by [`Clock::advance`].
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Creates a manual clock that starts at the current time.
    pub fn manual() -> Self {
        Self::Manual(Arc::new(AtomicI64::new(system_millis())))
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(system_millis()),
            Self::Manual(at) => Timestamp(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward; has no effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        self.shift(millis(by));
    }

    /// Sets a manual clock back, as a machine's that was wrong is; has no effect on the system's clock.
    pub fn set_back(&self, by: Duration) {
        self.shift(-millis(by));
    }

    fn shift(&self, by: i64) {
        match self {
            Self::System => {}
            Self::Manual(at) => {
                at.fetch_add(by, Ordering::Relaxed);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one home of the wall clock")]
fn system_millis() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        // A clock set before 1970: every stored time lies in its future, so nothing expires by mistake.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_future_of_a_clock_that_was_set_back_counts_no_longer_than_anything_else() {
        let (now, minute, second) = (Timestamp(10_000_000), Duration::from_secs(60), Duration::from_secs(1));
        for (other, expected) in [
            (now, true),
            (now.minus(minute - second), true),
            (now.plus(minute - second), true),
            (now.minus(minute), false),
            (now.plus(minute), false),
            (now.plus(60 * minute), false),
            (Timestamp::default(), false),
        ] {
            assert_eq!(now.is_within(minute, other), expected, "{other:?}");
        }
        for (end, expected) in [
            (now, None),
            (now.minus(second), None),
            (now.plus(second), Some(second)),
            (now.plus(minute), Some(minute)),
            (now.plus(minute + second), None),
            (now.plus(60 * minute), None),
        ] {
            assert_eq!(now.pause_until(end, minute), expected, "{end:?}");
        }
    }
}
