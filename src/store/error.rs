//! Why a call to the store failed, and what that proves: whether anything was written, whether the connection is at fault, and
//! whether the statement may be repeated (SQLSTATE, Postgres documentation appendix A; SQLite result codes).

use std::{sync::Arc, time::Duration};

use sqlx::postgres::PgDatabaseError;

use super::condition::Condition;
use crate::{seal::SealError, telemetry::logs::causes};

/// Why a call to the store failed. What the driver says is part of the text and no source, because [`driver_words`] leaves some of it out.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed the call, or the connection broke. [`StoreError::nothing_was_written`] says whether it is certain that
    /// nothing was written.
    #[error("the store is unavailable: {}", driver_words(.0))]
    Unavailable(sqlx::Error),
    /// There was no connection to the database, and nothing was sent.
    #[error("the store cannot be connected to: {}", driver_words(.0))]
    Unconnected(sqlx::Error),
    /// The database did not confirm a commit. Whether a write took effect is unknown.
    #[error("the store did not confirm a commit: {}", driver_words(.0))]
    Commit(sqlx::Error),
    /// Nothing was sent, because the database is known to be unavailable or to take no writes.
    #[error("the store {condition}: {cause}")]
    KnownUnavailable {
        /// The condition of the database.
        condition: Condition,
        /// The error that showed the condition.
        cause: Arc<str>,
    },
    /// The only server that answers takes no writes, and nothing was written. It may be a standby that lacks what was committed last, so
    /// that what was read of it does not do.
    #[error("the only server that answers takes no writes, and may lack what was committed last")]
    Standby,
    /// A row is older than what was committed, and could not be put right.
    #[error("the store is older than what was committed")]
    Outdated,
    /// The database did not answer in time. Whether a write took effect is unknown.
    #[error("the store did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A row holds a value that Evergate never writes.
    #[error("the store holds a malformed {0}")]
    Malformed(&'static str),
    /// A token cannot be decrypted, or encrypted.
    #[error("a token in the store cannot be opened")]
    Sealed(#[from] SealError),
    /// The schema has tables of migrations that it has not recorded, so that it cannot be brought up to date.
    #[error(
        "there are tables of a newer schema than the one that is recorded ({0}): a backup was restored over them; \
         restore it again as docs/operations.md has it"
    )]
    Leftovers(String),
    /// The database's encoding cannot hold every name.
    #[error(
        "the database's encoding is {0}, which lacks letters of users' names and groups; \
         move it to one of encoding UTF8 as docs/postgres.md has it"
    )]
    Encoding(String),
    /// A migration needs locks that other sessions keep.
    #[error(
        "migration {version} waits for locks of others, which are {holders}; \
         let them finish, such as a backup under way, or end them, and try again"
    )]
    Held {
        /// Its number.
        version: i64,
        /// The processes of the database, with their names.
        holders: String,
        /// What the database said last.
        source: sqlx::migrate::MigrateError,
    },
    /// The schema could not be brought up to date.
    #[error("the migrations failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// What a failure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The database refuses the values that it was given: repeating is no use, and nothing was written.
    Refused,
    /// The statement failed in a way that concerns no other, and nothing was written. Somebody may repair the cause, such as a
    /// missing privilege.
    Statement,
    /// The statement conflicted with another, and nothing was written: it may be repeated.
    Conflict,
    /// The connection leads to a server that takes no writes, and nothing was written.
    ReadOnly,
    /// The database has no space, and nothing was written.
    Full,
    /// There was no connection, and nothing was sent.
    Unreached,
    /// The server ended the connection, because it stops or an administrator says so. The statement was most probably not carried
    /// out.
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

    /// Whether the database refuses the values that it was given, so that repeating is no use. A failure whose cause somebody may
    /// repair is no refusal: what waits to be written waits until then.
    pub fn is_refusal(&self) -> bool {
        self.fault() == Fault::Refused
    }

    /// Whether the database can never hold the values of the call: nobody but who sent them can do better. Not every refusal is such: a
    /// constraint may be broken by a race, and a conversion may fail in another row.
    pub fn is_of_values(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| is_code_of_values(&code))
    }

    /// Whether the connection is of no further use.
    pub(super) fn spoils_connection(&self) -> bool {
        match self.fault() {
            Fault::ReadOnly | Fault::Full | Fault::Terminated | Fault::Broken => true,
            Fault::Refused | Fault::Statement | Fault::Conflict | Fault::Unreached => false,
        }
    }

    /// Whether all open connections may lead to the same server, which is not the primary any more.
    pub(super) fn spoils_all_connections(&self) -> bool {
        self.fault() == Fault::ReadOnly
    }

    /// What the failure shows.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Unavailable(error) => classify(error),
            // This includes a server that refuses the connection, such as for a password that is wrong for a while.
            Self::Unconnected(_) | Self::KnownUnavailable { .. } => Fault::Unreached,
            Self::Commit(error) => {
                let fault = classify(error);
                if fault == Fault::Terminated { Fault::Broken } else { fault }
            }
            Self::Outdated => Fault::Conflict,
            Self::Standby => Fault::ReadOnly,
            Self::TimedOut(_) => Fault::Broken,
            Self::Migration(_) | Self::Held { .. } | Self::Leftovers(_) | Self::Encoding(_) => Fault::Statement,
            Self::Malformed(_) | Self::Sealed(_) => Fault::Refused,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// What the driver says, and what to do where a table or a column is not there. Of an error of Postgres' own the message alone: the driver
/// adds the line of Postgres' source code, which reads as if it were one of the statement.
fn driver_words(error: &sqlx::Error) -> String {
    let of_postgres = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let Some(said) = of_postgres else { return causes(error) };
    let is_schema = matches!(said.code(), "42P01" | "42703");
    let advice =
        if is_schema { "; the schema is not there, or of an earlier release: `evergate migrate` comes first" } else { "" };
    format!("error returned from database: {}{advice}", said.message())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not ours, and may grow")]
fn classify(error: &sqlx::Error) -> Fault {
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
        // A prepared statement that is not there, or there already, is another session's: something pools connections.
        // So do the time limits that end a session: in a transaction without a statement (25P03), or of a whole transaction (25P04).
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" | "26000" | "42P05" => Fault::Terminated,
        "57014" | "40003" => Fault::Broken,
        "40001" | "40P01" | "55P03" => Fault::Conflict,
        // The value alone is at fault: also one that is too long for an index (54000).
        _ if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => Fault::Refused,
        _ if code.starts_with("53") => Fault::Full,
        _ if code.starts_with("08") || code.starts_with("58") || code.starts_with("XX") => Fault::Broken,
        _ => Fault::Statement,
    }
}

/// Letters that the encoding lacks or that cannot be converted (22021, 22P05), and what is too long for a row or an index (54000).
fn is_code_of_values(code: &str) -> bool {
    if code.len() == 5 {
        matches!(code, "22021" | "22P05" | "54000")
    } else {
        code.parse::<u32>().is_ok_and(|code| code & 0xff == TOOBIG)
    }
}

/// SQLite's code of a text or a row that is too long.
const TOOBIG: u32 = 18;

/// The low byte is the primary result code (sqlite.org/rescode.html).
fn by_sqlite_code(code: &str) -> Fault {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
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
            ("25P03", Fault::Terminated),
            ("25P04", Fault::Terminated),
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
            ("54000", Fault::Refused),
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
    fn only_values_that_no_row_can_hold_are_the_senders_fault() {
        for code in ["22021", "22P05", "54000", "18"] {
            assert!(is_code_of_values(code) && by_code(code) == Fault::Refused, "{code}");
        }
        for code in [
            "22001", "22003", "22P02", "23502", "23503", "23505", "54001", "54023", "40001", "53100", "19", "20", "787", "2067",
            "",
        ] {
            assert!(!is_code_of_values(code), "{code}");
        }
        for error in [StoreError::from(sqlx::Error::RowNotFound), StoreError::Malformed("session"), StoreError::Standby] {
            assert!(!error.is_of_values(), "{error}");
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
        assert!(StoreError::Standby.nothing_was_written() && !StoreError::Standby.is_refusal());
        let commit = StoreError::Commit(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into()));
        assert!(!commit.nothing_was_written() && !commit.is_refusal());
    }
}
