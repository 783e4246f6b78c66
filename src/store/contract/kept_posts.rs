//! Forms that met the end of their session.

use super::Store;
use crate::{
    clock::Timestamp,
    store::{
        KeptPostRow, MostKept, StoreError,
        operation::{Read, Write},
    },
};

impl Store {
    /// Saves a form. `false`: there are as many as there may be that have not expired `now`, and this one was not saved.
    ///
    /// # Errors
    /// It may have been saved; saving it again does no harm.
    pub async fn save_kept_post(&self, row: &KeptPostRow, most: MostKept, now: Timestamp) -> Result<bool, StoreError> {
        self.write(Write::SaveKeptPost, |connection| Box::pin(connection.save_kept_post(row, most, now))).await
    }

    /// Reads a form, which may have expired.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn kept_post(&self, name: [u8; 32]) -> Result<Option<KeptPostRow>, StoreError> {
        self.read(Read::KeptPost, |connection| Box::pin(connection.kept_post(name))).await?.found_even_if_old()
    }

    /// Removes a form: of those who try it at the same time, one succeeds. `false`: it was not there any more.
    ///
    /// # Errors
    /// It may have been removed.
    pub async fn take_kept_post(&self, name: [u8; 32]) -> Result<bool, StoreError> {
        self.write(Write::TakeKeptPost, |connection| Box::pin(connection.take_kept_post(name))).await
    }
}
