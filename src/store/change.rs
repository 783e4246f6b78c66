//! What changed in the store, as it is announced to all replicas.

use crate::{grant::GrantId, session::SessionHash};

/// A change of rows that replicas hold in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This grant's row was changed or removed.
    Grant(GrantId),
    /// This session was removed.
    Session(SessionHash),
    /// Anything may have changed.
    Everything,
}
