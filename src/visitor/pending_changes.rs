//! Announced changes whose sessions have not been checked yet.

use std::collections::HashSet;

use crate::{
    grant::GrantId,
    lock::{Mutex, MutexGuard},
    session::{SessionHash, live::Snapshot},
    store::Change,
};

/// Announced changes whose sessions have not been checked yet.
#[derive(Debug, Default)]
pub(super) struct PendingChanges(Mutex<Changes>);

#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) sessions: HashSet<SessionHash>,
    grants: HashSet<GrantId>,
    pub(super) everything: bool,
}

impl PendingChanges {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.0.lock()
    }

    /// Adds a change.
    pub(super) fn add(&self, change: Change) {
        let mut pending = self.lock();
        match change {
            Change::Session(hash) => drop(pending.sessions.insert(hash)),
            Change::Grant(id) => drop(pending.grants.insert(id)),
            Change::User(_) => {}
            Change::Everything => pending.everything = true,
        }
    }

    /// Takes all of them.
    pub(super) fn take(&self) -> Changes {
        std::mem::take(&mut *self.lock())
    }
}

impl Changes {
    /// Whether one of them concerns a session.
    pub(super) fn concern(&self, session: &Snapshot) -> bool {
        self.everything
            || session.is_new
            || session.reached_a_limit
            || self.sessions.contains(&session.hash)
            || self.sessions.contains(&session.current)
            || self.grants.contains(&session.grant)
    }
}
