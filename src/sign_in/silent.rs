//! The silent return: a session whose grant has ended, or would be another if it were obtained now, goes on with a new
//! grant that the provider gives without a word to the user (`prompt=none`, OIDC Core section 3.1.2.1).

use std::time::Duration;

use http::HeaderMap;

use super::{At, CallbackError, Pass, Redirect, SignIn, return_to::ReturnTo};
use crate::{
    grant::Grant,
    oidc::Signed,
    session::{Session, SessionHash},
    store::StoreError,
    telemetry::logs::causes,
};

/// A browser that has been sent silently is not sent so again for this long, whatever came of it: neither a provider that
/// shows an error of its own, nor two replicas with different settings, must keep anybody from their page.
pub(super) const NOT_AGAIN: Duration = Duration::from_secs(600);

/// A grant that ended so soon after it was obtained would only be followed by another such.
const TOO_SOON: Duration = Duration::from_secs(30);

impl SignIn {
    /// How a browser passes the provider whose grant has ended or is to be replaced. Where the provider cannot be asked for
    /// silence, only a session that lives keeps its place: its user may be asked something, and may come back without.
    pub fn pass_for(&self, grant: &Grant, headers: &HeaderMap) -> Pass {
        let may = self.provider.answers_silently() || grant.ended.is_none();
        if may && !self.cookies.is_returning(headers) { Pass::Silent } else { Pass::Login }
    }

    /// Whether a grant ended so soon that sending its browser to the provider again would go round in circles.
    pub fn goes_in_circles(&self, grant: &Grant) -> bool {
        self.clock.now().since(grant.created_at) < TOO_SOON
    }

    /// Whether a living grant was obtained with other settings, so that its browser's next page view is to bring another,
    /// and may now.
    pub fn is_outdated(&self, grant: &Grant, headers: &HeaderMap) -> bool {
        grant.fingerprint != *self.provider.fingerprint() && self.pass_for(grant, headers) == Pass::Silent
    }

    /// Whether this browser has a session that can go on as it is.
    pub(super) async fn goes_on(&self, headers: &HeaderMap) -> Result<bool, StoreError> {
        Ok(self.standing(headers).await?.is_some_and(|(_, grant)| self.lives(&grant)))
    }

    /// Completes a silent pass. Whatever came of it, a session that still stands goes on.
    pub(super) async fn complete_silently(
        &self,
        at: At<'_>,
        signed: Result<Signed, CallbackError>,
        return_to: &ReturnTo,
    ) -> Result<Redirect, CallbackError> {
        let standing = self.standing(at.headers).await?;
        let lives = standing.as_ref().is_some_and(|(_, grant)| self.lives(grant));
        let error = match signed {
            Ok(signed) => {
                let same = |(_, grant): &&(Session, Grant)| {
                    grant.identity.subject == signed.identity.subject && grant.issuer == self.provider.issuer()
                };
                let seat = standing.as_ref().filter(same).map(|(session, _)| session.hash);
                if seat.is_none() && lives {
                    // Somebody else is logged in at the provider now, which is no reason to end this session.
                    return Ok(at.back_to(return_to));
                }
                return self.enter(at, signed, seat, return_to, Pass::Silent).await;
            }
            Err(error) => error,
        };
        tracing::info!(error = causes(&error), session.lives = lives, "the provider did not answer a silent login with one");
        let refused = match &error {
            CallbackError::Refused(code) => Some(code.as_str()),
            CallbackError::Declined => Some("access_denied"),
            CallbackError::Parameters(_)
            | CallbackError::UnknownAttempt(_)
            | CallbackError::Issuer
            | CallbackError::Provider(_)
            | CallbackError::Busy
            | CallbackError::Denied(_)
            | CallbackError::Store(_) => None,
        };
        match refused {
            // The user is known there, and only has to agree to what is asked for now.
            Some("consent_required" | "interaction_required") => {
                Ok(self.begin(at.site, return_to, at.headers, Pass::Login, None)?)
            }
            _ if lives => Ok(at.back_to(return_to)),
            Some(_) => Ok(self.begin(at.site, return_to, at.headers, Pass::Login, None)?),
            None => Err(error),
        }
    }

    /// The session that this browser has, within its limits, with its grant.
    pub(super) async fn standing(&self, headers: &HeaderMap) -> Result<Option<(Session, Grant)>, StoreError> {
        let Some(value) = self.cookies.session_value(headers) else { return Ok(None) };
        let Some(session) = self.store.session(SessionHash::of(value)).await? else { return Ok(None) };
        if self.sessions.reached(&session, session.last_seen, self.clock.now()).is_some() {
            return Ok(None);
        }
        Ok(self.store.grant(session.grant).await?.map(|grant| (session, grant)))
    }

    /// Whether a grant still serves requests, or can be renewed to.
    fn lives(&self, grant: &Grant) -> bool {
        let ours = grant.issuer == self.provider.issuer() && grant.client_id == self.provider.client_id();
        ours && grant.ended.is_none() && (grant.has_refresh_token || self.clock.now() < grant.expires_at)
    }
}
