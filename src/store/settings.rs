//! The store's settings.

use std::path::{Path, PathBuf};

use super::postgres::PostgresSettings;

/// Which database holds grants and sessions.
#[derive(Clone, Debug)]
pub enum Settings {
    /// `CODER_PG_CONNECTION_URL` and its limits.
    Postgres(PostgresSettings),
    /// One file in `CODER_DATA_DIR`.
    Sqlite(PathBuf),
}

impl Settings {
    /// SQLite's file, where no start has created it yet.
    pub fn file_to_come(&self) -> Option<&Path> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(path) => (!path.exists()).then_some(path),
        }
    }
}
