//! Observations of the provider from token refreshes, kept in the store: a process that has refreshed nothing itself needs the
//! observations of others before it presents a token of unknown outcome again.

use std::sync::Arc;

use super::recovery::known_rotation;
use crate::{
    grant::Grant,
    lock::{Mutex, MutexGuard},
    oidc::{Provider, RefreshTokenRotation},
    store::{Knowledge, Store, StoreError},
};

/// The observations of the provider: this process's, and those in the store.
#[derive(Debug)]
pub(super) struct Observed {
    provider: Arc<Provider>,
    store: Store,
    state: Mutex<ObservedState>,
}

#[derive(Debug, Default)]
struct ObservedState {
    /// What this process has observed.
    observed_here: Knowledge,
    /// What is known to be in the store.
    stored: Knowledge,
}

impl Observed {
    pub(super) fn new(provider: Arc<Provider>, store: Store) -> Self {
        Self { provider, store, state: Mutex::default() }
    }

    /// Returns the provider's rotation as it applies to this grant, from the observations of all replicas.
    pub(super) async fn rotation(&self, grant: &Grant) -> Result<RefreshTokenRotation, StoreError> {
        let class = self.provider.rotation();
        if class != RefreshTokenRotation::Observed {
            return Ok(class);
        }
        let mut known = self.store.provider_knowledge(self.provider.registration()).await?;
        known.add(self.state().observed_here);
        Ok(known_rotation(class, known.rotates, grant.rotation))
    }

    /// Records whether a token refresh rotated the refresh token, if that is new.
    pub(super) async fn record_rotation(&self, rotated: bool) {
        let stored = self.state().stored.rotates;
        if stored != Some(true) && stored != Some(rotated) {
            self.save_observation(Knowledge { rotates: Some(rotated), rejects_dummy: None }).await;
        }
    }

    /// Records that the provider properly refuses a dummy refresh token, if that is new.
    pub(super) async fn record_dummy_rejection(&self) {
        if self.state().stored.rejects_dummy != Some(true) {
            self.save_observation(Knowledge { rotates: None, rejects_dummy: Some(true) }).await;
        }
    }

    /// Whether the provider is known to refuse a dummy refresh token properly.
    pub(super) async fn rejects_dummies(&self) -> bool {
        let mut known = self.state().stored;
        known.add(self.state().observed_here);
        if known.rejects_dummy == Some(true) {
            return true;
        }
        // If the store cannot be read, nothing more is known.
        let stored = self.store.provider_knowledge(self.provider.registration()).await.unwrap_or_default();
        self.state().stored.add(stored);
        stored.rejects_dummy == Some(true)
    }

    async fn save_observation(&self, observed_here: Knowledge) {
        self.state().observed_here.add(observed_here);
        match self.store.save_provider_knowledge(self.provider.registration(), observed_here).await {
            Ok(()) => self.state().stored.add(observed_here),
            // This process uses it anyway, and the next token refresh shows it again.
            Err(error) => tracing::debug!(%error, "an observation of the provider could not be saved yet"),
        }
    }

    fn state(&self) -> MutexGuard<'_, ObservedState> {
        self.state.lock()
    }
}
