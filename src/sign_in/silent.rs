//! Silent re-authentication: a session whose grant has ended, or was obtained with other settings, goes on with a new grant that the
//! provider gives without showing the user anything (`prompt=none`, OpenID Connect Core section 3.1.2.1).

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{
    Attempt, AuthorizationResponse, CallbackError, LoginMode, Purpose, Redirect, ReturningBrowser, SignIn, redirect_loop,
    return_to::ReturnTo,
    silent_history::{self, SilentState},
};
use crate::{
    grant::Grant,
    oidc::VerifiedLogin,
    session::{Session, SessionHash},
    store::StoreError,
    telemetry::logs::causes,
};

/// A grant that its provider ends so soon after the login would only be followed by another such.
const SHORTLY: Duration = Duration::from_secs(30);
/// Nobody clicks so soon after a login: a grant that ends in between was over before it was used.
const NO_TIME: Duration = Duration::from_secs(3);

/// How soon after its login a grant came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasted {
    /// It was over before its user could do anything.
    NoTime,
    /// A few seconds, within which a provider may have thought better of it.
    Shortly,
    /// As long as any.
    Long,
}

/// What a browser has been through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserHistory {
    /// Whether it may be sent to the provider silently: no silent attempt was made a moment ago, and the last one came back.
    pub may_be_silent: bool,
    /// How long its grant lasted, or has lasted so far; [`Lasted::Long`] without one.
    pub grant_lasted: Lasted,
    /// Whether it has just been through the provider so often that once more leads nowhere.
    pub is_redirect_loop: bool,
}

impl SignIn {
    /// Whether the provider may be asked for silent re-authentication.
    pub fn supports_prompt_none(&self) -> bool {
        self.provider.supports_prompt_none()
    }

    /// Whether a grant was obtained with other settings than those of now.
    pub fn has_changed_since(&self, grant: &Grant) -> bool {
        grant.fingerprint != *self.provider.fingerprint()
    }

    /// What a browser has been through, by its cookies and by its grant.
    pub fn history_of(&self, headers: &HeaderMap, grant: Option<&Grant>) -> BrowserHistory {
        let now = self.clock.now();
        BrowserHistory {
            may_be_silent: self.silent_state(headers) == SilentState::Allowed,
            grant_lasted: match grant.map(|grant| now.since(grant.created_at)) {
                Some(age) if age < NO_TIME => Lasted::NoTime,
                Some(age) if age < SHORTLY => Lasted::Shortly,
                Some(_) | None => Lasted::Long,
            },
            is_redirect_loop: redirect_loop::is_loop(self.rounds(headers)),
        }
    }

    /// Records in a cookie that a silent attempt of this browser's never came back, if that is so and is not recorded yet.
    pub fn record_lost_silent_attempt(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.silent_state(headers) != SilentState::NeverCameBack || !self.provider.supports_prompt_none() {
            return None;
        }
        tracing::warn!(
            oidc.issuer = self.provider.issuer(),
            "a browser that was sent to the provider silently (prompt=none) never came back, and is not sent so again; \
             CODER_OIDC_SILENT_LOGIN=false turns it off for all"
        );
        let off = silent_history::off(self.provider.issuer(), self.clock.now());
        self.cookies.set(self.cookies.returning(), &off, silent_history::REMEMBERED)
    }

    /// Records in a cookie that a silent attempt of this browser's has come back, whatever came of it.
    pub fn record_returned_silent_attempt(&self, query: &str, headers: &HeaderMap) -> Option<HeaderValue> {
        let answer = AuthorizationResponse::parse(query).ok()?;
        let attempt = self.attempt_of(&answer).ok()?;
        if attempt.mode() != LoginMode::Silent || attempt.binding_in(&self.cookies, headers).is_none() {
            return None;
        }
        let back = silent_history::back(self.provider.issuer(), self.clock.now());
        self.cookies.set(self.cookies.returning(), &back, silent_history::REMEMBERED)
    }

    fn silent_state(&self, headers: &HeaderMap) -> SilentState {
        silent_history::state(self.cookies.value(headers, self.cookies.returning()), self.provider.issuer(), self.clock.now())
    }

    pub(super) fn rounds(&self, headers: &HeaderMap) -> u32 {
        redirect_loop::in_a_row(self.cookies.value(headers, self.cookies.rounds()), self.clock.now())
    }

    /// Whether this browser has a session that can go on as it is.
    pub(super) async fn has_living_session(&self, headers: &HeaderMap) -> Result<bool, StoreError> {
        Ok(self.current_session(headers).await?.is_some_and(|(_, grant)| self.is_alive(&grant)))
    }

    /// Completes a silent login. Whatever came of it, a session that still lives goes on.
    pub(super) async fn complete_silently(
        &self,
        at: ReturningBrowser<'_>,
        signed: Result<VerifiedLogin, CallbackError>,
        return_to: &ReturnTo,
        attempt: &Attempt,
    ) -> Result<Redirect, CallbackError> {
        let standing = self.current_session(at.headers).await?;
        let lives = standing.as_ref().is_some_and(|(_, grant)| self.is_alive(grant));
        let error = match signed {
            Ok(signed) => {
                let same = |(_, grant): &&(Session, Grant)| {
                    grant.identity.subject == signed.identity.subject && grant.issuer == self.provider.issuer()
                };
                let existing = standing.as_ref().filter(same).map(|(session, _)| session.hash);
                if existing.is_none() && lives {
                    // Somebody else is logged in at the provider now, which is no reason to end this session.
                    return Ok(self.redirect_back(at, return_to));
                }
                return self.finish_login(at, signed, existing, return_to, attempt).await;
            }
            Err(error) => error,
        };
        tracing::info!(error = causes(&error), session.lives = lives, "silent login failed");
        // The user is known there, and only has to agree to what is asked for now.
        let wants_a_word =
            matches!(&error, CallbackError::Refused { code, .. } if code == "consent_required" || code == "interaction_required");
        if lives && !wants_a_word {
            return Ok(self.redirect_back(at, return_to));
        }
        match error {
            // Who may enter and where sessions are kept is not the provider's to say.
            CallbackError::Denied(_, _) | CallbackError::Store(_) => Err(error),
            // As if it had not been asked: whoever it is logs in like anybody.
            CallbackError::Refused { .. }
            | CallbackError::Declined
            | CallbackError::Issuer
            | CallbackError::Parameters(_)
            | CallbackError::UnknownAttempt(_)
            | CallbackError::Busy
            | CallbackError::Provider(_) => Ok(self.begin(at.site, return_to, at.headers, Purpose::Login).await?),
        }
    }

    /// This browser's session, if it is within its limits, and its grant.
    pub(super) async fn current_session(&self, headers: &HeaderMap) -> Result<Option<(Session, Grant)>, StoreError> {
        let Some(value) = self.cookies.session_value(headers) else { return Ok(None) };
        let Some(session) = self.store.session(SessionHash::of(value)).await? else { return Ok(None) };
        if self.sessions.reached(&session, session.last_seen, self.clock.now()).is_some() {
            return Ok(None);
        }
        Ok(self.store.grant(session.grant).await?.map(|grant| (session, grant)))
    }

    /// Whether a grant still serves requests, or can be renewed to.
    fn is_alive(&self, grant: &Grant) -> bool {
        let ours = grant.issuer == self.provider.issuer() && grant.client_id == self.provider.client_id();
        ours && grant.ended.is_none()
            && grant.missing_key.is_none()
            && (grant.has_refresh_token || self.clock.now() < grant.expires_at)
    }
}
