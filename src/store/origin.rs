//! Which server a call was carried out by.

/// Which server answers on a connection, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// One that takes writes, and so has everything that was committed.
    Primary,
    /// One that a pooler chooses for each transaction. The one of when the connection was opened took writes.
    Pooler,
    /// One that takes no writes. It may be a standby that lags.
    Standby,
}
