//! How many connections to apps are open. Each needs a file descriptor, and a client of HTTP/2 may have a hundred requests on one
//! connection of its own, each of which needs another to its app.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::http1::BoxError;

/// Limits the connections to all apps together, whatever routes lead to them. Cloning shares it.
#[derive(Clone, Debug)]
pub struct UpstreamConnections(Arc<Semaphore>);

/// One of the connections that may be open, held by whatever holds the connection.
#[derive(Debug)]
pub(super) struct UpstreamConnectionSlot {
    _permit: OwnedSemaphorePermit,
}

/// No connection may be opened.
#[derive(Debug, thiserror::Error)]
#[error("as many connections to apps are open as the limit of open files allows")]
pub(super) struct TooManyConnections;

impl UpstreamConnections {
    /// So many may be open at the same time.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max)))
    }

    /// Takes a slot. One that is idle elsewhere may end within the time.
    ///
    /// # Errors
    /// [`TooManyConnections`].
    pub(super) async fn acquire(&self, within: Duration) -> Result<UpstreamConnectionSlot, BoxError> {
        let permit = tokio::time::timeout(within, Arc::clone(&self.0).acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(UpstreamConnectionSlot { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(TooManyConnections.into()),
        }
    }
}
