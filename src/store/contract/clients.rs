//! Which clients Evergate is and was at providers.

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    reading::Reading,
    store::{
        KnownClients, StoreError,
        operation::{Read, Write},
    },
};

impl Store {
    /// Records that a process starts as these clients, and returns all that are known then.
    ///
    /// # Errors
    /// It may have been recorded; recording it again does no harm.
    pub async fn record_clients(&self, clients: &[ClientRegistration<'_>]) -> Result<KnownClients, StoreError> {
        self.write(Write::RecordClients, |connection| Box::pin(connection.record_clients(clients))).await
    }

    /// The clients of which starts have been recorded, without how many users each has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn recorded_clients(&self) -> Result<KnownClients, StoreError> {
        let recorded = self.read(Read::RecordedClients, |connection| Box::pin(connection.recorded_clients())).await?;
        // A client is recorded at a start, long before anything of its users is to be ended.
        Ok(KnownClients::of(recorded.even_if_old(), &[]))
    }

    /// The clients that Evergate is or was, at whichever provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn known_clients(&self) -> Result<KnownClients, StoreError> {
        self.read(Read::KnownClients, |connection| Box::pin(connection.known_clients())).await.map(Reading::even_if_old)
    }
}
