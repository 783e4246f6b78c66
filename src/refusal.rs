//! Every way in which a request is not served.
//!
//! `table` says what the client sees of each: fixed text and a request id. The cause goes to the log. `response` renders it as a
//! page, as JSON, or as a redirect.

mod challenge;
mod links;
mod log;
mod login;
mod page;
mod problem;
pub mod response;
mod row;
mod table;

use std::time::Duration;

use crate::{
    bearer::{self, TokenRefusal},
    exchange::Malformed,
    forward::ForwardError,
    oidc::{ProviderError, VerifyError},
    policy::Denied,
    sign_in::{CallbackError, Redirect},
    store::StoreError,
    visitor::SignInReason,
};

pub use links::{Links, OwnPages};

/// Why a request is not served.
#[derive(Debug)]
pub enum Refusal {
    /// The request is malformed in this way.
    BadRequest(&'static str),
    /// The server's parser refuses it with this status.
    Unreadable(u16),
    /// Its request line and headers are larger than they may be.
    HeadTooLarge,
    /// All connections of clients are in use, but for a few that are kept for probes.
    Full,
    /// It names a host that is none of our sites.
    Misdirected,
    /// It is redirected to the same page of the access URL.
    RedirectToAccessUrl,
    /// Nothing here takes its method.
    MethodNotAllowed,
    /// No route and no endpoint has its path.
    NoSuchPage,
    /// Its browser is redirected to a login.
    SignIn(SignInReason, Redirect),
    /// It must be authenticated, and a redirect would reach no person.
    SignInNeeded(SignInReason),
    /// The same of a program, which may bring a token as a password.
    TokenNeeded(SignInReason),
    /// The provider's grants end as soon as they are obtained.
    SignInDoesNotLast(SignInReason),
    /// The browser has logged in again and again, and does not send the session cookie.
    SignInNotKept(SignInReason),
    /// What no person would see as a page of its own: a login begins and ends in top-level navigations only, and so are our forms sent.
    NavigationRequired,
    /// It is for a page that a service worker of the app would read, and that holds what apps must not learn.
    WorkerReads,
    /// A form of ours was sent later than it may be, or is not one that this user was shown.
    FormExpired,
    /// The provider has withdrawn the user's access shortly after the login.
    AccessWithdrawn(SignInReason),
    /// A back-channel logout token is not to be believed.
    LogoutToken(VerifyError),
    /// A rule does not let it pass; the name of the account that its user is signed in with, where the rule needs a user.
    Denied(Denied, Option<String>),
    /// The bearer token that it brings does not let it pass.
    Token(TokenRefusal),
    /// The store cannot say whose request it is.
    StoreUnavailable(StoreError),
    /// The grant cannot be renewed now; to be tried again after this long.
    RenewalUnavailable(Duration),
    /// A login cannot begin.
    ProviderUnavailable(ProviderError),
    /// A login failed, or is not let in.
    Callback(CallbackError),
    /// The upstream failed.
    Upstream(ForwardError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Method => Self::MethodNotAllowed,
            Malformed::TooLarge => Self::HeadTooLarge,
            Malformed::Because(why) => Self::BadRequest(why),
        }
    }
}

impl From<bearer::Malformed> for Refusal {
    fn from(bearer::Malformed(why): bearer::Malformed) -> Self {
        Self::BadRequest(why)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied, None)
    }
}

impl From<ForwardError> for Refusal {
    fn from(error: ForwardError) -> Self {
        let has_ended = matches!(error, ForwardError::SessionEnded);
        if has_ended { Self::SignInNeeded(SignInReason::UnknownSession) } else { Self::Upstream(error) }
    }
}

impl From<CallbackError> for Refusal {
    fn from(error: CallbackError) -> Self {
        Self::Callback(error)
    }
}

impl Refusal {
    /// Whether the reason may be that time was up. What is wrong with a request is wrong at any time.
    pub fn may_come_of_lateness(&self) -> bool {
        match self {
            Self::Upstream(_)
            | Self::RenewalUnavailable(_)
            | Self::StoreUnavailable(_)
            | Self::Callback(CallbackError::Store(_))
            | Self::Token(TokenRefusal::Unavailable(_)) => true,
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Full
            | Self::Misdirected
            | Self::RedirectToAccessUrl
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::SignIn(_, _)
            | Self::SignInNeeded(_)
            | Self::TokenNeeded(_)
            | Self::SignInDoesNotLast(_)
            | Self::SignInNotKept(_)
            | Self::NavigationRequired
            | Self::WorkerReads
            | Self::FormExpired
            | Self::AccessWithdrawn(_)
            | Self::LogoutToken(_)
            | Self::Token(TokenRefusal::Invalid(_) | TokenRefusal::Denied(_))
            | Self::Denied(_, _)
            | Self::ProviderUnavailable(_)
            | Self::Callback(
                CallbackError::Parameters(_)
                | CallbackError::UnknownAttempt(_)
                | CallbackError::NoCookies
                | CallbackError::ReturnedBefore
                | CallbackError::Issuer
                | CallbackError::Refused { .. }
                | CallbackError::Declined
                | CallbackError::Busy
                | CallbackError::Provider(_)
                | CallbackError::Denied(_, _),
            ) => false,
        }
    }
}
