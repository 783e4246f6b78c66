//! Settings of `store`: where grants, sessions and their history are kept, and what encrypts their tokens.

use super::table::{Section, Setting, ValueType, setting};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Storage",
    settings: &[&PG_CONNECTION_URL, &PG_CONN_MAX_OPEN, &DATA_DIR, &EXTERNAL_TOKEN_ENCRYPTION_KEYS, &EVENT_RETENTION],
};

const PG_CONNECTION_URL: Setting = setting(
    "pg_connection_url",
    ValueType::Secret,
    "",
    "The Postgres that keeps grants and sessions, and that all replicas share. Not set: SQLite in `data_dir`.",
);
const PG_CONN_MAX_OPEN: Setting = setting("pg_conn_max_open", ValueType::Number, "10", "Connections to Postgres of one replica.");
const DATA_DIR: Setting =
    setting("data_dir", ValueType::Text, "evergate-data", "Where the SQLite file and its key file are, if there is no Postgres.");
const EXTERNAL_TOKEN_ENCRYPTION_KEYS: Setting = setting(
    "external_token_encryption_keys",
    ValueType::Secrets,
    "",
    "Keys that seal tokens at rest: base64 of 32 bytes each, separated by commas; the first seals, all open. `evergate keys generate` makes one. Required with Postgres; without it SQLite makes a key file.",
);
const EVENT_RETENTION: Setting = setting(
    "event_retention",
    ValueType::Duration,
    "30d",
    "How long the history is kept: each login, renewal, logout and revocation, with its reason. `evergate sessions why` reads it.",
);
