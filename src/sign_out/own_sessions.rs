//! What a user ends of their own from another browser: one session or token, or all other browsers'.

use super::{LogoutInitiator, SignOut};
use crate::{
    client_registration::{ClientRegistration, Registrations},
    grant::Grant,
    session::{SessionHash, unrecorded::Extent},
    store::StoreError,
};

impl SignOut {
    /// Ends the further sessions that the browser of a logout presents, and returns those that there were. An end that the store cannot
    /// record takes effect on this replica, as in [`SignOut::end`].
    ///
    /// # Errors
    /// Some may be alive still.
    pub async fn end_others_of_browser(&self, sessions: Vec<SessionHash>) -> Result<Vec<SessionHash>, StoreError> {
        if sessions.is_empty() {
            return Ok(sessions);
        }
        let this = self.clone();
        self.to_its_end(async move {
            let mut ended = Vec::new();
            for hash in sessions {
                match this.end_one(hash, LogoutInitiator::User).await {
                    Ok(None) => {}
                    Ok(Some(_)) => ended.push(hash),
                    Err(error) => this.end_locally(hash, Extent::Session, error).await?,
                }
            }
            Ok(ended)
        })
        .await
    }

    /// Reads which clients Evergate is and was: a replica that has started since may be another one.
    ///
    /// # Errors
    /// What this replica knows is all that it goes by.
    pub async fn learn_clients(&self) -> Result<(), StoreError> {
        let known = self.store.recorded_clients().await?;
        self.providers.follow(|registration| known.lineage_of(registration));
        Ok(())
    }

    /// The registrations under which the user of a grant may have sessions and tokens: the grant's, and those that Evergate had before.
    pub fn registrations_of(&self, grant: &Grant) -> Registrations {
        self.registrations_after(grant.registration())
    }

    /// This registration, and those that follow one another with it.
    pub(super) fn registrations_after(&self, registration: ClientRegistration<'_>) -> Registrations {
        match self.providers.successor_of(registration) {
            Some(provider) => provider.registrations(),
            None => Registrations::only(registration),
        }
    }

    /// Ends all sessions of browsers that a grant's user has, but for those of this login, and leaves tokens alone. A client that disconnects
    /// does not cancel it. One that cannot be ended keeps no other alive.
    ///
    /// # Errors
    /// Some may be alive still.
    pub async fn end_other_browsers(&self, grant: &Grant, own: SessionHash) -> Result<(), StoreError> {
        let found = self.sessions_of_user(grant).await?;
        let this = self.clone();
        self.to_its_end(async move {
            let mut done = Ok(());
            for hash in found {
                let ended = async {
                    let Some(session) = this.store.session(hash).await? else { return Ok(()) };
                    if session.token.is_none() && session.login.unwrap_or(hash) != own {
                        this.end_one(hash, LogoutInitiator::UserElsewhere).await?;
                    }
                    Ok(())
                };
                done = done.and(ended.await);
            }
            done
        })
        .await
    }

    /// Ends the session or token of a grant's user that `is_meant` selects by its hash, unless it is of this login.
    ///
    /// # Errors
    /// It may be alive still.
    pub async fn end_one_of_user(
        &self,
        grant: &Grant,
        own: SessionHash,
        is_meant: impl Fn(SessionHash) -> bool,
    ) -> Result<(), StoreError> {
        let found = self.sessions_of_user(grant).await?;
        match found.into_iter().find(|hash| *hash != own && is_meant(*hash)) {
            Some(hash) => {
                let Some(session) = self.store.session(hash).await? else { return Ok(()) };
                let is_token = session.token.is_some();
                let by = if is_token { LogoutInitiator::TokenOwner } else { LogoutInitiator::UserElsewhere };
                self.end_other(hash, by).await.map(drop)
            }
            None => Ok(()),
        }
    }
}
