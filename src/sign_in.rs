//! Login: the authorization code flow with PKCE (OpenID Connect Core section 3.1), from the first redirect to the session cookie.
//!
//! What must be kept between the two travels encrypted in `state`, so attempts cost the server nothing until they return, and each
//! tab has its own.
//!
//! | module | what it does |
//! |---|---|
//! | `begin` | redirects a browser to the provider |
//! | `attempt` | the login attempt that `state` carries, and the cookie that binds it to its browser |
//! | `authorization_response` | parses what the provider sends the browser back with |
//! | `code_exchanges` | rate limit of code exchanges |
//! | `save_login` | keeps the grant and the session |
//! | `failed` | what becomes of a browser whose login failed |
//! | `silent`, `silent_history` | silent re-authentication (`prompt=none`), and what a browser's cookie tells of it |
//! | `redirect_loop` | detects a browser that is sent round in circles |
//! | `return_to`, `long_return_to` | the page that a login leads to: guards against open redirects, and stores long ones |

mod attempt;
mod authorization_response;
mod begin;
mod code_exchanges;
mod failed;
mod long_return_to;
mod redirect_loop;
pub mod return_to;
mod save_login;
mod silent;
mod silent_history;

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

use attempt::{Attempt, Binding, LoginMode};
use authorization_response::AuthorizationResponse;
use return_to::ReturnTo;

pub use begin::Purpose;
pub use code_exchanges::CodeExchanges;
pub use failed::FailedLogin;
pub use long_return_to::StoredReturnTos;
pub use save_login::RefreshTokens;
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
    /// Guards the pages whose addresses are too long for `state`.
    pub return_tos: StoredReturnTos,
    /// Bounds the codes that are exchanged concurrently: anybody can send callbacks.
    pub exchanges: CodeExchanges,
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
    /// [`FailedLogin`]; no session was made.
    pub async fn complete(&self, at: ReturningBrowser<'_>, query: &str) -> Result<Redirect, FailedLogin> {
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

    async fn try_complete(&self, browser: ReturningBrowser<'_>, query: &str) -> Result<Redirect, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        let attempt = self.attempt_of(&response)?;
        let binding = self.binding_of(&attempt, browser.headers)?;
        // Before the attempt is used up, so that a browser that is turned away can come again.
        let return_to = self.destination(&attempt, browser.site).await;
        let _permit = match self.exchanges.acquire(browser.client).await {
            Some(permit) => permit,
            // Its session lives, and it is not sent out silently again so soon.
            None if attempt.mode() == LoginMode::Silent && self.has_living_session(browser.headers).await? => {
                return Ok(self.redirect_back(browser, &return_to));
            }
            None => return Err(CallbackError::Busy),
        };
        self.consume(&attempt).await?;
        let login = self.redeem(browser.site, &response, &attempt.proof(&response.state, &binding)).await;
        let mut redirect = match attempt.mode() {
            LoginMode::Login => self.finish_login(browser, login?, None, &return_to, &attempt).await?,
            LoginMode::Silent => self.complete_silently(browser, login, &return_to, &attempt).await?,
            LoginMode::Consent => self.complete_consent(browser, login, &return_to, &attempt).await?,
        };
        if attempt.rounds() > 0 {
            let value = redirect_loop::back_from(attempt.rounds(), self.clock.now());
            redirect.cookies.extend(self.cookies.set(self.cookies.rounds(), &value, redirect_loop::REMEMBERED));
        }
        Ok(redirect)
    }

    /// The attempt that a response's `state` carries.
    fn attempt_of(&self, response: &AuthorizationResponse) -> Result<Attempt, CallbackError> {
        Attempt::open(&self.keys, &response.state).ok_or(CallbackError::UnknownAttempt("its state is not one of ours"))
    }

    /// This browser's binding cookie of an attempt that it began and that is not too old. Without it the code is not used, which
    /// keeps login CSRF and session fixation out.
    fn binding_of(&self, attempt: &Attempt, headers: &HeaderMap) -> Result<Binding, CallbackError> {
        let binding = attempt
            .binding_in(&self.cookies, headers)
            .ok_or(CallbackError::UnknownAttempt("this browser did not begin it, or has completed another"))?;
        if self.clock.now() >= attempt.at().plus(attempt::LIFE) {
            return Err(CallbackError::UnknownAttempt("it is too old"));
        }
        Ok(binding)
    }

    /// Uses an attempt up: it returns once, on any replica.
    async fn consume(&self, attempt: &Attempt) -> Result<(), CallbackError> {
        let is_first = self.store.consume_once(attempt.name("returned"), attempt.at().plus(attempt::LIFE)).await?;
        if is_first { Ok(()) } else { Err(CallbackError::UnknownAttempt("it has returned before")) }
    }

    /// Redeems a response's code for tokens, and says who they speak for.
    async fn redeem(
        &self,
        site: &AccessUrl,
        response: &AuthorizationResponse,
        proof: &CallbackProof,
    ) -> Result<VerifiedLogin, CallbackError> {
        self.check_issuer(response)?;
        let code = match (&response.code, &response.error) {
            (_, Some(code)) if code == "access_denied" => return Err(CallbackError::Declined),
            (_, Some(code)) => {
                return Err(CallbackError::Refused { code: code.clone(), description: response.description.clone() });
            }
            (Some(code), None) => code,
            (None, None) => return Err(CallbackError::Parameters("there is neither a code nor an error")),
        };
        let timer = self.metrics.provider_timer("code");
        let login = self.provider.exchange_code(code, &self.redirect_uri(site), proof).await;
        timer.finish();
        Ok(login?)
    }

    /// Completes an attempt that asked for consent because the login before brought no refresh token. That login's session lasts as
    /// long as its access token, so an attempt that fails costs nothing.
    async fn complete_consent(
        &self,
        browser: ReturningBrowser<'_>,
        login: Result<VerifiedLogin, CallbackError>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        match login {
            Ok(login) => self.finish_login(browser, login, None, return_to, attempt).await,
            Err(error) if self.current_session(browser.headers).await?.is_some() => {
                tracing::info!(error = causes(&error), "the provider gave no refresh token");
                Ok(self.redirect_back(browser, return_to))
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a response of another provider (mix-up attack, RFC 9207 section 2.4). What is guarded is the code, which must not be
    /// taken to the wrong token endpoint: an error that names no issuer is told as an error all the same.
    fn check_issuer(&self, response: &AuthorizationResponse) -> Result<(), CallbackError> {
        let is_bare_error = response.error.is_some() && response.issuer.is_none();
        if is_bare_error || self.provider.is_response_issuer(response.issuer.as_deref())? {
            Ok(())
        } else {
            Err(CallbackError::Issuer)
        }
    }

    /// Redirects to the page that a login led to. Clears the bindings of the browser's other attempts, which are of no use to a
    /// browser that is signed in.
    fn redirect_back(&self, at: ReturningBrowser<'_>, return_to: &ReturnTo) -> Redirect {
        let names = self.cookies.bindings(at.headers).map(|(name, _)| name);
        let cookies = names.filter_map(|name| self.cookies.clear(name)).collect();
        Redirect { location: at.site.at(return_to.path()), cookies }
    }
}

/// A browser that the provider has sent back.
#[derive(Clone, Copy, Debug)]
pub struct ReturningBrowser<'a> {
    /// The site that it came back to.
    pub site: &'a AccessUrl,
    /// What it sent.
    pub headers: &'a HeaderMap,
    /// Its address.
    pub client: IpAddr,
}

/// Where the parameter `name` leads. One that is empty, as in a form that had none to pass on, is none.
pub fn return_from(query: &str, name: &str, access: &AccessUrl) -> Option<ReturnTo> {
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(found, text)| found == name && !text.is_empty())?;
    Some(ReturnTo::parse(&text, access))
}
