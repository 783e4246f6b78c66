//! A failed login, and its automatic retry.

use super::{
    LoginBrowser, LoginParts, Redirect, SignIn, attempt::LoginMode, authorization_response::AuthorizationResponse,
    callback_error::CallbackError, purpose::Purpose, return_to::ReturnTo,
};

/// A failed login.
#[derive(Debug)]
pub struct FailedLogin {
    /// The cause.
    pub error: CallbackError,
    /// The return address, if the `state` is ours, even if another browser began the attempt.
    pub return_to: Option<ReturnTo>,
    may_begin_again: bool,
    /// Whether nobody can have logged in by its attempt who is not signed in already.
    is_without_user: bool,
    /// The providers that a hand-over was limited to.
    providers: Option<Vec<String>>,
}

impl FailedLogin {
    /// Whether a user who is signed in can go on as that: the attempt has been completed already, or asked for no user's login.
    pub fn leaves_user_signed_in(&self) -> bool {
        self.is_without_user
    }
}

impl CallbackError {
    /// Whether an automatic retry may succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::UnknownAttempt(_) | Self::ReturnedBefore => true,
            Self::Provider(error) => error.may_pass() && error.asks_to_wait().is_none(),
            Self::Parameters(_)
            | Self::NoCookies
            | Self::Issuer
            | Self::Refused { .. }
            | Self::Declined
            | Self::Busy
            | Self::Denied(_, _)
            | Self::Store(_) => false,
        }
    }
}

impl CallbackError {
    /// A refusal that a double click has the provider send twice is told twice: its user is not asked again because of the second copy.
    /// Silent attempts ask no user.
    fn or_refusal_again(self, response: &AuthorizationResponse, mode: LoginMode) -> Self {
        match (self, response.code(), mode) {
            (
                Self::ReturnedBefore,
                Err(refusal @ (Self::Declined | Self::Refused { .. })),
                LoginMode::Login | LoginMode::Consent | LoginMode::Interaction,
            ) => refusal,
            (error, Ok(_) | Err(_), _) => error,
        }
    }
}

impl LoginParts {
    /// Describes a failed login.
    pub(super) async fn describe_failure(&self, error: CallbackError, at: LoginBrowser<'_>, query: &str) -> FailedLogin {
        let response = AuthorizationResponse::parse(query).ok();
        let attempt = response.as_ref().and_then(|response| self.attempt_of(response).ok());
        let (Some(attempt), Some(response)) = (attempt, response) else {
            // An attempt of the previous release, whose return address cannot be read any more.
            let is_of_previous_release =
                matches!(&error, CallbackError::UnknownAttempt(_)) && self.cookies.has_attempt_of_previous_release(at.headers);
            let return_to = is_of_previous_release.then(ReturnTo::front_page);
            let is_without_user = matches!(&error, CallbackError::UnknownAttempt(_));
            return FailedLogin { error, return_to, may_begin_again: is_of_previous_release, is_without_user, providers: None };
        };
        let is_without_user = match (&error, attempt.mode()) {
            (CallbackError::ReturnedBefore | CallbackError::UnknownAttempt(_), LoginMode::Silent | LoginMode::HandOver) => true,
            // It was completed, if the session here has come since.
            (CallbackError::ReturnedBefore, LoginMode::Login | LoginMode::Consent) => {
                let current = self.current_session(at.headers).await.ok().flatten();
                current.is_some_and(|(session, _)| session.created_at >= attempt.at())
            }
            // Whoever has declined goes on with the session that is alive, as after the first copy of the response.
            (CallbackError::ReturnedBefore, LoginMode::Interaction) => self.has_live_session(at.headers).await.unwrap_or(false),
            (_, _) => false,
        };
        let error = error.or_refusal_again(&response, attempt.mode());
        let may_begin_again = !attempt.is_second() && error.is_transient();
        let providers = (attempt.mode() == LoginMode::HandOver).then(|| attempt.providers().to_vec());
        let return_to = Some(self.destination(&attempt, at.site).await);
        FailedLogin { error, return_to, may_begin_again, is_without_user, providers }
    }
}

impl SignIn {
    /// Redirects a browser to the provider once more, with the same return address: its attempt had expired or was overtaken by
    /// another tab's, or the provider failed briefly. Never twice in a row.
    pub async fn begin_again(&self, failed: &FailedLogin, at: LoginBrowser<'_>) -> Option<Redirect> {
        let return_to = failed.return_to.as_ref().filter(|_| failed.may_begin_again)?;
        match (self.parts.login_site_of(at.site), &failed.providers) {
            (Some(login_site), Some(providers)) => {
                Some(self.ask_for_hand_over(at, login_site, return_to, Purpose::LoginOnceMore, providers).await)
            }
            (_, _) => self.begin(at, return_to, Purpose::LoginOnceMore).await.ok(),
        }
    }
}
