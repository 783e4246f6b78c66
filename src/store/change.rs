//! What changed in the store, as it is announced to all replicas.

use crate::{
    grant::GrantId,
    session::{SessionHash, UserName},
};

/// A change of rows that replicas hold in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This grant's row was changed or removed.
    Grant(GrantId),
    /// This session was removed.
    Session(SessionHash),
    /// This user of a provider was ended.
    User(UserName),
    /// Anything may have changed.
    Everything,
}

/// How this replica hears of changes that others make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It does not: what is in memory may have changed.
    Nothing,
    /// It polls, and hears of a change within a second.
    Polling,
    /// It is notified immediately.
    Notifications,
}

impl Hearing {
    /// The voice's name in metrics and `readyz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Polling => "polling",
            Self::Notifications => "notifications",
        }
    }
}
