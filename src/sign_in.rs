//! Login: from the first redirect to the session cookie.
//!
//! What must be kept between the two travels sealed in `state`, so attempts cost the server nothing until they return, and each
//! tab has its own.

mod answer;
mod attempt;
mod begin;
mod exchanges;
mod failed;
mod keep;
mod parked;
pub mod return_to;
mod rounds;
mod silence;
mod silent;

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use crate::{
    address::AccessUrl,
    clock::Clock,
    oidc::{CallbackProof, Provider, ProviderError, VerifiedLogin},
    policy::{Denied, Policy},
    seal::KeyRing,
    session::{self, cookie::Cookies},
    store::{Store, StoreError},
    telemetry::{logs::causes, metrics::Metrics},
};

use answer::Answer;
use attempt::{Attempt, Pass};
use return_to::ReturnTo;

pub use begin::Purpose;
pub use exchanges::Exchanges;
pub use failed::Failed;
pub use keep::RefreshTokens;
pub use parked::Parking;
pub use silent::{BrowserHistory, Lasted};

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
    /// Whether logins bring the refresh tokens that are asked for.
    pub refresh_tokens: RefreshTokens,
    /// Where long addresses are kept.
    pub parking: Parking,
    /// Whose codes are exchanged now: callbacks are anybody's to send.
    pub exchanges: Exchanges,
}

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
    #[error("the provider refused the login: {code}{}", .description.as_deref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// Its `error` code.
        code: String,
        /// Its own words, for the log alone.
        description: Option<String>,
    },
    /// The user, or somebody for them, declined.
    #[error("the login was declined at the provider")]
    Declined,
    /// The provider could not be asked, or its answer is not to be believed.
    #[error("the login could not be completed")]
    Provider(#[from] ProviderError),
    /// More logins return at once than can be completed.
    #[error("too many logins return at once")]
    Busy,
    /// The user, who is called this, may not enter.
    #[error("{0}")]
    Denied(#[source] Denied, String),
    /// The session could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SignIn {
    fn redirect_uri(&self, site: &AccessUrl) -> String {
        site.at(&self.callback_path)
    }

    /// Completes a login whose browser returned with `query`.
    ///
    /// # Errors
    /// [`Failed`]; no session was made.
    pub async fn complete(&self, at: ReturningBrowser<'_>, query: &str) -> Result<Redirect, Failed> {
        let result = self.try_complete(at, query).await;
        self.metrics.login(match &result {
            Ok(_) => "ok",
            Err(CallbackError::Parameters(_) | CallbackError::UnknownAttempt(_)) => "unknown_attempt",
            Err(CallbackError::Issuer | CallbackError::Refused { .. }) => "refused",
            Err(CallbackError::Busy) => "busy",
            Err(CallbackError::Declined) => "declined",
            Err(CallbackError::Provider(_)) => "provider_error",
            Err(CallbackError::Denied(_, _)) => "denied",
            Err(CallbackError::Store(_)) => "store_error",
        });
        match result {
            Ok(redirect) => Ok(redirect),
            Err(error) => Err(self.failed(error, at, query).await),
        }
    }

    async fn try_complete(&self, at: ReturningBrowser<'_>, query: &str) -> Result<Redirect, CallbackError> {
        let headers = at.headers;
        let answer = Answer::parse(query)?;
        let attempt = self.attempt_of(&answer)?;
        // Before the code is used, and an attempt returns once.
        let binding = attempt.binding_in(&self.cookies, headers);
        let binding = binding.ok_or(CallbackError::UnknownAttempt("this browser did not begin it, or has completed another"))?;
        let now = self.clock.now();
        if now >= attempt.at().plus(attempt::LIFE) {
            return Err(CallbackError::UnknownAttempt("it is too old"));
        }
        // Before the attempt is used up, so that who is turned away can come again.
        let return_to = self.destination(&attempt, at.site).await;
        let _turn = match self.exchanges.turn(at.client).await {
            Some(turn) => turn,
            // It can do without, and is not sent again so soon.
            None if attempt.pass() == Pass::Silent && self.goes_on(headers).await? => return Ok(self.back_to(at, &return_to)),
            None => return Err(CallbackError::Busy),
        };
        if !self.store.consume_once(attempt.name("returned"), attempt.at().plus(attempt::LIFE)).await? {
            return Err(CallbackError::UnknownAttempt("it has returned before"));
        }
        let signed = match self.judge_issuer(&answer) {
            Ok(()) => self.exchange(at.site, &answer, &attempt.proof(&answer.state, &binding)).await,
            Err(error) => Err(error),
        };
        let mut redirect = match attempt.pass() {
            Pass::Login => self.enter(at, signed?, None, &return_to, &attempt).await?,
            Pass::Silent => self.complete_silently(at, signed, &return_to, &attempt).await?,
            Pass::Consent => match signed {
                Ok(signed) => self.enter(at, signed, None, &return_to, &attempt).await?,
                // The login before has made a session, which lasts as long as its access token.
                Err(error) if self.standing(headers).await?.is_some() => {
                    tracing::info!(error = causes(&error), "the provider gave no refresh token");
                    self.back_to(at, &return_to)
                }
                Err(error) => return Err(error),
            },
        };
        if attempt.rounds() > 0 {
            let value = rounds::back_from(attempt.rounds(), now);
            redirect.cookies.extend(self.cookies.set(self.cookies.rounds(), &value, rounds::REMEMBERED));
        }
        Ok(redirect)
    }

    /// Refuses an answer of another provider (RFC 9207 section 2.4). What is guarded is the code, which must not be taken to the
    /// wrong token endpoint: an error that names nobody is an error all the same, and is told as one.
    fn judge_issuer(&self, answer: &Answer) -> Result<(), CallbackError> {
        let is_bare_error = answer.error.is_some() && answer.issuer.is_none();
        if is_bare_error || self.provider.is_response_issuer(answer.issuer.as_deref())? {
            Ok(())
        } else {
            Err(CallbackError::Issuer)
        }
    }

    /// The tokens for the answer's code, and who they speak for.
    async fn exchange(&self, site: &AccessUrl, answer: &Answer, proof: &CallbackProof) -> Result<VerifiedLogin, CallbackError> {
        let code = match (&answer.code, &answer.error) {
            (_, Some(code)) if code == "access_denied" => return Err(CallbackError::Declined),
            (_, Some(code)) => {
                return Err(CallbackError::Refused { code: code.clone(), description: answer.description.clone() });
            }
            (Some(code), None) => code,
            (None, None) => return Err(CallbackError::Parameters("there is neither a code nor an error")),
        };
        let timer = self.metrics.provider_timer("code");
        let signed = self.provider.exchange_code(code, &self.redirect_uri(site), proof).await;
        timer.finish();
        Ok(signed?)
    }

    /// The end of a login, at the page that it led to. Nobody begins anything with what is left of the browser's other attempts: who
    /// comes back with them is signed in.
    fn back_to(&self, at: ReturningBrowser<'_>, return_to: &ReturnTo) -> Redirect {
        let names = self.cookies.bindings(at.headers).map(|(name, _)| name);
        let cookies = names.filter_map(|name| self.cookies.clear(name)).collect();
        Redirect { location: at.site.at(return_to.path()), cookies }
    }

    fn attempt_of(&self, answer: &Answer) -> Result<Attempt, CallbackError> {
        Attempt::open(&self.keys, &answer.state).ok_or(CallbackError::UnknownAttempt("its state is not one of ours"))
    }
}

/// Where a browser has come back to, and with which headers.
#[derive(Clone, Copy, Debug)]
pub struct ReturningBrowser<'a> {
    /// The address of ours that it came back to.
    pub site: &'a AccessUrl,
    /// What it sent.
    pub headers: &'a HeaderMap,
    /// Whence it comes.
    pub client: IpAddr,
}

/// Where the parameter `name` leads. One that is empty, as in a form that had none to pass on, is none.
pub fn return_from(query: &str, name: &str, access: &AccessUrl) -> Option<ReturnTo> {
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(found, text)| found == name && !text.is_empty())?;
    Some(ReturnTo::parse(&text, access))
}
