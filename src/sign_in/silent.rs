//! Silent re-authentication: a session whose grant has ended, or was obtained with other settings, continues with a new grant
//! that the provider issues without user interaction (`prompt=none`, OpenID Connect Core section 3.1.2.1).

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{
    LoginBrowser, Redirect, SignIn,
    attempt::{Attempt, LoginMode},
    authorization_response::AuthorizationResponse,
    callback_error::CallbackError,
    left_over::LeftOver,
    purpose::Purpose,
    redirect_loop,
    return_to::ReturnTo,
    silent_history::{self, SilentState},
};
use crate::{grant::Grant, oidc::VerifiedLogin, telemetry::logs::causes};

/// A provider that ends a grant this soon after the login would end the next one too.
const SHORT_LIFETIME: Duration = Duration::from_secs(30);
/// A grant that ends this soon after the login ended before the user could click anything.
const UNUSABLE_LIFETIME: Duration = Duration::from_secs(3);

/// How long after its login a grant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasted {
    /// Before its user could do anything.
    NoTime,
    /// Within seconds: the provider may have withdrawn the access.
    Shortly,
    /// Normally.
    Long,
}

/// A browser's recent logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserHistory {
    /// Whether silent re-authentication may be tried: no attempt was made recently, and the last one came back.
    pub may_be_silent: bool,
    /// How long its grant has lasted; [`Lasted::Long`] without one.
    pub grant_lasted: Lasted,
    /// Whether it is in a redirect loop.
    pub is_redirect_loop: bool,
}

impl SignIn {
    /// Whether the provider supports silent re-authentication.
    pub fn supports_prompt_none(&self) -> bool {
        self.provider.supports_prompt_none()
    }

    /// Whether a grant was obtained with other settings than the current ones, or its claims were last read by others. A claim that the
    /// settings name since comes with a token refresh, and for a grant without a refresh token only with a new grant.
    pub fn has_changed_since(&self, grant: &Grant) -> bool {
        grant.fingerprint != *self.provider.fingerprint()
            || self.provider.has_read_otherwise(&grant.identity)
            || (!grant.has_refresh_token && self.provider.has_further_claims(&grant.identity))
    }

    /// Returns a browser's recent logins, by its cookies and its grant.
    pub fn history_of(&self, headers: &HeaderMap, grant: Option<&Grant>) -> BrowserHistory {
        let now = self.parts.clock.now();
        BrowserHistory {
            may_be_silent: self.silent_state(headers) == SilentState::Allowed,
            grant_lasted: match grant.map(|grant| now.since(grant.created_at)) {
                Some(age) if age < UNUSABLE_LIFETIME => Lasted::NoTime,
                Some(age) if age < SHORT_LIFETIME => Lasted::Shortly,
                Some(_) | None => Lasted::Long,
            },
            is_redirect_loop: redirect_loop::is_loop(self.parts.rounds(headers)),
        }
    }

    /// Returns a cookie that records that a silent attempt of this browser never came back, if that is so and is not recorded
    /// yet.
    pub fn record_lost_silent_attempt(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.silent_state(headers) != SilentState::NeverCameBack || !self.provider.supports_prompt_none() {
            return None;
        }
        tracing::warn!(
            oidc.issuer = self.provider.issuer(),
            "a browser that was sent to the provider silently (prompt=none) never came back, and is not sent so again; \
             CODER_OIDC_SILENT_LOGIN=false turns it off for all"
        );
        self.make_no_silent_attempt()
    }

    /// The cookie that records that no silent attempt is to be made any more.
    pub(super) fn make_no_silent_attempt(&self) -> Option<HeaderValue> {
        let off = silent_history::off(self.provider.issuer(), self.parts.clock.now());
        self.parts.cookies.set(self.parts.cookies.silent_login(), &off, silent_history::COOKIE_MAX_AGE)
    }

    /// Returns a cookie that records that a silent attempt of this browser has come back, whatever its result.
    pub fn record_returned_silent_attempt(&self, query: &str, headers: &HeaderMap) -> Option<HeaderValue> {
        let response = AuthorizationResponse::parse(query).ok()?;
        let attempt = self.parts.attempt_of(&response).ok()?;
        if attempt.mode() != LoginMode::Silent || attempt.binding_in(&self.parts.cookies, headers).is_none() {
            return None;
        }
        // Whoever has declined at the provider's form has been asked, and goes on without.
        let has_declined = matches!(response.code(), Err(CallbackError::Declined));
        if attempt.may_have_shown_form() && has_declined { self.make_no_silent_attempt() } else { self.silent_attempt_is_over() }
    }

    /// The cookie that records that a silent attempt is over.
    pub(super) fn silent_attempt_is_over(&self) -> Option<HeaderValue> {
        let back = silent_history::back(self.provider.issuer(), self.parts.clock.now());
        self.parts.cookies.set(self.parts.cookies.silent_login(), &back, silent_history::BACK_MAX_AGE)
    }

    fn silent_state(&self, headers: &HeaderMap) -> SilentState {
        silent_history::state(
            self.parts.cookies.value(headers, self.parts.cookies.silent_login()),
            self.provider.issuer(),
            self.parts.clock.now(),
        )
    }

    /// Completes silent re-authentication. Whatever its result, a session that is still alive continues.
    pub(super) async fn complete_silently(
        &self,
        at: LoginBrowser<'_>,
        login: Result<VerifiedLogin, CallbackError>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        let current = self.parts.with_patience(|| self.parts.current_session(at.headers)).await?;
        let session_is_alive = current.as_ref().is_some_and(|(_, grant)| self.parts.is_alive(grant));
        let error = match login {
            Ok(login) => {
                let since_code = login.since_code;
                let Some((session, grant)) = &current else {
                    // A sign-out is not undone by a login that nobody has asked for. The user logs in interactively.
                    self.leave(&self.new_grant(login, at), since_code, LeftOver::SessionEnded).await;
                    return Ok(self.redirect_to_provider(at, return_to, Purpose::Login).await?);
                };
                let is_same = grant.identity.subject == login.identity.subject && grant.issuer == self.provider.issuer();
                if !is_same && session_is_alive && !attempt.may_have_shown_form() {
                    // Another user is logged in at the provider now, which is no reason to end this session. Whoever was shown a form
                    // and has logged in by it is at this browser.
                    self.leave(&self.new_grant(login, at), since_code, LeftOver::AnotherUser).await;
                    return Ok(at.back(return_to));
                }
                let existing = is_same.then_some(session.hash);
                return self.finish_login(at, login, existing, return_to, attempt).await;
            }
            Err(error) => error,
        };
        tracing::info!(error = causes(&error), session.lives = session_is_alive, "silent login failed");
        // The user is logged in there, and only has to consent or otherwise interact.
        let needs_interaction =
            matches!(&error, CallbackError::Refused { code, .. } if code == "consent_required" || code == "interaction_required");
        if session_is_alive && !needs_interaction {
            return Ok(at.back(return_to));
        }
        if session_is_alive {
            return Ok(match self.redirect_to_provider(at, return_to, Purpose::Interaction).await {
                Ok(redirect) => redirect,
                Err(error) => {
                    tracing::warn!(error = causes(&error), "a login cannot begin; the session continues with its grant");
                    at.back(return_to)
                }
            });
        }
        match error {
            // Another login would end in the same way.
            CallbackError::Denied(_, _) | CallbackError::Store(_) => Err(error),
            // The user logs in interactively instead.
            CallbackError::Refused { .. }
            | CallbackError::Declined
            | CallbackError::Issuer
            | CallbackError::Parameters(_)
            | CallbackError::UnknownAttempt(_)
            | CallbackError::NoCookies
            | CallbackError::ReturnedBefore
            | CallbackError::Busy
            | CallbackError::Provider(_) => Ok(self.redirect_to_provider(at, return_to, Purpose::Login).await?),
        }
    }
}
