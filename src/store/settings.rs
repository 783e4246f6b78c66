//! The store's settings.

use std::path::PathBuf;

use super::postgres::PostgresSettings;

/// Which database holds grants and sessions.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `CODER_PG_CONNECTION_URL` and its limits.
    Postgres(PostgresSettings),
    /// One file in `CODER_DATA_DIR`.
    Sqlite(PathBuf),
}
