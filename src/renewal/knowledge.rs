//! What renewals have shown of the provider, kept in the store: a process that has just started, or has renewed nothing itself,
//! must know what others observed before it presents a token whose fate is unknown.

use std::sync::{MutexGuard, PoisonError};

use super::{Engine, recovery::known_rotation};
use crate::{
    grant::Grant,
    oidc::RefreshTokenRotation,
    store::{Knowledge, StoreError},
};

/// What one process knows of the provider.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// What renewals have shown it.
    shown: Knowledge,
    /// What it knows to be in the store.
    kept: Knowledge,
}

impl Engine {
    /// What is known of the provider's rotation by now, here or on any other replica, as it concerns this grant.
    pub(super) async fn rotation(&self, grant: &Grant) -> Result<RefreshTokenRotation, StoreError> {
        let class = self.provider.rotation();
        if class != RefreshTokenRotation::Observed {
            return Ok(class);
        }
        let mut known = self.store.provider_knowledge(self.provider.issuer(), self.provider.client_id()).await?;
        known.add(self.observed().shown);
        Ok(known_rotation(class, known.rotates, grant.rotation))
    }

    /// Keeps what a renewal has shown of the provider's rotation, if that is news.
    pub(super) async fn learn_rotation(&self, rotated: bool) {
        let kept = self.observed().kept.rotates;
        if kept != Some(true) && kept != Some(rotated) {
            self.learn(Knowledge { rotates: Some(rotated), rejects_dummy: None }).await;
        }
    }

    /// Keeps that the provider refuses a refresh token that is nobody's as it should, if that is news.
    pub(super) async fn learn_that_it_rejects_dummies(&self) {
        if self.observed().kept.rejects_dummy != Some(true) {
            self.learn(Knowledge { rotates: None, rejects_dummy: Some(true) }).await;
        }
    }

    /// Whether the provider is known to refuse a refresh token that is nobody's as it should.
    pub(super) async fn rejects_dummies(&self) -> bool {
        let mut known = self.observed().kept;
        known.add(self.observed().shown);
        if known.rejects_dummy == Some(true) {
            return true;
        }
        // While the store cannot be asked, no more is known.
        let kept = self.store.provider_knowledge(self.provider.issuer(), self.provider.client_id()).await.unwrap_or_default();
        self.observed().kept.add(kept);
        kept.rejects_dummy == Some(true)
    }

    async fn learn(&self, shown: Knowledge) {
        self.observed().shown.add(shown);
        match self.store.save_provider_knowledge(self.provider.issuer(), self.provider.client_id(), shown).await {
            Ok(()) => self.observed().kept.add(shown),
            // This process goes by it all the same, and the next renewal shows it again.
            Err(error) => tracing::debug!(%error, "what was observed of the provider could not be kept yet"),
        }
    }

    fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
