//! Sessions that have ended on this replica and whose end is not in the store yet. This replica no longer serves them.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{EndSource, SessionHash};

use crate::lock::{Mutex, MutexGuard};

/// The maximum number of ends that wait.
const MAX_UNRECORDED: usize = 10_000;

/// Too many ends wait for the store already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The result of [`UnrecordedEnds::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is the only one; the caller must start the task that records ends.
    First,
    /// The task that records ends is running already.
    Another,
}

/// What has ended, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// One session, whose user somebody else has had ended.
    ByOther(EndSource),
    /// One session.
    Session,
    /// All sessions of the session's user.
    AllOfUser,
}

/// The session ends that wait to be recorded.
#[derive(Debug, Default)]
pub struct UnrecordedEnds {
    /// The number of ends, so that lookups take no lock while there are none.
    count: AtomicUsize,
    ends: Mutex<HashMap<SessionHash, Extent>>,
}

impl UnrecordedEnds {
    fn ends(&self) -> MutexGuard<'_, HashMap<SessionHash, Extent>> {
        self.ends.lock()
    }

    /// Adds an end; of two ends of the same session the wider one is kept.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn add(&self, hash: SessionHash, extent: Extent) -> Result<Added, TooMany> {
        let mut ends = self.ends();
        let is_first = ends.is_empty();
        if ends.len() >= MAX_UNRECORDED && !ends.contains_key(&hash) {
            return Err(TooMany);
        }
        ends.entry(hash).and_modify(|known| *known = (*known).max(extent)).or_insert(extent);
        self.count.store(ends.len(), Ordering::Release);
        Ok(if is_first { Added::First } else { Added::Another })
    }

    /// Whether a session has ended on this replica.
    pub fn contains(&self, hash: &SessionHash) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.ends().contains_key(hash)
    }

    /// Returns the ends that wait.
    pub fn waiting(&self) -> Vec<(SessionHash, Extent)> {
        self.ends().iter().map(|(hash, extent)| (*hash, *extent)).collect()
    }

    /// Removes an end of this extent, which has been recorded; a wider one that was added meanwhile stays. Returns `false` if no
    /// end waits any more, so that the recording task may stop.
    pub fn recorded(&self, hash: &SessionHash, extent: Extent) -> bool {
        let mut ends = self.ends();
        if ends.get(hash).is_some_and(|known| *known <= extent) {
            ends.remove(hash);
        }
        self.count.store(ends.len(), Ordering::Release);
        !ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_notes_the_first_end_records_all_until_none_waits() {
        let (ends, one, other) = (UnrecordedEnds::default(), SessionHash([1; 32]), SessionHash([2; 32]));
        assert!(!ends.contains(&one));
        assert_eq!(ends.add(one, Extent::AllOfUser), Ok(Added::First));
        assert_eq!(ends.add(other, Extent::Session), Ok(Added::Another));
        assert_eq!(ends.add(one, Extent::Session), Ok(Added::Another));
        assert!(ends.contains(&one) && ends.waiting().contains(&(one, Extent::AllOfUser)), "the wider one stays");
        assert_eq!(ends.add(other, Extent::AllOfUser), Ok(Added::Another));
        assert!(ends.recorded(&other, Extent::Session) && ends.contains(&other), "what was added meanwhile still waits");
        assert!(ends.recorded(&other, Extent::AllOfUser) && !ends.contains(&other));
        assert!(!ends.recorded(&one, Extent::AllOfUser));
        assert_eq!(ends.add(one, Extent::Session), Ok(Added::First), "and then begins anew");
    }

    #[test]
    fn no_more_ends_wait_than_are_kept() {
        let ends = UnrecordedEnds::default();
        for number in 0..MAX_UNRECORDED {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            assert!(ends.add(SessionHash(hash), Extent::Session).is_ok());
        }
        assert_eq!(ends.add(SessionHash([9; 32]), Extent::Session), Err(TooMany));
        assert!(ends.add(SessionHash([0; 32]), Extent::AllOfUser).is_ok(), "one that waits may grow");
    }
}
