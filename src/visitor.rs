//! Recognises who sends a request, and cuts what they have open when their session ends.
//!
//! Authentication is by session cookie, or by a personal access token, which is a session's too. [`Visitors::recognise`] answers "who is it", [`ConnectionMemo`] answers it again for the
//! next request of the same connection, and `recheck` answers it for connections that outlive their request.

mod changed_grants;
mod ended_users;
mod memo;
mod pending_changes;
mod reason;
mod recheck;
mod reload;
mod signed_in;

use std::sync::Arc;

use http::HeaderMap;

use crate::{
    clock::{Clock, Timestamp},
    policy::Policies,
    session::{
        self, SessionHash, TokenOwner,
        cache::{CachedSession, SessionCache},
        cookie::Cookies,
        live::{LiveSessions, Watch, WatchedToken},
    },
    store::{Change, Store, StoreError},
};

use changed_grants::ChangedGrants;
use memo::Versions;
use pending_changes::PendingChanges;

pub use memo::ConnectionMemo;
pub use reason::SignInReason;
pub use signed_in::{SignedIn, Visitor};

/// Where sessions are found, and by which rules they are served.
#[derive(Debug)]
pub struct Sources {
    /// The names of our cookies.
    pub cookies: Cookies,
    /// How long sessions live.
    pub settings: session::Settings,
    /// Sessions and grants in memory.
    pub cache: Arc<SessionCache>,
    /// Sessions and grants in the store.
    pub store: Store,
    /// The policy that every user must pass, also for what they have open.
    pub policies: Policies,
    /// The time.
    pub clock: Clock,
}

/// Recognises visitors by their session cookie, and knows which sessions have connections open.
#[derive(Debug)]
pub struct Visitors {
    sources: Sources,
    live: Arc<LiveSessions>,
    pending: PendingChanges,
    changed_grants: ChangedGrants,
}

impl Visitors {
    /// Recognises by what is found in `sources`.
    pub fn new(sources: Sources) -> Self {
        let live = LiveSessions::new(Arc::clone(&sources.cache), sources.settings.clone(), sources.clock.clone());
        Self { sources, live: Arc::new(live), pending: PendingChanges::default(), changed_grants: ChangedGrants::default() }
    }

    /// Recognises the visitor on a connection whose last request probably was theirs too.
    ///
    /// # Errors
    /// The store is away; see [`Visitors::recognise`].
    pub async fn recognise_on_connection(&self, headers: &HeaderMap, memo: &ConnectionMemo) -> Result<Visitor, StoreError> {
        let Some(cookies) = memo::only_cookie_line(headers) else { return Box::pin(self.recognise(headers)).await };
        if let Some(signed_in) = memo.recall(cookies, &self.sources.cache)
            && signed_in.session.reached(&self.sources.settings, self.sources.clock.now()).is_none()
        {
            return Ok(Visitor::SignedIn(signed_in));
        }
        let (visitor, versions) = Box::pin(self.find(headers)).await?;
        if let (Visitor::SignedIn(signed_in), Some(versions)) = (&visitor, versions) {
            memo.remember(cookies, versions, signed_in);
        }
        Ok(visitor)
    }

    /// Recognises the visitor by the request's session cookie.
    ///
    /// # Errors
    /// The store is away, and the session is not remembered. That never makes an anonymous visitor, because it would log people
    /// out.
    pub async fn recognise(&self, headers: &HeaderMap) -> Result<Visitor, StoreError> {
        self.find(headers).await.map(|(visitor, _)| visitor)
    }

    /// Recognises the visitor by their browser's session, of which somebody has proof.
    ///
    /// # Errors
    /// The store is away.
    pub async fn recognise_session(&self, hash: SessionHash) -> Result<Visitor, StoreError> {
        self.look_up(hash).await.map(|(visitor, _)| visitor.if_session(|session| session.token.is_none()))
    }

    /// Recognises the visitor by a personal access token.
    ///
    /// # Errors
    /// The store is away; see [`Visitors::recognise`].
    pub async fn recognise_token(&self, token: &str) -> Result<Visitor, StoreError> {
        Ok(self.recognise_either(SessionHash::of(token)).await?.if_session(|session| session.token.is_some()))
    }

    /// Recognises whose session this is: a browser's or a personal access token's.
    ///
    /// # Errors
    /// The store is away; see [`Visitors::recognise`].
    pub async fn recognise_either(&self, hash: SessionHash) -> Result<Visitor, StoreError> {
        match self.look_up(hash).await {
            Err(error) if !error.is_refusal() => self.remember(hash, error),
            found => found.map(|(visitor, _)| visitor),
        }
    }

    /// The visitor anew, if their session has another grant by now: a login elsewhere may have taken it over while its request waited
    /// for the grant that it had.
    ///
    /// # Errors
    /// The store is away; see [`Visitors::recognise`].
    pub async fn moved(&self, before: &SignedIn) -> Result<Option<SignedIn>, StoreError> {
        match self.recognise_either(before.session().hash).await? {
            Visitor::SignedIn(now) if now.grant.id != before.grant.id => Ok(Some(now)),
            Visitor::SignedIn(_) | Visitor::Remembered(..) | Visitor::Anonymous(_) => Ok(None),
        }
    }

    /// Finds the visitor, and of which versions of their session and grant that is true, if of any.
    async fn find(&self, headers: &HeaderMap) -> Result<(Visitor, Option<Versions>), StoreError> {
        let Some(value) = self.sources.cookies.session_value(headers) else {
            return Ok((Visitor::Anonymous(SignInReason::NoSession), None));
        };
        let hash = SessionHash::of(value);
        match self.look_up(hash).await {
            Err(error) if !error.is_refusal() => Ok((self.remember(hash, error)?, None)),
            // A token is no cookie.
            found => found.map(|(visitor, versions)| (visitor.if_session(|session| session.token.is_none()), versions)),
        }
    }

    /// Finds the visitor whose session this is as it was last known, for a grace, after the store failed with `error`.
    ///
    /// # Errors
    /// `error`, if that is not known, or the session has reached a limit; it may have been used through another replica.
    fn remember(&self, hash: SessionHash, error: StoreError) -> Result<Visitor, StoreError> {
        let Sources { settings, cache, clock, .. } = &self.sources;
        let now = clock.now();
        match cache.remembered(hash, now) {
            Some((session, grant)) if session.reached(settings, now).is_none() => {
                Ok(Visitor::Remembered(SignedIn { session, grant }, Box::new(error)))
            }
            Some(_) | None => Err(error),
        }
    }

    async fn look_up(&self, hash: SessionHash) -> Result<(Visitor, Option<Versions>), StoreError> {
        let Sources { settings, cache, store, clock, .. } = &self.sources;
        let anonymous = |reason| Ok((Visitor::Anonymous(reason), None));
        let now = clock.now();
        // Versions are read before anything is looked up, so that no change in between is missed.
        let version = cache.session_version(hash);
        let Some(session) = cache.session(hash, now, || Box::pin(store.look_up_session(hash))).await? else {
            return anonymous(SignInReason::UnknownSession);
        };
        let has_reached_a_limit = session.reached(settings, now).is_some();
        if has_reached_a_limit && self.has_expired(&session).await? {
            return anonymous(SignInReason::SessionExpired);
        }
        let id = session.session.grant;
        let versions = Versions { session: version, grant: cache.grant_version(id) };
        if let Some(grant) = cache.grant(id, now, || Box::pin(store.look_up_grant(id))).await? {
            return Ok((Visitor::SignedIn(SignedIn { session, grant }), Some(versions)));
        }
        // The session may have moved to another grant a moment ago.
        cache.forget_session(hash);
        let Some(session) = cache.session(hash, now, || Box::pin(store.look_up_session(hash))).await? else {
            return anonymous(SignInReason::UnknownSession);
        };
        match store.grant(session.session.grant).await? {
            Some(grant) => Ok((Visitor::SignedIn(SignedIn { session, grant: Arc::new(grant) }), None)),
            None => anonymous(SignInReason::UnknownSession),
        }
    }

    /// Whether a session that memory takes for expired really is: it may have been used through another replica, and this machine's clock
    /// may be ahead, so that the one that all replicas have in common decides.
    async fn has_expired(&self, cached: &CachedSession) -> Result<bool, StoreError> {
        let Sources { settings, store, clock, .. } = &self.sources;
        let Some(stored) = store.look_up_session(cached.session.hash).await? else { return Ok(true) };
        let is_current = stored.is_current();
        let stored = stored.even_if_old();
        cached.was_seen(stored.last_seen);
        let now = match clock {
            Clock::System => store.now().await?,
            // The database does not know where it was moved to.
            Clock::Manual(_) => clock.now(),
        };
        let has_expired = settings.reached(&stored, stored.last_seen, now).is_some();
        // A standby that lags does not know when it was used last.
        if has_expired && !is_current { Err(StoreError::Standby) } else { Ok(has_expired) }
    }

    /// Records that the session was used.
    pub fn touch(&self, signed_in: &SignedIn) {
        self.sources.cache.touch(&signed_in.session, &self.sources.settings, self.sources.clock.now());
    }

    /// Counts a request that is served with a session as it is remembered.
    pub fn served_from_memory(&self) {
        self.sources.cache.count_remembered();
    }

    /// The right to register connections that are cut when the session ends.
    pub fn watch(&self, signed_in: SignedIn) -> Watch {
        self.live.watch(signed_in.session)
    }

    /// The right to register connections that are cut when a bearer token ends, whose time is found from the present one, or its user.
    pub fn watch_token(&self, owner: &TokenOwner, end: impl FnOnce(Timestamp) -> Timestamp) -> Watch {
        let Sources { clock, cache, .. } = &self.sources;
        Watch::token(WatchedToken {
            end: end(clock.now()),
            owner: owner.clone(),
            ended_users: Arc::clone(cache.ended_users()),
            clock: clock.clone(),
        })
    }

    /// Forgets what memory holds of the browser's sessions. A login may just have given it another grant, and the browser's next
    /// request may arrive before the announcement of that change.
    pub fn forget(&self, headers: &HeaderMap) {
        for hash in self.sources.cookies.presented_sessions(headers) {
            self.sources.cache.forget_session(hash);
        }
    }

    /// Takes over an announced change: memory forgets what it made untrue, and what its sessions have open is checked.
    pub fn apply(&self, change: Change) {
        let cache = &self.sources.cache;
        match change {
            Change::Grant(id) => {
                if cache.forget_grant(id) && cache.keeps_up() {
                    self.changed_grants.add(id);
                }
            }
            Change::Session(hash) => cache.forget_session(hash),
            // What is open with a session of the user's ends with the session; see `follow_ended_users`.
            Change::User(_) => return,
            Change::Everything => cache.forget_everything(),
        }
        self.check_after(change);
    }

    /// Has all that is open checked, after a change of whom the policy admits.
    pub fn check_everything(&self) {
        self.check_after(Change::Everything);
    }

    /// Takes over whether announcements arrive. What ended while they did not is looked for.
    pub fn set_listener_connected(&self, connected: bool) {
        self.sources.cache.set_listener_connected(connected, self.sources.clock.now());
        self.check_after(Change::Everything);
    }
}
