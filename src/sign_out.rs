//! Logout: the session ends here first, then at the provider as far as it lets us.

mod journey;
mod later;
mod revoking;

use std::sync::Arc;

use http::{HeaderMap, Method};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    address::AccessUrl,
    clock::Clock,
    history::{Event, Kind},
    oidc::{LEEWAY, LogoutToken, Provider},
    seal::KeyRing,
    secret::sha256,
    session::{SessionHash, cache::SessionCache, unrecorded::Extent},
    store::{EndedSession, SessionFilter, Store, StoreError},
    telemetry::metrics::Metrics,
};

/// The logout workflow.
#[derive(Clone, Debug)]
pub struct SignOut {
    /// The provider.
    pub provider: Arc<Provider>,
    /// Where sessions are kept.
    pub store: Store,
    /// The path that the provider sends browsers to after; to be registered there for each of our addresses.
    pub signed_out_path: String,
    /// Seals where a browser goes after.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// Counts logouts.
    pub metrics: Metrics,
    /// Where revocations run, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
    /// Somebody has just left a refresh token to be revoked.
    pub revocations: Arc<Notify>,
    /// Sessions in memory, and those that have ended here and not in the store yet.
    pub cache: Arc<SessionCache>,
}

/// Whether a request to log out is the user's own wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutRequest {
    /// It comes from a page of ours or of the app.
    Intended,
    /// It may be forged (logout CSRF), so the user is asked.
    NeedsConfirmation,
}

/// Who ends a session. Recorded in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutInitiator {
    /// The user, in this browser.
    User,
    /// The user, for all their browsers.
    UserEverywhere,
    /// An administrator.
    Administrator,
    /// The provider, which has logged the user out there.
    Provider,
}

impl LogoutInitiator {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::UserEverywhere => "user_everywhere",
            Self::Administrator => "administrator",
            Self::Provider => "provider",
        }
    }
}

impl SignOut {
    /// Ends the session of a browser that comes from `site`, for [`LogoutInitiator::UserEverywhere`] all of its user's, revokes in the
    /// background the refresh tokens that no other session uses, and says where the provider wants the browser to log out. Where
    /// the store cannot take the end of a user's session, it is over here all the same, and recorded later. A browser that leaves
    /// meanwhile is signed out as well.
    ///
    /// # Errors
    /// The session may live on, and nothing was sent to the provider.
    pub async fn end(
        &self,
        hash: SessionHash,
        by: LogoutInitiator,
        site: &AccessUrl,
        return_to: Option<&str>,
    ) -> Result<Option<Url>, StoreError> {
        let back = site.at(&self.signed_out_path);
        let state = return_to.and_then(|path| journey::seal(&self.keys, path, self.clock.now()));
        let this = self.clone();
        let ending = self.tasks.spawn(async move { this.end_here(hash, by, &back, state.as_deref()).await });
        // It fails only where the process ends.
        ending.await.unwrap_or(Ok(None))
    }

    /// Where the provider ends a session of its own, for a browser of `site` that has none here.
    pub fn at_provider(&self, site: &AccessUrl, return_to: Option<&str>) -> Option<Url> {
        let state = return_to.and_then(|path| journey::seal(&self.keys, path, self.clock.now()));
        self.provider.end_session_url(None, &site.at(&self.signed_out_path), state.as_deref())
    }

    async fn end_here(
        &self,
        hash: SessionHash,
        by: LogoutInitiator,
        back: &str,
        state: Option<&str>,
    ) -> Result<Option<Url>, StoreError> {
        // First, so that nothing stands between the end of the session and the answer that says so: what is open on the page is
        // cut by then.
        self.provider.refresh_keys_before_logout().await;
        let id_token = match self.end_recorded(hash, by).await {
            Ok(Some(farewell)) => farewell.id_token,
            Ok(None) => return Ok(None),
            Err(error) => {
                let extent = match by {
                    LogoutInitiator::User => Extent::Session,
                    LogoutInitiator::UserEverywhere => Extent::AllOfUser,
                    LogoutInitiator::Administrator | LogoutInitiator::Provider => return Err(error),
                };
                self.end_later(hash, extent, error).await?;
                None
            }
        };
        Ok(self.provider.end_session_url(id_token.as_ref(), back, state))
    }

    /// Ends a session in the store, and its user's others where they are meant.
    async fn end_recorded(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Option<EndedSession>, StoreError> {
        if by == LogoutInitiator::UserEverywhere {
            self.end_others(hash, by).await?;
        }
        self.end_one(hash, by).await
    }

    /// Where a browser wanted to go that comes back from the provider with `state`; `None` unless that is ours.
    pub fn destination(&self, state: &str) -> Option<String> {
        journey::open(&self.keys, state, self.clock.now())
    }

    /// Ends the other sessions of a session's user. They go first, so that a store that fails in the middle leaves the one
    /// with which its user can try again.
    async fn end_others(&self, own: SessionHash, by: LogoutInitiator) -> Result<(), StoreError> {
        let Some(session) = self.store.session(own).await? else { return Ok(()) };
        let Some(grant) = self.store.grant(session.grant).await? else { return Ok(()) };
        let whose = SessionFilter {
            issuer: &grant.issuer,
            client_id: &grant.client_id,
            subject: Some(&grant.identity.subject),
            provider_session: None,
        };
        for hash in self.store.find_sessions(whose).await? {
            if hash != own {
                self.end_one(hash, by).await?;
            }
        }
        Ok(())
    }

    /// Ends the sessions of whoever the provider has logged out. Those that began after are not meant, and a token that was
    /// obeyed does nothing when it comes again.
    ///
    /// # Errors
    /// Some sessions may live on; the provider may send the token again.
    pub async fn end_by_provider(&self, token: &LogoutToken) -> Result<(), StoreError> {
        let whose = SessionFilter {
            issuer: self.provider.issuer(),
            client_id: self.provider.client_id(),
            subject: token.subject.as_deref(),
            provider_session: token.provider_session.as_deref(),
        };
        let name = sha256(format!("logout token {} {}", self.provider.issuer(), token.id).as_bytes());
        if self.store.is_consumed(name).await? {
            return Ok(());
        }
        // First, so that a login that is just being kept is either found or finds this.
        self.store.remember_logout(whose, self.clock.now()).await?;
        for hash in self.store.find_sessions(whose).await? {
            let session = self.store.session(hash).await?;
            if session.is_some_and(|session| session.created_at <= token.issued_at.plus(LEEWAY)) {
                self.end_one(hash, LogoutInitiator::Provider).await?;
            }
        }
        // Only now: a token that could not be obeyed may come again.
        self.store.consume_once(name, token.expires_at).await?;
        Ok(())
    }

    async fn end_one(&self, hash: SessionHash, by: LogoutInitiator) -> Result<Option<EndedSession>, StoreError> {
        let Some(mut farewell) = self.store.end_session(hash).await? else { return Ok(None) };
        if farewell.issuer != self.provider.issuer() || farewell.client_id != self.provider.client_id() {
            // Its token is another provider's, or another client's, and is shown to nobody else.
            farewell.id_token = None;
        }
        self.metrics.logout();
        tracing::info!(session = hash.short(), by = by.as_str(), "logged out");
        let event = Event::of(Kind::Logout, farewell.grant, &farewell.identity, self.clock.now()).of_session(hash);
        self.store.enqueue_event(event.because(by.as_str()));
        self.revocations.notify_one();
        Ok(Some(farewell))
    }
}

impl LogoutRequest {
    /// Judges by what browsers say of a request's origin (Fetch metadata, `Origin`). A link that a stranger plants
    /// must not log anybody out, nor a picture or a prefetched page of our own; an app's own link must.
    pub fn judge(method: &Method, headers: &HeaderMap, access: &AccessUrl) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let clicked = text("sec-fetch-mode") == Some("navigate")
            && text("sec-fetch-dest") == Some("document")
            && text("sec-purpose").is_none();
        match (method, text("sec-fetch-site"), text("origin")) {
            (&Method::POST, Some("same-origin"), _) => Self::Intended,
            (_, Some("same-origin"), _) if clicked => Self::Intended,
            (_, Some(_), _) => Self::NeedsConfirmation,
            (&Method::POST, None, Some(origin)) if origin == access.at("") => Self::Intended,
            // Neither header: no browser of today. SameSite=Lax kept the cookie from a foreign page's form.
            (&Method::POST, None, None) => Self::Intended,
            (_, None, _) => Self::NeedsConfirmation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_log_a_user_out_without_asking() {
        let access = AccessUrl::parse("https://app.example").unwrap();
        let judged = |method: Method, lines: &[(&'static str, &str)]| {
            let headers =
                lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
            LogoutRequest::judge(&method, &headers, &access)
        };
        assert_eq!(judged(Method::POST, &[("sec-fetch-site", "same-origin")]), LogoutRequest::Intended);
        let link = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert_eq!(judged(Method::GET, &link), LogoutRequest::Intended);
        assert_eq!(judged(Method::GET, &[link[0], link[1], ("sec-fetch-dest", "iframe")]), LogoutRequest::NeedsConfirmation);
        assert_eq!(
            judged(Method::GET, &[link[0], ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]),
            LogoutRequest::NeedsConfirmation
        );
        assert_eq!(
            judged(Method::GET, &[link[0], link[1], link[2], ("sec-purpose", "prefetch")]),
            LogoutRequest::NeedsConfirmation
        );
        assert_eq!(judged(Method::POST, &[("origin", "https://app.example")]), LogoutRequest::Intended);
        assert_eq!(judged(Method::POST, &[]), LogoutRequest::Intended);
        for (method, lines) in [
            (Method::GET, &[][..]),
            (Method::GET, &[("sec-fetch-site", "none")]),
            (Method::GET, &[("sec-fetch-site", "cross-site")]),
            (Method::GET, &[("origin", "https://app.example")]),
            (Method::POST, &[("sec-fetch-site", "cross-site")]),
            (Method::POST, &[("sec-fetch-site", "same-site")]),
            (Method::POST, &[("origin", "https://evil.example")]),
            (Method::POST, &[("origin", "null")]),
        ] {
            assert_eq!(judged(method.clone(), lines), LogoutRequest::NeedsConfirmation, "{method} {lines:?}");
        }
    }
}
