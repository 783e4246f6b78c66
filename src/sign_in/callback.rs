//! Completes the login of a browser that comes back from the provider.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{
    LoginBrowser, Redirect, SignIn,
    attempt::{Attempt, Binding, LoginMode},
    authorization_response::AuthorizationResponse,
    browser_turns::Turn,
    callback_error::CallbackError,
    code_exchanges::ExchangePermit,
    failed::FailedLogin,
    provider_choice,
    return_to::ReturnTo,
};
use crate::{
    address::AccessUrl,
    oidc::{CallbackProof, VerifiedLogin},
    session::SessionHash,
    telemetry::logs::causes,
    to_its_end::to_its_end,
};

/// How long a tab waits for another one beyond its token call, while a person watches the page.
const MAX_WAIT: Duration = Duration::from_secs(6);

/// A login that has come back and may be completed.
struct Returned {
    attempt: Attempt,
    binding: Binding,
    response: AuthorizationResponse,
    return_to: ReturnTo,
    turn: Turn,
    _permit: ExchangePermit,
}

impl SignIn {
    /// Completes a login whose browser came back with `query`.
    ///
    /// # Errors
    /// [`FailedLogin`]; no session was created.
    pub async fn complete(&self, at: LoginBrowser<'_>, query: &str) -> Result<Redirect, FailedLogin> {
        let result = self.try_complete(at, query).await;
        self.metrics.login(match &result {
            Ok(_) => "ok",
            Err(
                CallbackError::Parameters(_)
                | CallbackError::UnknownAttempt(_)
                | CallbackError::NoCookies
                | CallbackError::ReturnedBefore,
            ) => "unknown_attempt",
            Err(CallbackError::Issuer | CallbackError::Refused { .. }) => "refused",
            Err(CallbackError::Busy) => "busy",
            Err(CallbackError::Declined) => "declined",
            Err(CallbackError::Provider(_)) => "provider_error",
            Err(CallbackError::Denied(_, _)) => "denied",
            Err(CallbackError::Store(_)) => "store_error",
        });
        if result.as_ref().is_err_and(CallbackError::is_about_the_request) {
            self.provider.doubt_metadata();
        }
        match result {
            Ok(redirect) => Ok(redirect),
            Err(error) => Err(self.parts.describe_failure(error, at, query).await),
        }
    }

    /// The address of the callback at the site where the login began, if the browser has come back to `site` with `query` and that
    /// is another one.
    pub fn callback_elsewhere(&self, site: &AccessUrl, query: &str) -> Option<String> {
        // Where sites share a login, none begins elsewhere, and no code is sent on.
        if self.parts.shares_login {
            return None;
        }
        let attempt = self.parts.attempt_of(&AuthorizationResponse::parse(query).ok()?).ok()?;
        self.redirect_uris.elsewhere(attempt.site()?, site, query)
    }

    /// The address of the callback, at the site where the login began, for a response that came to `site` as a form.
    ///
    /// # Errors
    /// [`CallbackError::Parameters`]: it is none that would be accepted.
    pub fn callback_of_form(&self, site: &AccessUrl, form: &[u8]) -> Result<String, CallbackError> {
        let query = AuthorizationResponse::query_of_form(form)?;
        let elsewhere = self.callback_elsewhere(site, &query);
        Ok(elsewhere.unwrap_or_else(|| format!("{}?{query}", site.at(&self.redirect_uris.path))))
    }

    async fn try_complete(&self, browser: LoginBrowser<'_>, query: &str) -> Result<Redirect, CallbackError> {
        let response = AuthorizationResponse::parse(query)?;
        let attempt = self.parts.attempt_of(&response)?;
        // A code is redeemed where its login began, and nowhere else.
        if attempt.mode() == LoginMode::HandOver || attempt.provider() != self.provider.name() {
            return Err(CallbackError::UnknownAttempt("it did not go to this provider"));
        }
        // The settings have changed meanwhile, or another replica has others. The login begins again, unless all that it was for is a
        // session that lives here.
        if !attempt.is_of_client(self.provider.registration(), &self.redirect_uris.of(browser.site)) {
            if attempt.is_for_a_session() && self.parts.has_live_session(browser.headers).await? {
                let mut redirect = browser.back(&self.parts.destination(&attempt, browser.site).await);
                redirect.cookies.extend(self.silent_attempt_is_over());
                return Ok(redirect);
            }
            return Err(CallbackError::UnknownAttempt("it went to another provider, or with another client or redirect URI"));
        }
        let binding = match self.parts.binding_of(&attempt, browser.headers) {
            Ok(binding) => binding,
            Err(unknown) => return Err(self.parts.judge_unbound(&attempt, browser, unknown).await),
        };
        // Before a permit is held that others wait for.
        let _too_long = tokio::time::timeout(self.parts.store_wait, self.parts.store.until_writable()).await;
        // Before the attempt is consumed, so that a browser that is refused can try again.
        let return_to = self.parts.destination(&attempt, browser.site).await;
        let patience = self.provider.token_timeout() + MAX_WAIT;
        let Some(turn) = self.parts.turns.wait(Binding::browser(&self.parts.cookies, browser.headers), patience).await else {
            return self.go_on_without(browser, &attempt, &return_to).await;
        };
        if turn.has_brought_what_is_asked_by(&attempt) {
            // Its code is not redeemed, whether or not that can be recorded.
            let _recorded = self.parts.consume(&attempt).await;
            return Ok(browser.back(&return_to));
        }
        let Some(permit) = self.exchanges.acquire(browser.client).await else {
            return self.go_on_without(browser, &attempt, &return_to).await;
        };
        self.redeem_to_its_end(browser, Returned { attempt, binding, response, return_to, turn, _permit: permit }).await
    }

    /// What becomes of a browser whose code cannot be redeemed now.
    async fn go_on_without(
        &self,
        browser: LoginBrowser<'_>,
        attempt: &Attempt,
        return_to: &ReturnTo,
    ) -> Result<Redirect, CallbackError> {
        // The session is alive, and silent re-authentication is not tried again so soon.
        if attempt.mode() == LoginMode::Silent && self.parts.has_live_session(browser.headers).await? {
            return Ok(browser.back(return_to));
        }
        Err(CallbackError::Busy)
    }

    /// Consumes the attempt and redeems its code, even if the client disconnects from here on: the code may end the user's other
    /// refresh tokens, and what it brings is to be saved or revoked.
    async fn redeem_to_its_end(&self, browser: LoginBrowser<'_>, returned: Returned) -> Result<Redirect, CallbackError> {
        let (this, (browser, _leaves)) = (self.clone(), browser.detached());
        to_its_end(&self.parts.tasks, async move { Box::pin(this.redeem_and_finish(browser.browser(), returned)).await }).await
    }

    async fn redeem_and_finish(&self, browser: LoginBrowser<'_>, returned: Returned) -> Result<Redirect, CallbackError> {
        let Returned { attempt, binding, response, return_to, mut turn, _permit } = returned;
        self.parts.consume(&attempt).await?;
        turn.begin();
        let login = self.redeem(browser.site, &response, &attempt.proof(&response.state, &binding)).await;
        let mut redirect = match attempt.mode() {
            LoginMode::Login => {
                let login = login?;
                let existing = self.session_of_another_tab(browser, &attempt, &login).await?;
                self.finish_login(browser, login, existing, &return_to, &attempt).await?
            }
            LoginMode::Silent => self.complete_silently(browser, login, &return_to, &attempt).await?,
            LoginMode::Interaction => self.complete_interaction(browser, login, &return_to, &attempt).await?,
            LoginMode::Consent => self.complete_consent(browser, login, &return_to, &attempt).await?,
            LoginMode::HandOver => return Err(CallbackError::UnknownAttempt("it did not go to the provider")),
        };
        self.parts.record_round(&attempt, &mut redirect);
        if !browser.has_left() {
            turn.finish(&attempt);
        }
        Ok(redirect)
    }

    /// The session that another tab has brought this browser since `attempt` began, if it is of the same user. It goes on with the
    /// new grant: what the first tab's page asks for now has its cookie.
    async fn session_of_another_tab(
        &self,
        browser: LoginBrowser<'_>,
        attempt: &Attempt,
        login: &VerifiedLogin,
    ) -> Result<Option<SessionHash>, CallbackError> {
        let current = self.parts.with_patience(|| self.parts.current_session(browser.headers)).await?;
        let same = current.filter(|(session, grant)| {
            session.created_at > attempt.at()
                && grant.issuer == self.provider.issuer()
                && grant.identity.subject == login.identity.subject
        });
        Ok(same.map(|(session, _)| session.hash))
    }

    /// Exchanges a response's code for tokens and verifies the identity. What cannot be verified is revoked.
    async fn redeem(
        &self,
        site: &AccessUrl,
        response: &AuthorizationResponse,
        proof: &CallbackProof,
    ) -> Result<VerifiedLogin, CallbackError> {
        self.check_issuer(response).await?;
        let code = response.code()?;
        let timer = self.metrics.provider_timer("code");
        let login = self.provider.exchange_code(code, &self.redirect_uris.of(site), proof).await;
        timer.finish();
        match login {
            Ok(login) => Ok(login),
            Err(failed) => {
                if let Some(left_over) = &failed.left_over {
                    self.revoke_unverified(left_over).await;
                }
                Err(failed.error.into())
            }
        }
    }

    /// Completes an attempt that asked for consent because the previous login brought no refresh token. That login's session
    /// lasts as long as its access token, so a failed attempt loses nothing.
    async fn complete_consent(
        &self,
        browser: LoginBrowser<'_>,
        login: Result<VerifiedLogin, CallbackError>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        match login {
            Ok(login) => self.finish_login(browser, login, None, return_to, attempt).await,
            Err(error) if self.parts.current_session(browser.headers).await?.is_some() => {
                tracing::info!(error = causes(&error), "login for consent failed: the provider gave no refresh token");
                Ok(browser.back(return_to))
            }
            Err(error) => Err(error),
        }
    }

    /// Completes an attempt for which silent re-authentication needed its user. One who declines goes on with the session that is
    /// alive, and is not asked again: no further silent attempt is made in this browser. After any other failure it is, a while later.
    async fn complete_interaction(
        &self,
        browser: LoginBrowser<'_>,
        login: Result<VerifiedLogin, CallbackError>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        match login {
            Ok(login) => self.finish_login(browser, login, None, return_to, attempt).await,
            Err(error) if self.parts.has_live_session(browser.headers).await? => {
                let has_declined = error.is_a_user_s_no();
                tracing::info!(
                    error = causes(&error),
                    declined = has_declined,
                    "a user was asked for more, and the session goes on without"
                );
                let mut redirect = browser.back(return_to);
                redirect.cookies.extend(match has_declined {
                    true => self.make_no_silent_attempt(),
                    false => self.silent_attempt_is_over(),
                });
                Ok(redirect)
            }
            Err(error) => Err(error),
        }
    }

    /// Refuses a response of another provider (mix-up attack, RFC 9207 section 2.4). The check keeps the code from the wrong
    /// token endpoint, so an error response without an issuer is still handled as an error.
    async fn check_issuer(&self, response: &AuthorizationResponse) -> Result<(), CallbackError> {
        let is_bare_error = response.error.is_some() && response.issuer.is_none();
        if is_bare_error || self.provider.is_response_issuer(response.issuer.as_deref()).await? {
            Ok(())
        } else {
            Err(CallbackError::Issuer)
        }
    }

    /// The cookie that remembers where a user has logged in who chose this provider now, or was sent here because they had.
    pub(super) fn choice_after_login(&self, headers: &HeaderMap, attempt: &Attempt) -> Option<HeaderValue> {
        let name = self.provider.name();
        let was_chosen = || {
            self.parts
                .cookies
                .only_value(headers, self.parts.cookies.provider())
                .map(|cookie| provider_choice::read(cookie, self.parts.clock.now()))
        };
        let is_meant = attempt.is_chosen() || was_chosen().is_some_and(|last| last.provider == name);
        let is_one_of_several = self.parts.providers.only().is_none();
        (is_meant && is_one_of_several)
            .then(|| self.parts.cookies.set(self.parts.cookies.provider(), name, provider_choice::COOKIE_MAX_AGE))?
    }
}
