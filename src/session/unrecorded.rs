//! Sessions that have ended here and whose end the store has yet to take. This replica serves them no more.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::SessionHash;

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Notes an end. `true`: it is the only one, and whoever noted it must see to it that it is recorded.
    pub fn add(&self, hash: SessionHash, extent: Extent) -> bool {
        let mut ends = self.ends();
        let is_first = ends.is_empty();
        ends.insert(hash, extent);
        self.count.store(ends.len(), Ordering::Release);
        is_first
    }

    /// Whether a session has ended here.
    pub fn contains(&self, hash: &SessionHash) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.ends().contains_key(hash)
    }

    /// Those that wait.
    pub fn waiting(&self) -> Vec<(SessionHash, Extent)> {
        self.ends().iter().map(|(hash, extent)| (*hash, *extent)).collect()
    }

    /// An end was recorded. `false`: none waits any more, and its recorder may go.
    pub fn recorded(&self, hash: &SessionHash) -> bool {
        let mut ends = self.ends();
        ends.remove(hash);
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
        assert!(ends.add(one, Extent::Session) && !ends.add(other, Extent::AllOfUser) && !ends.add(one, Extent::Session));
        assert!(ends.contains(&one) && ends.contains(&other));
        assert_eq!(ends.waiting().len(), 2);
        assert!(ends.recorded(&one) && !ends.contains(&one));
        assert!(!ends.recorded(&other));
        assert!(ends.add(one, Extent::Session), "and then begins anew");
    }
}
