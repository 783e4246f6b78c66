//! What a database is like, for `evergate check`.

use crate::clock::Timestamp;

/// A Postgres database, as this role finds it.
#[derive(Clone, Debug)]
pub struct DatabaseFacts {
    /// `server_version`.
    pub version: String,
    /// `server_encoding`, if it cannot hold every name.
    pub unfit_encoding: Option<String>,
    /// Whether it takes writes.
    pub is_writable: bool,
    /// Whether a pooler in transaction mode is in between.
    pub is_pooled: bool,
    /// How many migrations have not been applied.
    pub pending_migrations: usize,
    /// The tables of those migrations that are there all the same, because a backup was restored over them.
    pub leftover_tables: Vec<String>,
    /// Whether this role may create tables in the schema.
    pub may_create: bool,
    /// The tables on whose rows this role lacks a right that Evergate needs.
    pub tables_without_rights: Vec<String>,
    /// The database's clock.
    pub now: Timestamp,
    /// What Postgres may forget of what it has committed, as a sentence.
    pub may_lose: Option<&'static str>,
}
