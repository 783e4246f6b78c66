//! Login: from the first redirect to the session cookie.
//!
//! What must be kept between the two is sealed into a cookie of the browser that began it, so attempts cost
//! the server nothing until they return, and each tab has its own.

mod attempt;
pub mod return_to;
mod silent;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use url::form_urlencoded;

use crate::{
    address::AccessUrl,
    clock::Clock,
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    oidc::{Ask, CallbackProof, Provider, ProviderError, Signed},
    policy::{Denied, Policy},
    seal::KeyRing,
    session::{self, Session, SessionHash, cookie::Cookies},
    store::{NewGrant, Seat, Seated, Sharing, Store, StoreError, Tokens},
    telemetry::{logs::causes, metrics::Metrics},
};

use attempt::Attempt;
pub use attempt::Pass;
use return_to::ReturnTo;

/// The login workflow.
#[derive(Debug)]
pub struct SignIn {
    /// The callback's path here, the redirect URI's end.
    pub callback_path: String,
    /// Our cookies.
    pub cookies: Cookies,
    /// How long sessions live; the cookie is kept no longer.
    pub sessions: session::Settings,
    /// The provider.
    pub provider: Arc<Provider>,
    /// Who may log in.
    pub policy: Policy,
    /// Where grants and sessions are kept.
    pub store: Store,
    /// Seals attempts.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// Counts logins.
    pub metrics: Metrics,
    /// So many codes may be exchanged at once ([`EXCHANGES`]): callbacks are anybody's to send.
    pub exchanges: Semaphore,
}

/// How many codes are exchanged at once.
pub const EXCHANGES: usize = 32;

/// A redirect with the cookies that go with it.
#[derive(Debug)]
pub struct Redirect {
    /// Where to, always absolute.
    pub location: String,
    /// `Set-Cookie` values.
    pub cookies: Vec<HeaderValue>,
}

/// Why a login attempt that returned made no session.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// A parameter is missing, doubled, or of a flow that we do not use.
    #[error("the callback's parameters are not those of a code flow: {0}")]
    Parameters(&'static str),
    /// No attempt of this browser has this `state`, or it is too old, or it returned before.
    #[error("the login attempt is not known to this browser: {0}")]
    UnknownAttempt(&'static str),
    /// The answer does not come from our provider (RFC 9207).
    #[error("the answer names another issuer, or none")]
    Issuer,
    /// The provider answered that the login failed.
    #[error("the provider refused the login: {0}")]
    Refused(String),
    /// The user, or somebody for them, declined.
    #[error("the login was declined at the provider")]
    Declined,
    /// The provider could not be asked, or its answer is not to be believed.
    #[error("the login could not be completed")]
    Provider(#[from] ProviderError),
    /// More logins return at once than can be completed.
    #[error("too many logins return at once")]
    Busy,
    /// The user may not enter.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The session could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SignIn {
    fn redirect_uri(&self, site: &AccessUrl) -> String {
        site.at(&self.callback_path)
    }

    /// Sends a browser of `site` to the provider, and back to `return_to` after. `hint` says who its user was.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn begin(
        &self,
        site: &AccessUrl,
        return_to: &ReturnTo,
        headers: &HeaderMap,
        pass: Pass,
        hint: Option<&Identity>,
    ) -> Result<Redirect, ProviderError> {
        let now = self.clock.now();
        let id = attempt::new_id(now);
        let prompt = match pass {
            Pass::Login => None,
            Pass::Silent => self.provider.answers_silently().then_some("none"),
            Pass::Consent => Some("consent"),
        };
        let ask = Ask { prompt, login_hint: hint.map(Identity::display) };
        let request = self.provider.authorize(&self.redirect_uri(site), &id, ask)?;
        let attempt = Attempt::new(&request.proof, return_to, pass, now);
        let value = attempt.seal(&self.keys, &id).unwrap_or_default();
        let mut cookies: Vec<_> = attempt::surplus(self.cookies.attempts(headers), value.len())
            .into_iter()
            .filter_map(|id| self.cookies.clear(&self.cookies.attempt(id)))
            .collect();
        cookies.extend(self.cookies.set(&self.cookies.attempt(&id), &value, attempt::LIFE));
        if pass == Pass::Silent {
            cookies.extend(self.cookies.set(self.cookies.returning(), "1", silent::NOT_AGAIN));
        }
        Ok(Redirect { location: request.url.into(), cookies })
    }

    /// Completes a login whose browser returned with `query`.
    ///
    /// # Errors
    /// [`CallbackError`]; no session was made.
    pub async fn complete(&self, site: &AccessUrl, query: &str, headers: &HeaderMap) -> Result<Redirect, CallbackError> {
        let result = self.try_complete(At { site, headers }, query).await;
        self.metrics.login(match &result {
            Ok(_) => "ok",
            Err(CallbackError::Parameters(_) | CallbackError::UnknownAttempt(_)) => "unknown_attempt",
            Err(CallbackError::Issuer | CallbackError::Refused(_)) => "refused",
            Err(CallbackError::Busy) => "busy",
            Err(CallbackError::Declined) => "declined",
            Err(CallbackError::Provider(_)) => "provider_error",
            Err(CallbackError::Denied(_)) => "denied",
            Err(CallbackError::Store(_)) => "store_error",
        });
        result
    }

    async fn try_complete(&self, at: At<'_>, query: &str) -> Result<Redirect, CallbackError> {
        let headers = at.headers;
        let answer = Answer::parse(query)?;
        let (id, attempt) = self.attempt_of(&answer.state, headers)?;
        let proof = attempt.proof();
        // The state is checked before the code is used, and an attempt returns once.
        if !proof.matches_state(&answer.state) {
            return Err(CallbackError::UnknownAttempt("its state is another one"));
        }
        let now = self.clock.now();
        if now >= attempt.at().plus(attempt::LIFE) {
            return Err(CallbackError::UnknownAttempt("it is too old"));
        }
        // Before the attempt is used up, so that who is turned away can come again.
        let return_to = ReturnTo::parse(attempt.return_to(), at.site);
        let _one_of_few = match self.exchanges.try_acquire() {
            Ok(one) => one,
            // It can do without, and is not sent again so soon.
            Err(_) if attempt.pass() == Pass::Silent && self.goes_on(headers).await? => return Ok(at.back_to(&return_to)),
            Err(_) => return Err(CallbackError::Busy),
        };
        if !self.store.returned(attempt::hash(&answer.state), attempt.at().plus(attempt::LIFE)).await? {
            return Err(CallbackError::UnknownAttempt("it has returned before"));
        }
        if !self.provider.is_answer_from_us(answer.issuer.as_deref())? {
            return Err(CallbackError::Issuer);
        }
        let signed = self.exchange(at.site, &answer, &proof).await;
        let mut redirect = match attempt.pass() {
            Pass::Login => self.enter(at, signed?, None, &return_to, Pass::Login).await?,
            Pass::Silent => self.complete_silently(at, signed, &return_to).await?,
            Pass::Consent => match signed {
                Ok(signed) => self.enter(at, signed, None, &return_to, Pass::Consent).await?,
                // The login before has made a session, which lasts as long as its access token.
                Err(error) if self.standing(headers).await?.is_some() => {
                    tracing::info!(error = causes(&error), "the provider gave no refresh token");
                    at.back_to(&return_to)
                }
                Err(error) => return Err(error),
            },
        };
        redirect.cookies.extend(self.cookies.clear(&self.cookies.attempt(&id)));
        Ok(redirect)
    }

    /// The tokens for the answer's code, and who they speak for.
    async fn exchange(&self, site: &AccessUrl, answer: &Answer, proof: &CallbackProof) -> Result<Signed, CallbackError> {
        let code = match (&answer.code, &answer.error) {
            (_, Some(error)) if error == "access_denied" => return Err(CallbackError::Declined),
            (_, Some(error)) => return Err(CallbackError::Refused(error.clone())),
            (Some(code), None) => code,
            (None, None) => return Err(CallbackError::Parameters("there is neither a code nor an error")),
        };
        let timer = self.metrics.provider_timer("code");
        let signed = self.provider.exchange_code(code, &self.redirect_uri(site), proof).await;
        timer.finish();
        Ok(signed?)
    }

    /// Keeps the login for `seat` or a new session, and sends the browser on: to where it was going, or once more to a
    /// provider that gives refresh tokens only with consent.
    async fn enter(
        &self,
        at: At<'_>,
        signed: Signed,
        seat: Option<SessionHash>,
        return_to: &ReturnTo,
        pass: Pass,
    ) -> Result<Redirect, CallbackError> {
        self.policy.admit(&signed.identity)?;
        let identity = signed.identity.clone();
        let Some((seated, cookie)) = self.keep(signed, seat, at.headers).await? else {
            // The session was ended while its browser was away: whoever it is logs in like anybody.
            return Ok(self.begin(at.site, return_to, at.headers, Pass::Login, None)?);
        };
        if pass == Pass::Consent {
            self.provider.note_consent(seated.renewable);
        }
        let mut redirect = if self.provider.wants_consent() && !seated.renewable && pass != Pass::Consent {
            self.begin(at.site, return_to, at.headers, Pass::Consent, Some(&identity))?
        } else {
            at.back_to(return_to)
        };
        redirect.cookies.extend(cookie);
        Ok(redirect)
    }

    /// Keeps the grant, for the session that is named or for a new one, and returns the new one's cookie. Whatever
    /// session the browser brought is replaced then, so that a planted one is worth nothing. `None`: the named one was
    /// ended meanwhile.
    async fn keep(
        &self,
        signed: Signed,
        seat: Option<SessionHash>,
        headers: &HeaderMap,
    ) -> Result<Option<(Seated, Option<HeaderValue>)>, CallbackError> {
        let now = self.clock.now();
        let answer = signed.answer;
        let grant = NewGrant {
            id: GrantId::random(),
            issuer: self.provider.issuer().to_owned(),
            client_id: self.provider.client_id().to_owned(),
            identity: signed.identity,
            scopes: answer.scope.unwrap_or_default(),
            fingerprint: self.provider.fingerprint().clone(),
            provider_session: signed.provider_session,
            tokens: Tokens {
                access: answer.access_token,
                refresh: answer.refresh_token,
                id: answer.id_token,
                expires_at: now.plus(answer.expires_in),
                lifetime: answer.expires_in,
                refresh_life: answer.refresh_life.or(self.provider.preset().idle),
            },
        };
        let (value, fresh) = SessionHash::fresh();
        let hash = seat.unwrap_or(fresh);
        let replaces = self.cookies.session_value(headers).map(SessionHash::of);
        let session = Session { hash, grant: grant.id, created_at: now, last_seen: now };
        let place = seat.map_or(Seat::New { session, replaces }, Seat::Kept);
        let sharing = if self.provider.preset().shares_grants { Sharing::Shared } else { Sharing::Own };
        let Some(seated) = self.store.keep_login(&grant, &place, sharing, now).await? else { return Ok(None) };
        let reason = match (seat, seated.renewable) {
            (Some(_), _) => "returned_silently",
            (None, true) => "renewable",
            (None, false) => "not_renewable",
        };
        let event = |kind, hash| Event::of(kind, seated.grant, &grant.identity, now).of_session(hash);
        self.store.note(event(Kind::Login, hash).because(reason));
        if let Some(replaced) = seated.replaced {
            self.store.note(event(Kind::Logout, replaced).because("another_login"));
        }
        tracing::info!(
            grant.id = %seated.grant, session = hash.short(), grant.refreshable = seated.renewable,
            access_token.seconds = grant.tokens.lifetime.as_secs(), reason, "logged in"
        );
        if seat.is_some() {
            return Ok(Some((seated, None)));
        }
        let cookie = self
            .cookies
            .set(self.cookies.session(), value.expose(), self.sessions.absolute)
            .ok_or(CallbackError::Parameters("the session's cookie cannot be written"))?;
        Ok(Some((seated, Some(cookie))))
    }

    fn attempt_of(&self, state: &str, headers: &HeaderMap) -> Result<(String, Attempt), CallbackError> {
        let id = state.split('.').next().unwrap_or_default();
        let mut values = self.cookies.attempts(headers).filter(|(own, _)| *own == id).map(|(_, value)| value);
        let value = values.next().ok_or(CallbackError::UnknownAttempt("this browser has no cookie of it"))?;
        let attempt = Attempt::open(&self.keys, id, value).ok_or(CallbackError::UnknownAttempt("its cookie cannot be opened"))?;
        Ok((id.to_owned(), attempt))
    }
}

/// Where a browser has come back to, and with which headers.
#[derive(Clone, Copy)]
struct At<'a> {
    site: &'a AccessUrl,
    headers: &'a HeaderMap,
}

impl At<'_> {
    fn back_to(&self, return_to: &ReturnTo) -> Redirect {
        Redirect { location: self.site.at(return_to.path()), cookies: Vec::new() }
    }
}

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug, Default)]
struct Answer {
    state: String,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Answer {
    fn parse(query: &str) -> Result<Self, CallbackError> {
        let mut answer = Self::default();
        let mut state = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "iss" => &mut answer.issuer,
                // Tokens that come by the front channel are not from the provider but from whoever (CV-51).
                "access_token" | "id_token" | "refresh_token" => return Err(CallbackError::Parameters("it carries a token")),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(CallbackError::Parameters("one of them is there twice"));
            }
        }
        answer.state = state.filter(|state| !state.is_empty()).ok_or(CallbackError::Parameters("there is no state"))?;
        answer.error = answer.error.map(|error| error.chars().filter(char::is_ascii_graphic).take(64).collect());
        Ok(answer)
    }
}

/// Where the parameter `name` leads. One that is empty, as in a form that had none to pass on, is none.
pub fn return_from(query: &str, name: &str, access: &AccessUrl) -> Option<ReturnTo> {
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(found, text)| found == name && !text.is_empty())?;
    Some(ReturnTo::parse(&text, access))
}
