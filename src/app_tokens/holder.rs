//! Whose token it is: the session that an assertion names, or the newest session of a user, with a fresh grant.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use super::{
    components::AppTokens,
    error::TokenError,
    token_request::{TokenRequest, Whose},
};
use crate::{
    assertion::{Asserted, SessionName},
    backoff::SOON,
    clock::Timestamp,
    grant::Grant,
    reading::Reading,
    renewal::{Unusable, Usable},
    routing::Route,
    session::SessionHash,
    store::{ListedSession, SeenPosition, SessionFilter, SessionKind, StoreError},
    visitor::{SignedIn, Visitor},
};

/// A grant whose access token may be given away.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) grant: Arc<Grant>,
    /// The session that it was found by.
    pub(super) session: SessionHash,
    /// The route whose app asks, by its URL; `None` where a user was asked for.
    pub(super) route: Option<String>,
}

/// How many sessions of a user are looked at. The newest that lives is found among the first, but for those that have just expired.
const MAX_SESSIONS: usize = 32;

impl Holder {
    /// How the app said whose token it wants.
    pub(super) fn asked_by(&self) -> &'static str {
        if self.route.is_some() { "session" } else { "user" }
    }
}

impl AppTokens {
    /// Finds whose token a request asks for, and refreshes it where it must be.
    pub(super) async fn find_holder(&self, request: &TokenRequest) -> Result<Holder, TokenError> {
        match &request.whose {
            Whose::Session(assertion) => self.by_session(assertion, request.lasting).await,
            Whose::User { issuer, subject } => self.by_user(issuer.as_deref(), subject, request.lasting).await,
        }
    }

    async fn by_session(&self, assertion: &str, lasting: Duration) -> Result<Holder, TokenError> {
        let asserted = self.parts.assertions.read(assertion).ok_or(TokenError::InvalidAssertion)?;
        // An app has the assertions that were sent to it, so that this is the app's route, and not one that it names.
        let routes: Vec<&Route> =
            self.parts.routes.iter().filter(|route| route.assertion.as_deref() == Some(asserted.audience.as_str())).collect();
        if routes.is_empty() || !routes.iter().all(|route| route.app_tokens) {
            return Err(TokenError::RouteNotAllowed);
        }
        let session = self.session_of(&asserted).await?.ok_or(TokenError::SessionEnded)?;
        let grant = self.fresh_grant(session, lasting).await?;
        let policy = self.parts.policies.of(grant.registration()).ok_or(TokenError::UserNotAllowed)?;
        let provider = self.parts.providers.of(grant.registration()).ok_or(TokenError::UserNotAllowed)?;
        let admits = |route: &&Route| {
            route.rule.takes_provider(provider.name()) && route.rule.permit(Some(policy), &grant.identity, || None).is_ok()
        };
        if !routes.iter().all(admits) {
            return Err(TokenError::UserNotAllowed);
        }
        Ok(Holder { grant, session, route: Some(asserted.audience) })
    }

    /// The session that an assertion names: one of its user's.
    async fn session_of(&self, asserted: &Asserted) -> Result<Option<SessionHash>, TokenError> {
        let names = &self.parts.shared.names;
        if let Some(known) = names.get(&asserted.session) {
            return Ok(Some(known));
        }
        let mut unclear = None;
        // Each may know the subject, and one session alone has this name.
        for provider in self.parts.providers.iter() {
            let filter =
                SessionFilter { registration: provider.registration(), subject: Some(&asserted.subject), provider_session: None };
            let found = self.parts.store.find_sessions(filter).await.map_err(|error| unavailable(&error))?;
            let found = found.map(|found| found.into_iter().find(|hash| SessionName::of(&hash.0) == asserted.session));
            match found.found_even_if_old() {
                Ok(Some(hash)) => {
                    names.insert(asserted.session.clone(), hash);
                    return Ok(Some(hash));
                }
                Ok(None) => {}
                // A standby may lack it, and it may still be one of the next provider's.
                Err(error) => unclear = Some(error),
            }
        }
        unclear.map_or(Ok(None), |error| Err(unavailable(&error)))
    }

    /// The newest session of a user whose grant lives decides; where none does, one in its remaining use. The user must still have one:
    /// no job outlives all of them.
    async fn by_user(&self, issuer: Option<&str>, subject: &str, lasting: Duration) -> Result<Holder, TokenError> {
        if !self.parts.settings.by_user {
            return Err(TokenError::ByUserNotAllowed);
        }
        let only = || self.parts.providers.only().map(|provider| provider.issuer());
        let issuer =
            issuer.or_else(only).ok_or(TokenError::InvalidRequest("issuer is needed, because there are several providers"))?;
        let mut found = Reading::Current(Vec::new());
        // Of this issuer's alone: the same subject at another one is another user, whose outage is not this one's.
        for provider in self.parts.providers.iter().filter(|provider| provider.issuer() == issuer) {
            let registration = provider.registration();
            let more = self.parts.store.sessions_of_user(registration, subject, SessionKind::All, SeenPosition::START).await;
            found = found.and(more.map_err(|error| unavailable(&error))?, |found, (more, _next)| found.extend(more));
        }
        let are_all = found.is_current();
        let mut listed: Vec<ListedSession> = found.even_if_old();
        // Of grants that have ended, the one whose access token lives longest is of most use.
        listed.sort_by_key(|listed| {
            let ended = listed.grant.ended.is_some();
            (ended, Reverse(if ended { listed.grant.expires_at } else { listed.session.created_at }))
        });
        for session in listed.iter().map(|listed| listed.session.hash).take(MAX_SESSIONS) {
            match self.fresh_grant(session, lasting).await {
                Ok(grant) => {
                    let policy = self.parts.policies.of(grant.registration()).ok_or(TokenError::UserNotAllowed)?;
                    policy.admit(&grant.identity).map_err(|_| TokenError::UserNotAllowed)?;
                    return Ok(Holder { grant, session, route: None });
                }
                Err(TokenError::SessionEnded) => {}
                Err(error) => return Err(error),
            }
        }
        // A standby may lack the one that lives.
        Err(if are_all { TokenError::UnknownUser } else { TokenError::Unavailable(SOON) })
    }

    /// The grant of a session within its limits, with an access token that can be used. This is no use of the session: what a job does
    /// on its own must not keep the session of a user alive who has left.
    async fn fresh_grant(&self, session: SessionHash, lasting: Duration) -> Result<Arc<Grant>, TokenError> {
        let visitor = self.parts.visitors.recognise_either(session).await.map_err(|error| unavailable(&error))?;
        let usable = match visitor {
            Visitor::Anonymous(_) => return Err(TokenError::SessionEnded),
            Visitor::SignedIn(signed_in) => self.keep_fresh(signed_in, lasting).await?,
            Visitor::Remembered(signed_in, error) => {
                let usable = self.parts.renewer.serve_without_store(signed_in.grant);
                usable.ok_or_else(|| unavailable(&error))?
            }
        };
        // During an outage a user is served with their last identity. A token that has expired, or may be another user's, is of no use.
        let now = self.parts.clock.now();
        Some(usable.grant).filter(|grant| can_be_given(grant, now)).ok_or(TokenError::Unavailable(SOON))
    }

    /// The grant that a session has, or gets meanwhile, fresh.
    async fn keep_fresh(&self, signed_in: SignedIn, lasting: Duration) -> Result<Usable, TokenError> {
        let (visitors, renewer) = (&self.parts.visitors, &self.parts.renewer);
        let unusable = match renewer.keep_fresh_for(Arc::clone(&signed_in.grant), lasting).await {
            Ok(usable) => return Ok(usable),
            Err(unusable) => unusable,
        };
        match visitors.moved(&signed_in).await.map_err(|error| unavailable(&error))? {
            Some(moved) => renewer.keep_fresh_for(moved.grant, lasting).await.map_err(TokenError::from),
            None => Err(unusable.into()),
        }
    }
}

impl From<Unusable> for TokenError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::SignInAgain(_) | Unusable::Gone => Self::SessionEnded,
            // It may be renewed again: nobody should take the session for ended.
            Unusable::Refused => Self::Unavailable(SOON),
            Unusable::Unavailable(wait) => Self::Unavailable(wait),
        }
    }
}

/// Whether the access token lives and is known to be its user's.
fn can_be_given(grant: &Grant, now: Timestamp) -> bool {
    now < grant.expires_at && grant.unverified_since.is_none() && grant.missing_key.is_none()
}

fn unavailable(error: &StoreError) -> TokenError {
    tracing::debug!(%error, "the store could not be asked for the session of a job");
    TokenError::Unavailable(SOON)
}
