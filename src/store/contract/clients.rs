//! Which clients Evergate is and was at providers.

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    store::{KnownClients, StoreError, operation::Operation},
};

impl Store {
    /// Records that a process starts as these clients, and returns all that are known then.
    ///
    /// # Errors
    /// It may have been recorded; recording it again does no harm.
    pub async fn record_clients(&self, clients: &[ClientRegistration<'_>]) -> Result<KnownClients, StoreError> {
        self.call(Operation::RecordClients, |connection| Box::pin(connection.record_clients(clients))).await
    }

    /// The clients of which starts have been recorded, without how many users each has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn recorded_clients(&self) -> Result<KnownClients, StoreError> {
        let recorded = self.call(Operation::RecordedClients, |connection| Box::pin(connection.recorded_clients())).await?;
        Ok(KnownClients::of(recorded, &[]))
    }

    /// The clients that Evergate is or was, at whichever provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn known_clients(&self) -> Result<KnownClients, StoreError> {
        self.call(Operation::KnownClients, |connection| Box::pin(connection.known_clients())).await
    }
}
