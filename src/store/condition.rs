//! The condition of the database, as the heartbeat finds it.

use std::fmt;

/// The condition of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The database reads and writes.
    Writable,
    /// The database answers, and takes no writes.
    ReadOnly,
    /// The database does not answer.
    Unavailable,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writable => "takes writes",
            Self::ReadOnly => "takes no writes",
            Self::Unavailable => "is away",
        })
    }
}
