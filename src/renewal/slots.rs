//! Limits the concurrent token refreshes of one replica, and adapts the limit to the provider's rate limit as TCP does (RFC 5681,
//! slow start and congestion avoidance): a 429 response sets it to one; then it doubles with each round of successes up to half
//! of the limit that was too high, then grows by one a round. So replicas that know nothing of each other find what the provider
//! bears together, and few calls are refused on the way.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    clock::Timestamp,
    lock::{Mutex, MutexGuard},
};

/// The slots of one provider.
#[derive(Debug)]
pub(super) struct Slots {
    free: Semaphore,
    most: usize,
    state: Mutex<SlotState>,
}

#[derive(Debug)]
struct SlotState {
    limit: usize,
    /// The limit doubles up to here.
    known_good: usize,
    /// Slots in use that are removed when they are released.
    surplus: usize,
    successes: usize,
    throttled_at: Option<Timestamp>,
}

/// Throttling responses within this time count once.
const ONE_ROUND: Duration = Duration::from_secs(1);

/// The right to make one token call.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    permit: Option<SemaphorePermit<'a>>,
}

impl Slots {
    /// Creates `most` slots.
    pub(super) fn new(most: usize) -> Self {
        let state = SlotState { limit: most, known_good: most, surplus: 0, successes: 0, throttled_at: None };
        Self { free: Semaphore::new(most), most, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Waits for a slot, in FIFO order.
    pub(super) async fn acquire(&self) -> Option<Slot<'_>> {
        let permit = self.free.acquire().await.ok()?;
        Some(Slot { slots: self, permit: Some(permit) })
    }

    /// Records that the provider's rate limit was exceeded.
    pub(super) fn throttled(&self, now: Timestamp) {
        let mut state = self.state();
        if state.throttled_at.is_some_and(|at| now.since(at) < ONE_ROUND && now >= at) {
            return;
        }
        let (known_good, fewer) = ((state.limit / 2).max(1), state.limit - 1);
        let taken = self.free.forget_permits(fewer);
        *state =
            SlotState { limit: 1, known_good, surplus: state.surplus + fewer - taken, successes: 0, throttled_at: Some(now) };
    }

    /// Records a success.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        if state.limit == self.most {
            return;
        }
        state.successes += 1;
        if state.limit < state.known_good || state.successes >= state.limit {
            state.successes = 0;
            state.limit += 1;
            if state.surplus > 0 {
                state.surplus -= 1;
            } else {
                self.free.add_permits(1);
            }
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[tokio::test]
    async fn the_limit_falls_to_one_once_a_round_and_grows_back_with_success() {
        let slots = Slots::new(8);
        let figures = || {
            let state = slots.state();
            (state.limit, slots.free.available_permits(), state.surplus)
        };
        let held: Vec<_> = [slots.acquire().await, slots.acquire().await, slots.acquire().await].into_iter().flatten().collect();
        slots.throttled(NOW);
        slots.throttled(NOW);
        assert_eq!(figures(), (1, 0, 2), "three are in use");
        drop(held);
        assert_eq!(figures(), (1, 1, 0), "two did not come back");
        let limits: Vec<_> = (0..12)
            .map(|_| {
                slots.succeeded();
                figures().0
            })
            .collect();
        assert_eq!(limits, [2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6], "doubling to half of what was too many, then one a round");
        slots.throttled(NOW.plus(ONE_ROUND));
        assert_eq!(figures(), (1, 1, 0));
        for _ in 0..100 {
            slots.succeeded();
        }
        assert_eq!(figures(), (8, 8, 0));
        for round in 2..20 {
            slots.throttled(NOW.plus(ONE_ROUND * round));
        }
        assert_eq!(slots.free.available_permits(), 1, "one is always left");
    }
}
