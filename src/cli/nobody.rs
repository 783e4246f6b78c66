//! That nobody has the name that a command was given: no failure of anything, so that it has an exit status of its own.

/// Nobody has the name that a command was given. Whoever offboards a user tells this from a database that is away, where the user may still
/// be signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Nobody {
    /// No session is there, whatever the history knows.
    #[error("nobody by that name has a session here")]
    WithSession,
    /// Neither a session nor a history is there.
    #[error("nobody by that name has a session or a history here")]
    WithHistory,
}
