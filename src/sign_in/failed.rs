//! A login that failed, and what becomes of its browser.

use http::HeaderMap;

use super::{AuthorizationResponse, CallbackError, Purpose, Redirect, ReturningBrowser, SignIn, return_to::ReturnTo};
use crate::address::AccessUrl;

/// A login that came to nothing.
#[derive(Debug)]
pub struct FailedLogin {
    /// Why.
    pub error: CallbackError,
    /// Where it led, if its attempt is one of ours, whosever it is.
    pub return_to: Option<ReturnTo>,
    may_begin_again: bool,
}

impl FailedLogin {
    /// Whether it says nothing of who is at the browser, who may have signed in another way.
    pub fn is_of_another_attempt(&self) -> bool {
        matches!(self.error, CallbackError::UnknownAttempt(_))
    }
}

impl CallbackError {
    /// Whether the next attempt may well fare better, with nobody doing anything about it.
    fn may_pass(&self) -> bool {
        match self {
            Self::UnknownAttempt(_) => true,
            Self::Provider(error) => error.may_pass(),
            Self::Parameters(_)
            | Self::Issuer
            | Self::Refused { .. }
            | Self::Declined
            | Self::Busy
            | Self::Denied(_, _)
            | Self::Store(_) => false,
        }
    }
}

impl SignIn {
    /// What is left of a login that failed.
    pub(super) async fn failed(&self, error: CallbackError, at: ReturningBrowser<'_>, query: &str) -> FailedLogin {
        let attempt = AuthorizationResponse::parse(query).ok().and_then(|answer| self.attempt_of(&answer).ok());
        let Some(attempt) = attempt else {
            // One that the release before began, which kept what it led to where nobody looks any more.
            let is_of_before =
                matches!(&error, CallbackError::UnknownAttempt(_)) && self.cookies.has_attempt_of_before(at.headers);
            let return_to = is_of_before.then(ReturnTo::front_page);
            return FailedLogin { error, return_to, may_begin_again: is_of_before };
        };
        let may_begin_again = !attempt.is_second() && error.may_pass();
        FailedLogin { error, return_to: Some(self.destination(&attempt, at.site).await), may_begin_again }
    }

    /// Sends a browser to the provider once more, to the page that it was on its way to: its attempt was too old, or was
    /// overtaken by another tab's, or the provider failed for a moment. Never twice in a row.
    pub async fn begin_again(&self, failed: &FailedLogin, site: &AccessUrl, headers: &HeaderMap) -> Option<Redirect> {
        let return_to = failed.return_to.as_ref().filter(|_| failed.may_begin_again)?;
        self.begin(site, return_to, headers, Purpose::LoginOnceMore).await.ok()
    }
}
