//! Front-channel logout (OpenID Connect Front-Channel Logout 1.0 section 3): the provider has the user's browser load an address, which ends
//! the sessions that came of a session at the provider.
//!
//! Nobody proves who they are: knowing the session's identifier (`sid`) is all that it takes. So nothing happens at the provider, one that
//! could be guessed counts only where the browser's own cookie is of that session, and one that is nobody's writes nothing.

use std::sync::Arc;

use super::{LogoutInitiator, SignOut};
use crate::{
    oidc::Provider,
    session::{EndSource, SessionHash},
    store::{SessionFilter, StoreError},
};

/// The length in bytes below which an identifier could be guessed: that of 80 random bits as hex is 20, of 96 as base64 16.
const MIN_UNGUESSABLE: usize = 16;

const SOURCE: EndSource = EndSource::FrontChannelLogout;

impl SignOut {
    /// Ends the sessions here that came of a session at this provider. `own` are the sessions of the browser that asks. A frame
    /// that is removed does not cancel it.
    ///
    /// # Errors
    /// The store is away. What this replica knows has ended here, and is recorded later; more may be alive still.
    pub async fn end_provider_session(&self, provider: &Arc<Provider>, sid: &str, own: &[SessionHash]) -> Result<(), StoreError> {
        let (this, provider, sid, own) = (self.clone(), Arc::clone(provider), sid.to_owned(), own.to_vec());
        self.to_its_end(async move { this.end_provider_session_here(&provider, &sid, &own).await }).await
    }

    async fn end_provider_session_here(&self, provider: &Provider, sid: &str, own: &[SessionHash]) -> Result<(), StoreError> {
        if sid.len() < MIN_UNGUESSABLE && !self.came_of(own, provider, sid).await? {
            tracing::info!("a front-channel logout had no effect: its sid is so short that it could be guessed");
            return Ok(());
        }
        let (found, mut outcome) = match self.find_of(provider, sid).await {
            Ok(found) => (found, Ok(())),
            Err(error) => (self.known_of(provider, sid), Err(error)),
        };
        let is_any = !found.is_empty();
        for hash in found {
            if outcome.is_ok() {
                outcome = self.end_one(hash, LogoutInitiator::Other(SOURCE)).await.map(drop);
            }
            if outcome.is_err() {
                self.end_one_locally(SOURCE, hash);
            }
        }
        // What is nobody's is not counted either, because anybody can send it.
        if is_any {
            self.metrics.user_end(SOURCE.as_str(), if outcome.is_ok() { "ok" } else { "unrecorded" });
        }
        outcome
    }

    /// The sessions that came of a session at this provider, whichever client Evergate was.
    async fn find_of(&self, provider: &Provider, sid: &str) -> Result<Vec<SessionHash>, StoreError> {
        self.learn_clients().await?;
        let mut found = Vec::new();
        for registration in provider.registrations().iter() {
            let filter = SessionFilter { registration, subject: None, provider_session: Some(sid) };
            found.extend(self.store.find_sessions(filter).await?.current()?);
        }
        Ok(found)
    }

    /// The sessions in memory that came of a session at this provider.
    fn known_of(&self, provider: &Provider, sid: &str) -> Vec<SessionHash> {
        let (registrations, is_only) = (provider.registrations(), self.providers.only().is_some());
        self.cache.find_known(|session, grant| {
            session.provider_session.as_deref() == Some(sid)
                && grant.map_or(is_only, |grant| registrations.include(grant.registration()))
        })
    }

    /// Whether one of a browser's own sessions came of this one at the provider.
    async fn came_of(&self, own: &[SessionHash], provider: &Provider, sid: &str) -> Result<bool, StoreError> {
        let registrations = provider.registrations();
        for hash in own {
            let Some(session) = self.store.session(*hash).await? else { continue };
            if session.provider_session.as_deref() == Some(sid)
                && self.store.grant(session.grant).await?.is_some_and(|grant| registrations.include(grant.registration()))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
