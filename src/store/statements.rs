//! The statements that both stores run. Postgres and SQLite understand the same SQL here, but for how they
//! tell the time and lock; sqlx gives each its own types. So the text is written once, and these macros make it
//! the functions of either, each of which is given the connection that it runs on.

mod grants;
mod history;
mod keys;
mod revocations;
mod sessions;

pub(in crate::store) use grants::{grant_columns, implement_grants};
pub(in crate::store) use history::implement_history;
pub(in crate::store) use keys::implement_keys;
pub(in crate::store) use revocations::implement_revocations;
pub(in crate::store) use sessions::implement_sessions;

/// Implements the contract on `$Backend`.
/// `$now` is the database's own clock in milliseconds; `$lock` ends a select whose row is to be held; `$exclude` makes
/// transactions that name the same text take turns.
macro_rules! implement_statements {
    (
        $Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal, lock: $lock:literal, exclude: $exclude:literal
    ) => {
        implement_grants!($Backend, row: $Row, connection: $Connection, now: $now);
        implement_sessions!($Backend, row: $Row, connection: $Connection, now: $now, lock: $lock, exclude: $exclude);
        implement_history!($Backend, row: $Row, connection: $Connection, now: $now);
        implement_keys!($Backend, row: $Row, connection: $Connection, now: $now);
        implement_revocations!($Backend, row: $Row, connection: $Connection, now: $now, lock: $lock);
    };
}

pub(in crate::store) use implement_statements;
