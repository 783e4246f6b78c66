//! What the logins at all providers share, and what each step of a login asks of it: the attempt that a response is of, and the session
//! that a browser has.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use tokio_util::task::TaskTracker;

use super::{
    LoginBrowser, Redirect,
    attempt::{self, Attempt, Binding},
    authorization_response::AuthorizationResponse,
    browser_turns::BrowserTurns,
    callback_error::CallbackError,
    purpose::Purpose,
    redirect_loop,
    stored_return_tos::StoredReturnTos,
};
use crate::{
    address::{AccessUrl, Sites},
    clock::{Clock, Stopwatch},
    grant::Grant,
    oidc::Providers,
    seal::KeyRing,
    session::{self, BrowserMark, Session, SessionHash, UserHash, cookie::Cookies},
    store::{Store, StoreError},
};

/// What the logins at all providers share.
#[derive(Clone, Debug)]
pub struct LoginParts {
    /// `CODER_PATH_PREFIX`: the path of our own pages.
    pub prefix: String,
    /// All sites.
    pub sites: Sites,
    /// `CODER_SHARED_LOGIN`: whether all sites share the login at one of them.
    pub shares_login: bool,
    /// The one at which they would.
    pub login_site: AccessUrl,
    /// Evergate's cookies.
    pub cookies: Cookies,
    /// Whether browsers are marked with who was signed in last, because forms are kept for them.
    pub marks_browsers: bool,
    /// How long sessions live; the cookie expires no later.
    pub sessions: session::Settings,
    /// All providers: a browser may have a session of another one than it comes back from.
    pub providers: Providers,
    /// The store of grants and sessions.
    pub store: Store,
    /// How long a login that returns waits for a store that is away.
    pub store_wait: Duration,
    /// Limits how many long return addresses are stored.
    pub return_tos: Arc<StoredReturnTos>,
    /// One login of a browser at a time.
    pub turns: Arc<BrowserTurns>,
    /// The logins that are completed though their clients have left; a shutdown waits for them.
    pub tasks: TaskTracker,
    /// Encrypts login attempts.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
}

/// The least pause before a write that the store has not taken is made again.
const STORE_PAUSE: Duration = Duration::from_millis(250);

impl LoginParts {
    /// Decrypts the attempt in a response's `state`.
    pub(super) fn attempt_of(&self, response: &AuthorizationResponse) -> Result<Attempt, CallbackError> {
        Attempt::open(&self.keys, &response.state).ok_or(CallbackError::UnknownAttempt("its state is not one of ours"))
    }

    /// Returns this browser's binding of an attempt that has not expired. Without the binding the code is not used, which
    /// prevents login CSRF and session fixation.
    pub(super) fn binding_of(&self, attempt: &Attempt, headers: &HeaderMap) -> Result<Binding, CallbackError> {
        let is_alive = self.clock.now() < attempt.at().plus(attempt::LIFE);
        match attempt.binding_in(&self.cookies, headers) {
            Some(binding) if is_alive => Ok(binding),
            Some(_) => Err(CallbackError::UnknownAttempt("it is too old")),
            // The first time it may have begun in another browser; the second began in this one a moment ago.
            None if is_alive && attempt.is_second() && self.has_no_cookie_of_a_login(headers) => Err(CallbackError::NoCookies),
            None => Err(CallbackError::UnknownAttempt("this browser did not begin it, or has completed another")),
        }
    }

    fn has_no_cookie_of_a_login(&self, headers: &HeaderMap) -> bool {
        self.cookies.accepted_bindings(headers).next().is_none() && self.cookies.session_value(headers).is_none()
    }

    /// Consumes an attempt: it is accepted once, on any replica.
    pub(super) async fn consume(&self, attempt: &Attempt) -> Result<(), CallbackError> {
        let (name, until) = (attempt.name("returned"), attempt.at().plus(attempt::LIFE));
        let is_first = self.with_patience(|| self.store.consume_once(name, until)).await?;
        if is_first { Ok(()) } else { Err(CallbackError::ReturnedBefore) }
    }

    /// What is wrong with an attempt that this browser has no binding of. One that returns for the first time is worth nothing from here
    /// on: who is signed in and goes back in the history is told from who logs in anew.
    pub(super) async fn judge_unbound(&self, attempt: &Attempt, at: LoginBrowser<'_>, unknown: CallbackError) -> CallbackError {
        if self.cookies.session_value(at.headers).is_none() {
            return unknown;
        }
        match self.consume(attempt).await {
            Err(CallbackError::ReturnedBefore) => CallbackError::ReturnedBefore,
            Ok(()) | Err(_) => unknown,
        }
    }

    /// Records a round that a browser has made without a click.
    pub(super) fn record_round(&self, attempt: &Attempt, redirect: &mut Redirect) {
        if attempt.rounds() > 0 {
            let value = redirect_loop::cookie_after_round(attempt.rounds(), self.clock.now());
            redirect.cookies.extend(self.cookies.set(self.cookies.redirect_rounds(), &value, redirect_loop::COOKIE_MAX_AGE));
        }
    }

    /// The number of consecutive rounds without a click that this browser has made.
    pub(super) fn rounds(&self, headers: &HeaderMap) -> u32 {
        redirect_loop::consecutive_rounds(self.cookies.value(headers, self.cookies.redirect_rounds()), self.clock.now())
    }

    /// The number of consecutive rounds without a click, that of `purpose` included.
    pub(super) fn rounds_of(&self, purpose: Purpose<'_>, headers: &HeaderMap) -> u32 {
        match purpose {
            Purpose::LoginOnTheWay | Purpose::LoginOnceMore | Purpose::Silent(_) => self.rounds(headers).saturating_add(1),
            Purpose::Login | Purpose::LoginOf(_) | Purpose::AnotherAccount | Purpose::Interaction | Purpose::Consent(_) => 0,
        }
    }

    /// Whether this browser has a session that needs no new grant.
    pub(super) async fn has_live_session(&self, headers: &HeaderMap) -> Result<bool, StoreError> {
        Ok(self.current_session(headers).await?.is_some_and(|(_, grant)| self.is_alive(&grant)))
    }

    /// Whether this browser has a session, or may have one while the store cannot be asked.
    pub async fn may_have_session(&self, headers: &HeaderMap) -> bool {
        let is_one = |grant: &Grant| grant.ended.as_ref().is_none_or(|ended| ended.reason.leaves_remaining_use());
        self.current_session(headers).await.map_or(true, |current| current.is_some_and(|(_, grant)| is_one(&grant)))
    }

    /// Returns this browser's session, if it is within its limits, and its grant.
    pub(super) async fn current_session(&self, headers: &HeaderMap) -> Result<Option<(Session, Grant)>, StoreError> {
        let Some(value) = self.cookies.session_value(headers) else { return Ok(None) };
        let Some(session) = self.store.session(SessionHash::of(value)).await? else { return Ok(None) };
        if self.sessions.reached(&session, session.last_seen, self.clock.now()).is_some() {
            return Ok(None);
        }
        Ok(self.store.grant(session.grant).await?.map(|grant| (session, grant)))
    }

    /// Whether a grant can serve requests, if need be after a refresh.
    pub(super) fn is_alive(&self, grant: &Grant) -> bool {
        let is_of_a_provider = self.providers.of(grant.registration()).is_some();
        is_of_a_provider
            && grant.ended.is_none()
            && grant.missing_key.is_none()
            && (grant.has_refresh_token || self.clock.now() < grant.expires_at)
    }

    /// The cookie that marks a browser with who is signed in there, if browsers are marked.
    pub(super) fn browser_mark(&self, at: LoginBrowser<'_>, user: UserHash) -> Option<HeaderValue> {
        let site = at.site.authority();
        let before = self.marks_browsers.then(|| BrowserMark::of(&self.keys, &self.cookies, at.headers, site))?;
        BrowserMark::with_user(before, user).cookie(&self.keys, &self.cookies, site, self.sessions.absolute)
    }

    /// Makes a call of the store for a login, and makes it again while the store certainly has not taken it, for a while.
    pub(super) async fn with_patience<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let waited = Stopwatch::start();
        loop {
            let left = self.store_wait.saturating_sub(waited.elapsed());
            match call().await {
                Err(error) if error.nothing_was_written() && !error.is_refusal() && !left.is_zero() => {
                    tokio::time::sleep(STORE_PAUSE).await;
                    let _too_long = tokio::time::timeout(left, self.store.until_writable()).await;
                }
                done => return done,
            }
        }
    }
}
