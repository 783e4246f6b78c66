//! What the database is like, for `evergate check`.

use super::Store;
use crate::store::{StoreError, facts::DatabaseFacts};

impl Store {
    /// Reads what the database says of itself, and changes nothing; `None` for SQLite, which is a file of this process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn examine(&self) -> Result<Option<DatabaseFacts>, StoreError> {
        self.backend.examine().await
    }
}
