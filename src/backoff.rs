//! How long to wait before a retry: exponential backoff with jitter for us, and what a client is told.

use std::time::Duration;

use crate::secret::random;

/// After how long a client is told to send a request again that would probably pass then (`Retry-After`), where nobody knows it better.
pub const SOON: Duration = Duration::from_secs(2);

/// Returns the pause after `failures` consecutive failures: `first`, then twice as long each time up to `longest`. Half of it is
/// random, so that replicas that failed together do not retry together.
pub fn back_off(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let full = first.saturating_mul(1 << doublings).min(longest);
    let [chance] = random::<1>();
    full / 2 + full / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        for failures in 0..100 {
            let pause = back_off(failures, first, longest);
            assert!(pause >= first / 2 && pause <= longest, "{failures}: {pause:?}");
        }
        assert!(back_off(1, first, longest) <= first);
        assert!(back_off(50, first, longest) >= longest / 2);
    }
}
