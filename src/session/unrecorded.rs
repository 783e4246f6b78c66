//! Sessions that have ended here and whose end the store has yet to take. This replica serves them no more.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::SessionHash;

/// So many ends wait at most.
const MOST: usize = 10_000;

/// More ends wait for the store than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// How an end was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is the only one, and whoever noted it must see to it that it is recorded.
    First,
    /// Somebody records them already.
    Another,
}

/// What has ended, the wider last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// This session.
    Session,
    /// All of its user's.
    AllOfUser,
}

/// The ends that wait to be recorded.
#[derive(Debug, Default)]
pub struct UnrecordedEnds {
    /// How many there are, so that nobody takes the lock while there are none.
    count: AtomicUsize,
    ends: Mutex<HashMap<SessionHash, Extent>>,
}

impl UnrecordedEnds {
    fn ends(&self) -> MutexGuard<'_, HashMap<SessionHash, Extent>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an end, the wider one of two of the same session.
    ///
    /// # Errors
    /// [`TooMany`] wait already.
    pub fn add(&self, hash: SessionHash, extent: Extent) -> Result<Added, TooMany> {
        let mut ends = self.ends();
        let is_first = ends.is_empty();
        if ends.len() >= MOST && !ends.contains_key(&hash) {
            return Err(TooMany);
        }
        ends.entry(hash).and_modify(|noted| *noted = (*noted).max(extent)).or_insert(extent);
        self.count.store(ends.len(), Ordering::Release);
        Ok(if is_first { Added::First } else { Added::Another })
    }

    /// Whether a session has ended here.
    pub fn contains(&self, hash: &SessionHash) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.ends().contains_key(hash)
    }

    /// Those that wait.
    pub fn waiting(&self) -> Vec<(SessionHash, Extent)> {
        self.ends().iter().map(|(hash, extent)| (*hash, *extent)).collect()
    }

    /// An end of this extent was recorded; a wider one that was noted meanwhile still waits. `false`: none waits any more, and
    /// its recorder may go.
    pub fn recorded(&self, hash: &SessionHash, extent: Extent) -> bool {
        let mut ends = self.ends();
        if ends.get(hash).is_some_and(|noted| *noted <= extent) {
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
        assert!(ends.recorded(&other, Extent::Session) && ends.contains(&other), "what was noted meanwhile still waits");
        assert!(ends.recorded(&other, Extent::AllOfUser) && !ends.contains(&other));
        assert!(!ends.recorded(&one, Extent::AllOfUser));
        assert_eq!(ends.add(one, Extent::Session), Ok(Added::First), "and then begins anew");
    }

    #[test]
    fn no_more_ends_wait_than_are_kept() {
        let ends = UnrecordedEnds::default();
        for number in 0..MOST {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            assert!(ends.add(SessionHash(hash), Extent::Session).is_ok());
        }
        assert_eq!(ends.add(SessionHash([9; 32]), Extent::Session), Err(TooMany));
        assert!(ends.add(SessionHash([0; 32]), Extent::AllOfUser).is_ok(), "one that waits may grow");
    }
}
