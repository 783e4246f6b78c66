//! Grants and sessions in Postgres or SQLite: one contract, two databases.
//!
//! - Tokens are encrypted on their way in and decrypted on their way out here, so that no caller can forget it.
//! - Every call is bounded: a database that does not answer is a [`StoreError`], never a wait without end.
//! - A change of a grant and the end of a session are announced to all replicas (see [`Store::changes`]).
//! - Leases are judged by the database's clock; all other times are the caller's.

// The contract, what it takes and returns, and why it fails.
mod contract;

mod believed;
mod change;
mod clients;
mod condition;
mod error;
mod facts;
mod listed;
mod records;
mod scim_records;
mod settings;

// What a replica keeps in memory.
mod announcer;
mod clock_jumps;
mod committed;
mod event_buffer;
mod gate;
mod provider_hours;
mod replica;
mod rollbacks;

// One call: its name and what it does, the statements that it runs, and the rows and tokens that they read and write.
mod operation;
mod origin;
mod statements;

mod rows;
mod sealing;
mod sql;

// The databases.
mod backend;
mod connection;
mod postgres;
mod sqlite;

pub use change::{Change, Hearing};
pub use clients::{KnownClient, KnownClients};
pub use condition::Condition;
pub use contract::{
    Counts, END_RETENTION, LOGOUT_RETENTION, OrphanedToken, Revocation, RevocationId, RevocationToken, Store, TokenEnd,
};
pub use error::StoreError;
pub use facts::DatabaseFacts;
pub use listed::{
    EventFilter, EventPart, EventPlace, EventsOf, ListPosition, ListedGrant, ListedSession, NameKind, OwnToken, RecentRenewal,
    SeenPosition, SessionKind, StoredEvent,
};
pub use postgres::{PostgresSettings, PostgresUrl};
pub use provider_hours::{LATENCY_BOUNDS, ProviderHour};
pub use records::{
    EndedSession, Expired, ExpiredAttempt, Fence, GrantSample, HandOver, HandedOver, IdleExpiry, KeptPostRow, KeyUsage,
    Knowledge, LoginSaved, LoginTarget, MostKept, NewGrant, NewIntent, NewToken, Renewed, ReplacedSession, Resealed,
    SessionFilter, Sharing, Swept, TokenSaved, Tokens, Unverified,
};
pub use scim_records::{OwnNames, ScimDeleted, ScimFilter, ScimSaved, ScimUser};
pub use settings::Settings;
