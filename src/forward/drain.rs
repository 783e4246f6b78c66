//! The end of tunnels and event streams in a drain. Each ends at a moment of its own, so that their clients do not all reconnect at
//! the same one; none before other replicas are known to take them, and all before the drain's deadline.

use std::{
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::secret::random;

/// The longest time at a drain's end that is left for closing.
const CLOSE_RESERVE: Duration = Duration::from_secs(5);
/// How long a tunnel may take to reach the end of a frame, and then again its peers to close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A tunnel is quiet when nothing has come for so long: most of what was asked in it has been answered.
pub(super) const QUIET: Duration = Duration::from_millis(100);
/// How long the end of a tunnel waits for it to be quiet.
const QUIET_TIMEOUT: Duration = Duration::from_secs(1);

/// A drain, which may have begun.
#[derive(Clone, Debug)]
pub struct Drain(Arc<State>);

#[derive(Debug)]
struct State {
    lasts: Duration,
    began: OnceLock<Instant>,
    begun: CancellationToken,
}

impl Drain {
    /// A drain that `lasts` so long at most. If that is zero, everything ends when the drain begins.
    pub fn new(lasts: Duration) -> Self {
        Self(Arc::new(State { lasts, began: OnceLock::new(), begun: CancellationToken::new() }))
    }

    /// Begins the drain.
    #[expect(clippy::disallowed_methods, reason = "a drain's deadline has nothing to do with tokens' times")]
    pub fn begin(&self) {
        self.0.began.get_or_init(Instant::now);
        self.0.begun.cancel();
    }

    /// Schedules the end of something within the drain.
    pub(super) fn schedule_end(&self) -> ScheduledEnd {
        let chance = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
        ScheduledEnd { after: end_after(self.0.lasts, chance), drain: self.clone() }
    }
}

/// The moment within a drain at which one thing ends.
#[derive(Clone, Debug)]
pub(super) struct ScheduledEnd {
    drain: Drain,
    after: Duration,
}

impl ScheduledEnd {
    /// Waits for the moment.
    pub(super) async fn wait(&self) {
        let State { began, begun, .. } = &*self.drain.0;
        begun.cancelled().await;
        match began.get().and_then(|began| began.checked_add(self.after)) {
            Some(moment) => tokio::time::sleep_until(moment).await,
            // One that no clock reaches.
            None => pending().await,
        }
    }

    /// The wait, to be polled.
    pub(super) fn into_future(self) -> ScheduledEndFuture {
        ScheduledEndFuture(Box::pin(async move { self.wait().await }))
    }

    /// How long after the moment a tunnel may be waited for to be quiet: [`QUIET_TIMEOUT`], or what a short drain has of it.
    pub(super) fn quiet_timeout(&self) -> Duration {
        QUIET_TIMEOUT.min(self.drain.0.lasts / 16)
    }

    /// [`CLOSE_TIMEOUT`], or what a short drain has of it.
    pub(super) fn close_timeout(&self) -> Duration {
        CLOSE_TIMEOUT.min(self.drain.0.lasts / 16)
    }
}

/// A scheduled end that is waited for.
pub(super) struct ScheduledEndFuture(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl ScheduledEndFuture {
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for ScheduledEndFuture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScheduledEndFuture")
    }
}

/// The time after a drain's begin that falls to a `chance` between 0 and 1: in the second half, before which load balancers have
/// seen that this replica is not ready, and before the last quarter, or what of that is left for closing.
fn end_after(lasts: Duration, chance: f64) -> Duration {
    let (first, last) = (lasts / 2, lasts.saturating_sub((lasts / 4).min(CLOSE_RESERVE)));
    first + last.saturating_sub(first).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_in_the_second_half_and_leave_time_for_good_byes() {
        for (lasts, first, last) in [(0, 0, 0), (8, 4, 6), (30, 15, 25), (600, 300, 595)] {
            let at = |chance| end_after(Duration::from_secs(lasts), chance).as_secs();
            assert_eq!((at(0.0), at(1.0)), (first, last), "{lasts}");
        }
        for lasts in [0, 1, 8, 30, 600].map(Duration::from_secs) {
            let end = Drain::new(lasts).schedule_end();
            assert!(end_after(lasts, 1.0) + end.quiet_timeout() + 2 * end.close_timeout() <= lasts, "{lasts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_drain_began_ends_no_later_for_that() {
        let second = Duration::from_secs(1);
        let drain = Drain::new(8 * second);
        let early = drain.schedule_end();
        assert!(tokio::time::timeout(60 * second, early.wait()).await.is_err(), "it has not begun");
        drain.begin();
        assert!(tokio::time::timeout(3 * second, early.wait()).await.is_err(), "it is too early");
        let late = drain.schedule_end();
        tokio::time::timeout(4 * second, async { tokio::join!(early.wait(), late.into_future().0) }).await.expect("within 7 s");
        drain.begin();
        // A second begin that counted would put the end 4 s or more from here; the moments of one drain lie within 2 s.
        tokio::time::timeout(3 * second, drain.schedule_end().wait()).await.expect("it begins once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_without_time_ends_everything_when_it_begins() {
        let drain = Drain::new(Duration::ZERO);
        drain.begin();
        assert!(tokio::time::timeout(Duration::from_millis(10), drain.schedule_end().wait()).await.is_ok());
    }
}
