//! Grants of which this replica knows that the history tells why their users are sent to a login, although their rows are as they were.

use std::collections::HashSet;

use crate::{
    grant::{EndReason, GrantId},
    lock::Mutex,
};

/// How many of them are remembered, so that further requests do not ask the store.
const MOST_REMEMBERED: usize = 10_000;

/// The grants of which this replica knows that the history tells their end.
#[derive(Debug, Default)]
pub(super) struct LostGrants(Mutex<HashSet<(GrantId, EndReason)>>);

impl LostGrants {
    /// Whether it is not known yet.
    pub(super) fn add(&self, grant: GrantId, reason: EndReason) -> bool {
        let mut known = self.0.lock();
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert((grant, reason))
    }

    pub(super) fn forget(&self, grant: GrantId, reason: EndReason) {
        self.0.lock().remove(&(grant, reason));
    }
}
