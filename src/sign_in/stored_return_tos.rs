//! When long return addresses may be stored.

use tokio::sync::MutexGuard;

use crate::clock::Timestamp;

/// A lock that is held while an address is stored. It holds the time until which no address is stored because the limit was
/// reached.
#[derive(Debug, Default)]
pub struct StoredReturnTos(tokio::sync::Mutex<Timestamp>);

impl StoredReturnTos {
    pub(super) async fn lock(&self) -> MutexGuard<'_, Timestamp> {
        self.0.lock().await
    }
}
