//! Why the store did not do as asked, and what that proves: whether anything was written, whether the connection is at fault,
//! and whether the statement may be asked again (SQLSTATE, Postgres documentation appendix A; SQLite result codes).

use std::{sync::Arc, time::Duration};

use super::gate::Condition;
use crate::seal::SealError;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, or too slow, or takes no writes. [`StoreError::nothing_was_written`] says whether that is certain.
    #[error("the store is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// No connection to it was to be had, so that it was not asked.
    #[error("the store cannot be connected to")]
    Unconnected(#[source] sqlx::Error),
    /// It did not say whether it committed. Whether a write took effect is unknown.
    #[error("the store did not confirm a commit")]
    Commit(#[source] sqlx::Error),
    /// It was not asked, because it is known to be away or to take no writes.
    #[error("the store {condition}: {cause}")]
    KnownUnavailable {
        /// What is known of it.
        condition: Condition,
        /// Why, in the words of whoever found out.
        cause: Arc<str>,
    },
    /// It did not answer in time. Whether a write took effect is unknown.
    #[error("the store did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A row holds what we never write.
    #[error("the store holds a malformed {0}")]
    Malformed(&'static str),
    /// A token in a row cannot be opened.
    #[error("a token in the store cannot be opened")]
    Sealed(#[from] SealError),
    /// The schema could not be brought up to date.
    #[error("the migrations failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// What a failure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The store is there and refuses what it was given: trying again is no use, and nothing was written.
    Refused,
    /// The statement failed in a way that concerns no other, and nothing was written. Somebody may mend it, as a missing right.
    Statement,
    /// The statement met another, and nothing was written: it may be asked again.
    Conflict,
    /// The connection leads to a server that takes no writes, and nothing was written.
    ReadOnly,
    /// The store is there and has no room, and nothing was written.
    Full,
    /// No connection was to be had, so nothing was sent.
    Unreached,
    /// The server ended the connection, as it does when it stops or an administrator says so. What it was asked then was most
    /// probably not done.
    Terminated,
    /// The connection broke, or the time was up. Whether anything was written is unknown.
    Broken,
}

impl StoreError {
    /// Whether it is certain that a write that failed so has changed nothing, now or later.
    pub fn nothing_was_written(&self) -> bool {
        match self.fault() {
            Fault::Refused | Fault::Statement | Fault::Conflict | Fault::ReadOnly | Fault::Full | Fault::Unreached => true,
            Fault::Terminated | Fault::Broken => false,
        }
    }

    /// Whether the store is there and refuses what it was given, so that trying again is no use. Whatever somebody may mend is
    /// none: what is kept for the store is kept until then.
    pub fn is_refusal(&self) -> bool {
        self.fault() == Fault::Refused
    }

    /// Whether the connection that it came over is of no further use.
    pub(super) fn spoils_connection(&self) -> bool {
        match self.fault() {
            Fault::ReadOnly | Fault::Full | Fault::Terminated | Fault::Broken => true,
            Fault::Refused | Fault::Statement | Fault::Conflict | Fault::Unreached => false,
        }
    }

    /// Whether the other connections that are open may lead to the same server, which is not the primary any more.
    pub(super) fn condemns_all(&self) -> bool {
        self.fault() == Fault::ReadOnly
    }

    /// What this shows.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Unavailable(error) => judge(error),
            // Also where the server says so itself, as when the password is wrong for a while.
            Self::Unconnected(_) | Self::KnownUnavailable { .. } => Fault::Unreached,
            Self::Commit(error) => {
                let fault = judge(error);
                if fault == Fault::Terminated { Fault::Broken } else { fault }
            }
            Self::TimedOut(_) => Fault::Broken,
            Self::Migration(_) => Fault::Statement,
            Self::Malformed(_) | Self::Sealed(_) => Fault::Refused,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and may grow")]
fn judge(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(error) => error.code().map_or(Fault::Statement, |code| by_code(&code)),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => Fault::Unreached,
        sqlx::Error::RowNotFound
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Encode(_)
        | sqlx::Error::Decode(_) => Fault::Refused,
        // Of an error that nobody here knows nothing is certain.
        _ => Fault::Broken,
    }
}

/// By a SQLSTATE, which has five characters, or one of SQLite's result codes, which have fewer.
fn by_code(code: &str) -> Fault {
    if code.len() != 5 {
        return by_sqlite_code(code);
    }
    match code {
        "25006" => Fault::ReadOnly,
        // A server that starts, stops or is full of connections says so instead of taking one.
        "57P03" | "53300" => Fault::Unreached,
        "57P01" | "57P02" | "57P05" => Fault::Terminated,
        "57014" | "40003" => Fault::Broken,
        "40001" | "40P01" | "55P03" => Fault::Conflict,
        _ if code.starts_with("22") || code.starts_with("23") => Fault::Refused,
        _ if code.starts_with("53") => Fault::Full,
        _ if code.starts_with("08") || code.starts_with("58") || code.starts_with("XX") => Fault::Broken,
        _ => Fault::Statement,
    }
}

/// The low byte is the primary result code (sqlite.org/rescode.html).
fn by_sqlite_code(code: &str) -> Fault {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    const TOOBIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(BUSY | LOCKED) => Fault::Conflict,
        Ok(READONLY) => Fault::ReadOnly,
        // SQLite rolls a transaction back that cannot be written.
        Ok(FULL) => Fault::Full,
        Ok(IOERR) => Fault::Broken,
        Ok(CANTOPEN) => Fault::Unreached,
        Ok(TOOBIG | CONSTRAINT | MISMATCH) => Fault::Refused,
        Ok(_) | Err(_) => Fault::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_it_proves() {
        for (code, fault) in [
            ("25006", Fault::ReadOnly),
            ("57P01", Fault::Terminated),
            ("57P02", Fault::Terminated),
            ("40003", Fault::Broken),
            ("57P03", Fault::Unreached),
            ("53300", Fault::Unreached),
            ("53100", Fault::Full),
            ("40001", Fault::Conflict),
            ("40P01", Fault::Conflict),
            ("08006", Fault::Broken),
            ("XX000", Fault::Broken),
            ("58030", Fault::Broken),
            ("22021", Fault::Refused),
            ("23505", Fault::Refused),
            ("42501", Fault::Statement),
            ("42P01", Fault::Statement),
            ("5", Fault::Conflict),
            ("517", Fault::Conflict),
            ("8", Fault::ReadOnly),
            ("13", Fault::Full),
            ("778", Fault::Broken),
            ("14", Fault::Unreached),
            ("1555", Fault::Refused),
            ("odd", Fault::Statement),
        ] {
            assert_eq!(by_code(code), fault, "{code}");
        }
    }

    #[test]
    fn only_a_broken_call_may_have_written() {
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).nothing_was_written());
        assert!(!StoreError::from(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())).nothing_was_written());
        assert!(!StoreError::TimedOut(Duration::from_secs(1)).nothing_was_written());
        let known = StoreError::KnownUnavailable { condition: Condition::ReadOnly, cause: "x".into() };
        assert!(known.nothing_was_written() && !known.is_refusal());
        assert!(StoreError::from(sqlx::Error::RowNotFound).is_refusal());
        let commit = StoreError::Commit(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()));
        assert!(!commit.nothing_was_written() && !commit.is_refusal());
    }
}
