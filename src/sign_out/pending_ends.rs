//! Ends of users that the store could not record.

use std::collections::HashMap;

use super::UserEnd;
use crate::{clock::Timestamp, lock::Mutex, session::EndSource};

/// Orders that wait to be recorded, and when each came.
#[derive(Debug, Default)]
pub struct PendingEnds(Mutex<HashMap<EndName, (UserEnd, Timestamp)>>);

/// An identifier is unique at its issuer and source alone.
pub(super) type EndName = (EndSource, String, String);

/// How many wait at most. Of any other the sender is told to send it again, as of all.
const MAX_WAITING: usize = 10_000;

impl PendingEnds {
    /// Adds an order. Returns whether it is the only one, so that the caller must start the task that records them.
    pub(super) fn add(&self, end: &UserEnd, at: Timestamp) -> bool {
        let mut waiting = self.0.lock();
        let is_first = waiting.is_empty();
        if waiting.len() < MAX_WAITING {
            waiting.entry(name_of(end)).or_insert_with(|| (end.clone(), at));
        }
        is_first
    }

    pub(super) fn waiting(&self) -> Vec<(UserEnd, Timestamp)> {
        self.0.lock().values().cloned().collect()
    }

    /// Removes an order that is recorded. Returns `false` if none waits any more.
    pub(super) fn recorded(&self, end: &UserEnd) -> bool {
        let mut waiting = self.0.lock();
        waiting.remove(&name_of(end));
        !waiting.is_empty()
    }
}

pub(super) fn name_of(end: &UserEnd) -> EndName {
    (end.source, end.issuer.clone(), end.id.clone())
}
