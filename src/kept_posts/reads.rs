//! How many forms are read at the same time: a slow body holds memory for as long as it may take, and one user leaves room for others.

use std::{collections::HashMap, sync::Arc};

use crate::{
    lock::{Mutex, MutexGuard},
    session::UserHash,
};

/// How many are read at the same time by one replica: 8 MiB in all.
const MAX_READS: usize = 32;
/// How many of them are one user's. A browser sends one form, and the next when the page shows the answer.
const MAX_READS_OF_USER: usize = 4;

/// Counts the forms that are read; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Reads(Arc<Mutex<HashMap<UserHash, usize>>>);

/// The right to read one form, for as long as it is held.
#[derive(Debug)]
pub(super) struct ReadPermit {
    user: UserHash,
    reads: Reads,
}

impl Reads {
    /// The right to read a form of this user's; `None` if as many are read as may be.
    pub(super) fn begin(&self, user: UserHash) -> Option<ReadPermit> {
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let own = counts.entry(user).or_default();
        if all >= MAX_READS || *own >= MAX_READS_OF_USER {
            if *own == 0 {
                counts.remove(&user);
            }
            return None;
        }
        *own += 1;
        drop(counts);
        Some(ReadPermit { user, reads: self.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<UserHash, usize>> {
        self.0.lock()
    }
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        let mut counts = self.reads.counts();
        if let Some(own) = counts.get_mut(&self.user) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_registration::ClientRegistration;

    fn user(number: usize) -> UserHash {
        UserHash::of(ClientRegistration { issuer: "https://idp.example", client_id: "client" }, &number.to_string())
    }

    #[test]
    fn one_user_leaves_room_for_others_and_all_together_have_an_end() {
        let reads = Reads::default();
        let mut held: Vec<_> = (0..MAX_READS).filter_map(|_| reads.begin(user(0))).collect();
        assert_eq!(held.len(), MAX_READS_OF_USER);
        held.extend((1..=MAX_READS).filter_map(|number| reads.begin(user(number))));
        assert_eq!(held.len(), MAX_READS);
        assert!(reads.begin(user(99)).is_none());
        held.pop();
        assert!(reads.begin(user(0)).is_none() && reads.begin(user(99)).is_some());
        drop(held);
        assert!(reads.counts().is_empty(), "nothing is left of who has gone");
    }
}
