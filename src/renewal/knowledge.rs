//! What renewals have shown of the provider, kept in the store: a process that has just started, or has renewed nothing itself,
//! must know what others learnt before it presents a token whose fate is unknown.

use super::{Engine, decision::known_rotation};
use crate::{
    grant::Grant,
    oidc::RotationClass,
    store::{Knowledge, StoreError},
};

impl Engine {
    /// What is known of the provider's rotation by now, here or on any other replica, as it concerns this grant.
    pub(super) async fn rotation(&self, grant: &Grant) -> Result<RotationClass, StoreError> {
        let class = self.provider.rotation();
        if class != RotationClass::Learnt {
            return Ok(class);
        }
        let known = self.store.knowledge(self.provider.issuer(), self.provider.client_id()).await?;
        Ok(known_rotation(class, known.rotates, grant.rotation))
    }

    /// Keeps what a renewal has shown of the provider's rotation, if that is news.
    pub(super) async fn learn_rotation(&self, rotated: bool) {
        let known = self.knowledge().rotates;
        if known == Some(true) || known == Some(rotated) {
            return;
        }
        self.learn(Knowledge { rotates: Some(rotated), rejects_dummy: None }).await;
    }

    /// Keeps that the provider refuses a refresh token that is nobody's as it should, if that is news.
    pub(super) async fn learn_that_it_rejects_dummies(&self) {
        if self.knowledge().rejects_dummy != Some(true) {
            self.learn(Knowledge { rotates: None, rejects_dummy: Some(true) }).await;
        }
    }

    /// Whether the provider is known to refuse a refresh token that is nobody's as it should.
    pub(super) async fn rejects_dummies(&self) -> bool {
        if self.knowledge().rejects_dummy == Some(true) {
            return true;
        }
        // While the store cannot be asked, nothing is known.
        let known = self.store.knowledge(self.provider.issuer(), self.provider.client_id()).await.unwrap_or_default();
        self.remember(known);
        known.rejects_dummy == Some(true)
    }

    async fn learn(&self, learnt: Knowledge) {
        match self.store.learn(self.provider.issuer(), self.provider.client_id(), learnt).await {
            Ok(()) => self.remember(learnt),
            // The next renewal shows it again.
            Err(error) => tracing::debug!(%error, "what was learnt of the provider could not be kept yet"),
        }
    }

    /// What this process knows to be in the store.
    fn knowledge(&self) -> Knowledge {
        *self.knowledge.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn remember(&self, learnt: Knowledge) {
        let mut known = self.knowledge.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.rotates = learnt.rotates.or(known.rotates);
        known.rejects_dummy = learnt.rejects_dummy.or(known.rejects_dummy);
    }
}
