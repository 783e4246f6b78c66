//! Which changes were announced, by counters: whatever is looked up after a counter was read is valid until it moves.
//!
//! Sessions and grants share a table of counters by their keys, so that the change of one says nothing about nearly all others.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::Timestamp,
    grant::GrantId,
    lock::{Mutex, MutexGuard},
    session::SessionHash,
};

/// How many counters there are. At 500 changes a second, one in 700 loads of 3 ms meets the change of another record.
const STRIPES: usize = 1024;

/// The changes that were announced to this replica.
#[derive(Debug)]
pub(super) struct Changes {
    /// Counts, in steps of two, the times at which anything may have changed unheard. The lowest bit says whether announcements
    /// arrive.
    era: AtomicU64,
    /// The eras before and when they ended, the newest last.
    ended: Mutex<VecDeque<(u64, Timestamp)>>,
    stripes: Box<[Stripe]>,
}

/// How many eras are remembered: more than end within the longest sensible grace.
const MAX_ENDED: usize = 1024;

#[derive(Debug, Default)]
struct Stripe {
    changes: AtomicU64,
    /// Held while entries come and go, so that none comes after the announcement that it is out of date.
    filling: Mutex<()>,
}

/// What was known of a record's changes at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub(super) era: u64,
    stripe: usize,
    changes: u64,
}

/// What identifies a record: random bytes.
pub(super) trait Key {
    /// The first of the bytes.
    fn head(&self) -> [u8; 2];
}

impl Key for SessionHash {
    fn head(&self) -> [u8; 2] {
        self.0.first_chunk().copied().unwrap_or_default()
    }
}

impl Key for GrantId {
    fn head(&self) -> [u8; 2] {
        self.0.first_chunk().copied().unwrap_or_default()
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self { era: AtomicU64::new(0), ended: Mutex::default(), stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }
}

impl Changes {
    /// Reads a record's counters.
    pub(super) fn version(&self, key: &impl Key) -> Version {
        let stripe = usize::from(u16::from_le_bytes(key.head())) % STRIPES;
        // The era first: whoever sees the new era sees what belongs to it.
        let era = self.era();
        Version { era, stripe, changes: self.count(stripe) }
    }

    /// Whether announcements arrive, and none has concerned the record since.
    pub(super) fn is_current(&self, version: &Version) -> bool {
        let era = self.era();
        hears(era) && era == version.era && self.count(version.stripe) == version.changes
    }

    /// Runs `keep` if nothing was announced of the record since `version`. Until it returns, nothing is. What is kept of an era that
    /// has ended meanwhile is not used, and may be remembered.
    pub(super) fn unless_changed(&self, version: &Version, keep: impl FnOnce()) {
        let _filling = self.fill(version.stripe);
        if self.count(version.stripe) == version.changes {
            keep();
        }
    }

    /// Counts a change of a record, and runs `forget` before anything that was loaded earlier can be kept.
    pub(super) fn record(&self, key: &impl Key, forget: impl FnOnce()) {
        let Version { stripe, .. } = self.version(key);
        let _filling = self.fill(stripe);
        if let Some(stripe) = self.stripes.get(stripe) {
            stripe.changes.fetch_add(1, Ordering::AcqRel);
        }
        forget();
    }

    /// The era, in which what was loaded stays valid until a change of it is announced.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Begins a new era, because announcements arrive (`hears`) or do not from now on.
    pub(super) fn begin_era(&self, hears: bool, now: Timestamp) {
        let mut ended = self.ended();
        ended.push_back((self.era(), now));
        if ended.len() > MAX_ENDED {
            ended.pop_front();
        }
        self.era.store(next_era(self.era(), hears), Ordering::Release);
    }

    /// Begins a new era, because anything may have changed, and forgets the ones before.
    pub(super) fn begin_anew(&self) {
        let mut ended = self.ended();
        ended.clear();
        self.era.store(next_era(self.era(), hears(self.era())), Ordering::Release);
    }

    /// When a record that was loaded in `era` was last known to be true: until announcements stopped arriving, or at its load, if
    /// they did not arrive then. `None`: that is not known any more.
    pub(super) fn last_true(&self, era: u64, loaded_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let ended = self.ended();
        let until = if era == self.era() { now } else { ended.iter().find(|(past, _)| *past == era)?.1 };
        Some(if hears(era) { until } else { loaded_at })
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<(u64, Timestamp)>> {
        self.ended.lock()
    }

    fn count(&self, stripe: usize) -> u64 {
        self.stripes.get(stripe).map_or(0, |stripe| stripe.changes.load(Ordering::Acquire))
    }

    fn fill(&self, stripe: usize) -> Option<MutexGuard<'_, ()>> {
        self.stripes.get(stripe).map(|stripe| stripe.filling.lock())
    }
}

/// Whether announcements arrive in an era.
pub(super) fn hears(era: u64) -> bool {
    era & 1 == 1
}

fn next_era(era: u64, hears: bool) -> u64 {
    ((era | 1) + 1) | u64::from(hears)
}
