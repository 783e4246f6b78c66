//! Request ids: unique for a very long time, in no order that shows how many requests there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::secret::random;

/// Where request ids come from.
#[derive(Clone, Debug)]
pub struct RequestIds {
    counter: Arc<AtomicU64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { counter: Arc::new(AtomicU64::new(u64::from_le_bytes(random()))) }
    }
}

impl RequestIds {
    /// Returns the next id: a counter from a random start, mixed by the steps of SplitMix64, each of which can be undone, so
    /// that no two counts give the same id.
    pub(super) fn next(&self) -> u64 {
        let count = self.counter.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (count ^ (count >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_comes_twice() {
        let ids = RequestIds::default();
        let all: std::collections::HashSet<_> = (0..100_000).map(|_| ids.next()).collect();
        assert_eq!(all.len(), 100_000);
    }
}
