//! Login attempts: the replay guard, and return addresses that are too long to travel in `state`.

use super::Store;
use crate::{
    clock::Timestamp,
    store::{
        StoreError,
        operation::{Read, Write},
    },
};

impl Store {
    /// Consumes the login attempt, or the logout token, with this hash. `false`: it was consumed before.
    ///
    /// # Errors
    /// It may have been consumed.
    pub async fn consume_once(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        self.write(Write::ConsumeOnce, |connection| Box::pin(connection.consume_once(hash, expires_at))).await
    }

    /// Whether [`Store::consume_once`] was called with this hash.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn is_consumed(&self, hash: [u8; 32]) -> Result<bool, StoreError> {
        self.read(Read::IsConsumed, |connection| Box::pin(connection.is_consumed(hash))).await?.current()
    }

    /// Takes back that [`Store::consume_once`] was called with this hash, which may be consumed again.
    ///
    /// # Errors
    /// It may have been taken back.
    pub async fn forget_consumed(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.write(Write::ForgetConsumed, |connection| Box::pin(connection.forget_consumed(hash))).await
    }

    /// Saves an encrypted return address for a login attempt. `false`: `limit` are saved already, and this one was not.
    ///
    /// # Errors
    /// It may have been saved, which does no harm.
    pub async fn save_return_to(
        &self,
        name: [u8; 32],
        sealed: &[u8],
        expires_at: Timestamp,
        limit: i64,
    ) -> Result<bool, StoreError> {
        self.write(Write::SaveReturnTo, |connection| Box::pin(connection.save_return_to(name, sealed, expires_at, limit))).await
    }

    /// Reads the return address that [`Store::save_return_to`] saved under this name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn return_to(&self, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(Read::ReturnTo, |connection| Box::pin(connection.return_to(name))).await?.found_even_if_old()
    }
}
