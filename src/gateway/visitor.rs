//! Whose request it is.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, header};

use crate::{
    clock::Clock,
    grant::{EndReason, Grant},
    policy::Policy,
    session::{
        self, SessionHash,
        cache::{Change, Held, SessionCache},
        cookie::Cookies,
    },
    store::{Store, StoreError},
};

/// Recognises visitors by their session cookie.
#[derive(Debug)]
pub(super) struct Visitors {
    pub(super) cookies: Cookies,
    pub(super) settings: session::Settings,
    pub(super) cache: Arc<SessionCache>,
    pub(super) store: Store,
    pub(super) clock: Clock,
}

/// So many logins in one browser are followed from one to the next.
const MOST_SUCCESSORS: usize = 8;

/// Who sends a request.
#[derive(Debug)]
pub(super) enum Visitor {
    /// Nobody that we know, and why.
    Anonymous(Reason),
    /// Somebody with a session.
    SignedIn(SignedIn),
}

/// A session within its limits, and its grant.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    pub(super) session: Arc<Held>,
    pub(super) grant: Arc<Grant>,
}

/// Why somebody must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The request carries no session cookie, or two.
    NoSession,
    /// Nobody has the session that it names: it was ended, or never was.
    UnknownSession,
    /// The session reached a limit.
    SessionExpired,
    /// The session's grant has ended.
    GrantEnded(EndReason),
    /// The provider refuses to renew the session's grant, and does not say that it is dead.
    GrantRefused,
    /// The session's grant lives, and was obtained with other settings.
    SettingsChanged,
}

impl Reason {
    /// Its name in answers and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::UnknownSession => "unknown_session",
            Self::SessionExpired => "session_expired",
            Self::GrantRefused => "grant_refused",
            Self::SettingsChanged => "settings_changed",
            Self::GrantEnded(EndReason::Dead) => "grant_dead",
            Self::GrantEnded(EndReason::OutcomeUnknown) => "renewal_outcome_unknown",
            Self::GrantEnded(EndReason::IdentityRefused) => "identity_refused",
            Self::GrantEnded(EndReason::Expired) => "token_expired",
            Self::GrantEnded(EndReason::OtherProvider) => "other_provider",
            Self::GrantEnded(EndReason::KeyLost) => "key_lost",
        }
    }
}

/// Whom a connection's last request came from. The next one nearly always carries the same cookies, and then nothing of them
/// needs to be read, hashed or looked up, as long as no change was heard of.
#[derive(Debug, Default)]
pub(super) struct Familiar(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    cookies: HeaderValue,
    as_of: u64,
    signed_in: SignedIn,
}

impl Familiar {
    fn recall(&self, cookies: &HeaderValue, as_of: u64) -> Option<SignedIn> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.as_of == as_of && known.cookies == cookies).map(|known| known.signed_in.clone())
    }

    fn note(&self, cookies: &HeaderValue, as_of: u64, signed_in: &SignedIn) {
        // A copy, because the line itself is part of a block of what was read, all of which it would hold.
        let Ok(cookies) = HeaderValue::from_bytes(cookies.as_bytes()) else { return };
        let known = Known { cookies, as_of, signed_in: signed_in.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }
}

/// The only line of cookies. HTTP/2 may bring several (RFC 9113 section 8.2.3), which are read one by one.
fn only_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let first = lines.next();
    if lines.next().is_none() { first } else { None }
}

impl Visitors {
    /// The visitor that the request's cookie names, on a connection whose last one is perhaps the same.
    pub(super) async fn recognise_again(&self, headers: &HeaderMap, familiar: &Familiar) -> Result<Visitor, StoreError> {
        // Asked before anything is looked up, so that no change in between is missed.
        let (Some(as_of), Some(cookies)) = (self.cache.as_of(), only_line(headers)) else {
            return Box::pin(self.recognise(headers)).await;
        };
        if let Some(signed_in) = familiar.recall(cookies, as_of) {
            let (session, last_seen) = (&signed_in.session.session, SessionCache::last_seen(&signed_in.session));
            if self.settings.reached(session, last_seen, self.clock.now()).is_none() {
                return Ok(Visitor::SignedIn(signed_in));
            }
        }
        let visitor = Box::pin(self.recognise(headers)).await?;
        if let Visitor::SignedIn(signed_in) = &visitor {
            familiar.note(cookies, as_of, signed_in);
        }
        Ok(visitor)
    }

    /// The visitor that the request's cookie names.
    ///
    /// A store that is away is an error and never an anonymous visitor: that would log people out (RF-19).
    pub(super) async fn recognise(&self, headers: &HeaderMap) -> Result<Visitor, StoreError> {
        let Some(value) = self.cookies.session_value(headers) else { return Ok(Visitor::Anonymous(Reason::NoSession)) };
        let hash = SessionHash::of(value);
        let now = self.clock.now();
        let Some(session) = self.cache.session(hash, now, || Box::pin(self.store.session(hash))).await? else {
            return Ok(Visitor::Anonymous(Reason::UnknownSession));
        };
        if self.settings.reached(&session.session, SessionCache::last_seen(&session), now).is_some()
            && self.has_ended(&session).await?
        {
            return Ok(Visitor::Anonymous(Reason::SessionExpired));
        }
        let id = session.session.grant;
        if let Some(grant) = self.cache.grant(id, now, || Box::pin(self.store.grant(id))).await? {
            return Ok(Visitor::SignedIn(SignedIn { session, grant }));
        }
        // The session may have moved to another grant a moment ago.
        self.cache.apply(Change::Session(hash));
        let Some(session) = self.cache.session(hash, now, || Box::pin(self.store.session(hash))).await? else {
            return Ok(Visitor::Anonymous(Reason::UnknownSession));
        };
        Ok(match self.store.grant(session.session.grant).await? {
            Some(grant) => Visitor::SignedIn(SignedIn { session, grant: Arc::new(grant) }),
            None => Visitor::Anonymous(Reason::UnknownSession),
        })
    }

    /// A session whose requests would be served; `None` if they would not. A grant whose outcome is unknown
    /// is no word of the provider's against its user, so what is open stays open. Whom `everybody`'s policy would let pass no
    /// more, by the identity that the last renewal brought, is not served; a route's own rule is asked of requests alone.
    pub(super) async fn still_served(&self, hash: SessionHash, everybody: &Policy) -> Result<Option<Arc<Held>>, StoreError> {
        let now = self.clock.now();
        let Some(held) = self.held_or_successor(hash).await? else { return Ok(None) };
        if self.settings.reached(&held.session, SessionCache::last_seen(&held), now).is_some() && self.has_ended(&held).await? {
            return Ok(None);
        }
        let id = held.session.grant;
        let Some(grant) = self.cache.grant(id, now, || self.store.grant(id)).await? else { return Ok(None) };
        let ended = grant.ended.as_ref().is_some_and(|ended| ended.reason != EndReason::OutcomeUnknown);
        Ok((!ended && everybody.admit(&grant.identity).is_ok()).then_some(held))
    }

    /// The session, or the one that its user's next login in the same browser made in its place.
    async fn held_or_successor(&self, hash: SessionHash) -> Result<Option<Arc<Held>>, StoreError> {
        let now = self.clock.now();
        let held = self.cache.session(hash, now, || self.store.session(hash)).await?;
        if held.is_some() || self.cache.unrecorded().contains(&hash) {
            return Ok(held);
        }
        // Several tabs may have come back one after the other, each with the cookie of before.
        let mut last = None;
        let mut of = hash;
        for _ in 0..MOST_SUCCESSORS {
            let Some(next) = self.store.successor(of).await? else { break };
            of = next.hash;
            last = Some(next);
        }
        let Some(last) = last else { return Ok(None) };
        self.cache.session(last.hash, now, || std::future::ready(Ok(Some(last)))).await
    }

    /// What memory takes for ended may have been used through another replica.
    async fn has_ended(&self, held: &Held) -> Result<bool, StoreError> {
        let Some(stored) = self.store.session(held.session.hash).await? else { return Ok(true) };
        SessionCache::was_seen(held, stored.last_seen);
        Ok(self.settings.reached(&stored, stored.last_seen, self.clock.now()).is_some())
    }

    /// Forgets what memory holds of the browser's session, which may point to another grant since it came back: its next request
    /// may be here before the change is heard of.
    pub(super) fn forget(&self, headers: &HeaderMap) {
        if let Some(value) = self.cookies.session_value(headers) {
            self.cache.apply(Change::Session(SessionHash::of(value)));
        }
    }

    /// Notes that the session was used.
    pub(super) fn seen(&self, signed_in: &SignedIn) {
        self.cache.touch(&signed_in.session, &self.settings, self.clock.now());
    }
}
