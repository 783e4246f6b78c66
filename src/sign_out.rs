//! Logout: ends the session locally first, then at the provider (RP-initiated logout, token revocation), and obeys those who have users'
//! sessions ended ([`UserEnd`]), as by back-channel logout.

mod front_channel;
mod journey;
mod later;
mod logout_tokens;
mod own_sessions;
mod pending_ends;
mod request;
mod revoking;
mod user_end;
mod user_ends;

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    address::{AccessUrl, RedirectUris},
    client_registration::Registrations,
    clock::Clock,
    grant::Grant,
    oidc::{Provider, Providers},
    reading::Reading,
    seal::KeyRing,
    session::{EndSource, SessionHash, UserKey, cache::SessionCache, unrecorded::Extent},
    store::{EndedSession, SessionFilter, Store, StoreError},
    telemetry::metrics::Metrics,
    to_its_end::to_its_end,
};

use journey::LogoutState;
pub use logout_tokens::LogoutTokenError;
pub use pending_ends::PendingEnds;
pub use request::LogoutRequest;
pub use user_end::{EndExtent, UserEnd};

/// The logout workflow.
#[derive(Clone, Debug)]
pub struct SignOut {
    /// The providers.
    pub providers: Providers,
    /// The store of sessions and grants.
    pub store: Store,
    /// The post-logout redirect URIs, which must be registered at the provider.
    pub signed_out_uris: RedirectUris,
    /// Encrypts the logout state.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// Counts logouts.
    pub metrics: Metrics,
    /// Tracks logout tasks, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
    /// Cached sessions, and those whose end is not in the store yet.
    pub cache: Arc<SessionCache>,
    /// Ends of users that are not in the store yet.
    pub pending_ends: Arc<PendingEnds>,
}

/// What a user ends who signs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserLogout {
    /// The session of this browser.
    Here,
    /// All their sessions and personal access tokens.
    Everywhere,
}

impl UserLogout {
    /// Who ends the session, for the history.
    fn initiator(self) -> LogoutInitiator {
        match self {
            Self::Here => LogoutInitiator::User,
            Self::Everywhere => LogoutInitiator::UserEverywhere,
        }
    }

    /// What ends on this replica while the store cannot record it.
    fn extent(self) -> Extent {
        match self {
            Self::Here => Extent::Session,
            Self::Everywhere => Extent::AllOfUser,
        }
    }
}

/// Who ends a session. Recorded in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutInitiator {
    /// The user, in this browser.
    User,
    /// The user, in another browser, which stays as it is.
    UserElsewhere,
    /// The user, who ends a personal access token.
    TokenOwner,
    /// The user, for all their browsers.
    UserEverywhere,
    /// An administrator.
    Administrator,
    /// Somebody outside of Evergate, as the provider.
    Other(EndSource),
}

impl LogoutInitiator {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let here = [Self::User, Self::UserElsewhere, Self::TokenOwner, Self::UserEverywhere, Self::Administrator];
        here.into_iter().chain(EndSource::ALL.map(Self::Other))
    }

    /// The name in the history, which must not change.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::UserElsewhere => "user_elsewhere",
            Self::TokenOwner => "token_owner",
            Self::UserEverywhere => "user_everywhere",
            Self::Administrator => "administrator",
            Self::Other(source) => source.as_str(),
        }
    }

    /// Parses a name of the history.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|initiator| initiator.as_str() == text)
    }

    /// Whether the refresh token is revoked at the provider too. A front-channel logout proves nothing of who sent it, and ends no more than
    /// what is here.
    fn revokes(self) -> bool {
        match self {
            Self::Other(EndSource::FrontChannelLogout) => false,
            Self::User
            | Self::UserElsewhere
            | Self::TokenOwner
            | Self::UserEverywhere
            | Self::Administrator
            | Self::Other(
                EndSource::BackChannelLogout | EndSource::GlobalTokenRevocation | EndSource::Scim | EndSource::SecurityEvent,
            ) => true,
        }
    }
}

impl SignOut {
    /// Ends the session of a browser at `site`, for [`UserLogout::Everywhere`] all sessions of its user, revokes in the
    /// background the refresh tokens that no other session uses, and returns the URL of the provider's logout. If the store
    /// cannot record the end of a user's session, the session ends on this replica and the end is recorded later. A client that
    /// disconnects does not cancel the logout.
    ///
    /// # Errors
    /// The session may be alive still, and nothing was sent to the provider.
    pub async fn end(
        &self,
        hash: SessionHash,
        what: UserLogout,
        site: &AccessUrl,
        return_to: Option<&str>,
    ) -> Result<Option<Url>, StoreError> {
        let back = self.signed_out_uris.of(site);
        let state = self.state(site, return_to);
        let this = self.clone();
        self.to_its_end(async move { this.end_here(hash, what, &back, state.as_deref()).await }).await
    }

    /// Does to its end what a client that disconnects must not cancel, and what a shutdown waits for: what is half done leaves sessions
    /// alive, or has no trace in the history.
    pub fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        to_its_end(&self.tasks, work)
    }

    /// Returns the URL of the provider's logout for a browser of `site` that has no session here. With several providers it is unknown at
    /// which the browser may have one.
    pub fn at_provider(&self, site: &AccessUrl, return_to: Option<&str>) -> Option<Url> {
        self.providers.only()?.end_session_url(None, &self.signed_out_uris.of(site), self.state(site, return_to).as_deref())
    }

    /// What the provider gives back with the browser: where the logout leads, and the site where it began, if that is another one.
    fn state(&self, site: &AccessUrl, return_to: Option<&str>) -> Option<String> {
        LogoutState::new(return_to, self.signed_out_uris.remembered(site), self.clock.now()).seal(&self.keys)
    }

    async fn end_here(
        &self,
        hash: SessionHash,
        what: UserLogout,
        back: &str,
        state: Option<&str>,
    ) -> Result<Option<Url>, StoreError> {
        // Keys are refreshed first, so that nothing delays the response once the session has ended, when the page's open
        // connections are cut.
        let provider = self.provider_of(hash).await;
        if let Some(provider) = &provider {
            provider.refresh_keys_before_logout().await;
        }
        let id_token = match self.end_recorded(hash, what.initiator()).await {
            Ok(Some(ended)) => ended.id_token,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.end_locally(hash, what.extent(), error).await?;
                None
            }
        };
        Ok(provider.and_then(|provider| provider.end_session_url(id_token.as_ref(), back, state)))
    }

    /// The provider at which a session's user logs out too.
    async fn provider_of(&self, session: SessionHash) -> Option<Arc<Provider>> {
        if let Some(only) = self.providers.only() {
            return Some(Arc::clone(only));
        }
        let grant = self.grant_of(session).await.ok().flatten()?;
        self.providers.of(grant.registration()).map(Arc::clone)
    }

    /// Ends a session in the store, and for [`LogoutInitiator::UserEverywhere`] its user's others.
    async fn end_recorded(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Option<EndedSession>, StoreError> {
        if by != LogoutInitiator::UserEverywhere {
            return self.end_one(hash, by).await;
        }
        let Some(session) = self.store.session(hash).await? else { return self.end_one(hash, by).await };
        let Some(grant) = self.store.grant(session.grant).await? else { return self.end_one(hash, by).await };
        // Those of other logins end first, so that after a failure halfway the user can try again with this one. Those of its own login
        // end with it.
        self.end_all_of_user(&grant, Some(session.login.unwrap_or(hash)), by).await?;
        let ended = self.end_one(hash, by).await?;
        // What was made of it meanwhile.
        self.end_all_of_user(&grant, None, by).await?;
        Ok(ended)
    }

    /// Returns the path to which a logout with this `state` leads; `None` if the state is not ours or has expired.
    pub fn destination(&self, state: &str) -> Option<String> {
        LogoutState::open(&self.keys, state, self.clock.now())?.to
    }

    /// The address of the signed-out page at the site where the logout began, if the browser has come back to `site` with `state`
    /// in `query` and that is another one.
    pub fn signed_out_elsewhere(&self, site: &AccessUrl, state: &str, query: &str) -> Option<String> {
        let state = LogoutState::open(&self.keys, state, self.clock.now())?;
        self.signed_out_uris.elsewhere(&state.site?, site, query)
    }

    async fn grant_of(&self, session: SessionHash) -> Result<Option<Grant>, StoreError> {
        let Some(session) = self.store.session(session).await? else { return Ok(None) };
        self.store.grant(session.grant).await
    }

    /// Ends the sessions of a grant's user, but for those of this login.
    async fn end_all_of_user(&self, grant: &Grant, but: Option<SessionHash>, by: LogoutInitiator) -> Result<(), StoreError> {
        for hash in self.sessions_of_user(grant).await? {
            // It may have ended with another one of its login.
            let Some(session) = self.store.session(hash).await? else { continue };
            if Some(session.login.unwrap_or(hash)) != but {
                self.end_one(hash, by).await?;
            }
        }
        Ok(())
    }

    /// The other sessions of a session's user, by the store.
    async fn others_of_user(&self, own: SessionHash) -> Result<Vec<SessionHash>, StoreError> {
        let Some(grant) = self.grant_of(own).await? else { return Ok(Vec::new()) };
        // They are found again when the end of this one is recorded.
        let mut sessions = self.find_sessions_of_user(&grant).await?.even_if_old();
        sessions.retain(|hash| *hash != own);
        Ok(sessions)
    }

    async fn sessions_of_user(&self, grant: &Grant) -> Result<Vec<SessionHash>, StoreError> {
        self.find_sessions_of_user(grant).await?.current()
    }

    async fn find_sessions_of_user(&self, grant: &Grant) -> Result<Reading<Vec<SessionHash>>, StoreError> {
        self.learn_clients().await?;
        self.sessions_of_subject(&grant.identity.subject, &self.registrations_of(grant)).await
    }

    async fn sessions_of_subject(
        &self,
        subject: &str,
        registrations: &Registrations,
    ) -> Result<Reading<Vec<SessionHash>>, StoreError> {
        let mut found = Reading::Current(Vec::new());
        for registration in registrations.iter() {
            let filter = SessionFilter { registration, subject: Some(subject), provider_session: None };
            found = found.and(self.store.find_sessions(filter).await?, |all, more| all.extend(more));
        }
        Ok(found)
    }

    /// Ends a session or a personal access token that is named from another browser, which stays as it is, and returns what has ended
    /// by that: with it those that were handed over to other sites, or nothing if somebody else was faster. A client that disconnects does
    /// not cancel it.
    ///
    /// # Errors
    /// It may be alive still.
    pub async fn end_other(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Vec<SessionHash>, StoreError> {
        let this = self.clone();
        let ended = self.to_its_end(async move { this.end_one(hash, by).await }).await?;
        let with_others = |ended: EndedSession| ended.others.into_iter().map(|(other, _)| other).chain([hash]).collect();
        Ok(ended.map(with_others).unwrap_or_default())
    }

    /// Refuses from now on the bearer tokens that a provider has issued to a user so far: no session stands behind them.
    ///
    /// # Errors
    /// They may be accepted still.
    pub async fn refuse_bearer_tokens_of(&self, issuer: &str, subject: &str) -> Result<(), StoreError> {
        self.learn_clients().await?;
        let (key, now) = (UserKey::Subject(subject.to_owned()), self.clock.now());
        for provider in self.providers.iter().filter(|provider| provider.issuer() == issuer) {
            let registrations = provider.registrations();
            let mut names = UserKey::each_name(std::slice::from_ref(&key), &registrations);
            names.extend(UserKey::token_names(subject, &registrations));
            self.end_names(&names, now).await?;
        }
        Ok(())
    }

    async fn end_stored(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Option<EndedSession>, StoreError> {
        if by.revokes() { self.store.end_session(hash).await } else { self.store.end_session_without_revocation(hash).await }
    }

    async fn end_one(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Option<EndedSession>, StoreError> {
        let ended = self.end_stored(hash, by).await?;
        self.cache.forget_session(hash);
        let Some(mut ended) = ended else { return Ok(None) };
        if self.providers.of(ended.registration()).is_none() {
            // The ID token belongs to another provider or client, and must not be sent to any of these.
            ended.id_token = None;
        }
        for (other, _) in &ended.others {
            self.cache.forget_session(*other);
        }
        self.store.record_logout(hash, &ended, by.as_str(), self.clock.now());
        Ok(Some(ended))
    }
}
