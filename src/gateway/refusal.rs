//! Every way in which a request is not served, and the one table that says what the client sees of it. The
//! client gets fixed text and a request id; the cause goes to the log.

mod answer;
mod login;

use std::time::Duration;

use http::StatusCode;

use super::{exchange::Exchange, visitor::Reason};
use crate::{
    forward::ForwardError,
    oidc::{ProviderError, VerifyError},
    policy::Denied,
    sign_in::{CallbackError, Redirect},
    store::StoreError,
    telemetry::logs::causes,
};

use login::{callback_row, denied_row};

pub(super) use answer::{Ways, html, json, let_read};

/// Why a request is not served.
#[derive(Debug)]
pub(super) enum Refusal {
    BadRequest(&'static str),
    /// The server cannot read it, and says this status of it.
    Unreadable(u16),
    HeadTooLarge,
    Misdirected,
    Elsewhere,
    MethodNotAllowed,
    NoSuchPage,
    SignIn(Reason, Redirect),
    SignInNeeded(Reason),
    SignInDoesNotLast(Reason),
    SignInNotKept(Reason),
    NoPage,
    AccessWithdrawn(Reason),
    LogoutToken(VerifyError),
    /// By a rule, whom their account calls this; nobody where the rule asks for nobody.
    Denied(Denied, Option<String>),
    StoreUnavailable(StoreError),
    RenewalUnavailable(Duration),
    ProviderUnavailable(ProviderError),
    Callback(CallbackError),
    Upstream(ForwardError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(error)
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
        if has_ended { Self::SignInNeeded(Reason::UnknownSession) } else { Self::Upstream(error) }
    }
}

impl From<CallbackError> for Refusal {
    fn from(error: CallbackError) -> Self {
        match error {
            CallbackError::Store(error) => Self::StoreUnavailable(error),
            CallbackError::Denied(denied, account) => Self::Denied(denied, Some(account)),
            other @ (CallbackError::Parameters(_)
            | CallbackError::UnknownAttempt(_)
            | CallbackError::Issuer
            | CallbackError::Refused { .. }
            | CallbackError::Declined
            | CallbackError::Busy
            | CallbackError::Provider(_)) => Self::Callback(other),
        }
    }
}

/// What the client sees.
struct Row {
    status: StatusCode,
    /// `error` of the JSON, and the mark in the header.
    error: &'static str,
    title: &'static str,
    text: &'static str,
    retry_after: Option<Duration>,
    offers: Offer,
}

/// What a person can do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// Nothing.
    Nothing,
    /// Sign in, or again.
    SignIn,
    /// Sign in as somebody else.
    AnotherAccount,
    /// Ask for the same page once more.
    TryAgain,
}

const SOON: Option<Duration> = Some(Duration::from_secs(2));
/// A provider that cannot be used as it is configured is looked for again this often.
const MENDED: Option<Duration> = Some(Duration::from_secs(30));

impl Refusal {
    fn row(&self) -> Row {
        let row = |status, error, title, text| Row { status, error, title, text, retry_after: None, offers: Offer::Nothing };
        match self {
            Self::HeadTooLarge | Self::Unreadable(431) => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "Request too large",
                "The header of the request is larger than it may be.",
            ),
            Self::Unreadable(414) => {
                row(StatusCode::URI_TOO_LONG, "target_too_long", "Address too long", "The address is longer than it may be.")
            }
            Self::BadRequest(_) | Self::Unreadable(_) => {
                row(StatusCode::BAD_REQUEST, "bad_request", "Bad request", "The request is malformed.")
            }
            Self::Misdirected => row(
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "Wrong address",
                "This service is not known by the address that was asked for. Its administrator sets the address with CODER_ACCESS_URL.",
            ),
            Self::Elsewhere => row(StatusCode::PERMANENT_REDIRECT, "elsewhere", "Elsewhere", "This service has another address."),
            Self::MethodNotAllowed => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This method is not allowed here.",
            ),
            Self::NoSuchPage => row(StatusCode::NOT_FOUND, "not_found", "Not found", "There is no such page."),
            Self::SignIn(_, _) => row(StatusCode::SEE_OTHER, "sign_in", "Sign in", ""),
            Self::SignInNeeded(_) => Row {
                offers: Offer::SignIn,
                ..row(StatusCode::UNAUTHORIZED, "sign_in_required", "Sign in", "You need to sign in to see this page.")
            },
            Self::SignInDoesNotLast(_) => Row {
                offers: Offer::SignIn,
                ..row(
                    StatusCode::BAD_GATEWAY,
                    "sign_in_does_not_last",
                    "Sign-in does not last",
                    "The sign-in service signed you in, and ended it at once. Please try again; if it happens again, tell whoever runs this service.",
                )
            },
            Self::SignInNotKept(_) => Row {
                offers: Offer::SignIn,
                ..row(
                    StatusCode::BAD_REQUEST,
                    "sign_in_not_kept",
                    "Sign-in does not last",
                    "You signed in, and your browser did not keep it, or kept two of them. Please delete this site's cookies, allow it to keep new ones, and sign in again.",
                )
            },
            Self::NoPage => row(
                StatusCode::FORBIDDEN,
                "navigation_required",
                "Request refused",
                "A sign-in begins and ends in a page of its own, not within another.",
            ),
            Self::AccessWithdrawn(_) => Row {
                offers: Offer::SignIn,
                ..row(
                    StatusCode::FORBIDDEN,
                    "access_withdrawn",
                    "No access",
                    "The sign-in service has withdrawn your access shortly after you signed in. You can sign in again, or with another account.",
                )
            },
            Self::LogoutToken(_) => {
                row(StatusCode::BAD_REQUEST, "invalid_request", "Bad request", "The logout token is not acceptable.")
            }
            Self::Denied(denied, _) => denied_row(*denied, row),
            Self::StoreUnavailable(_) => Row {
                retry_after: SOON,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_unavailable",
                    "Just a moment",
                    "The service cannot look up who is signed in right now. Nobody is signed out by that; please try again shortly.",
                )
            },
            Self::RenewalUnavailable(wait) => Row {
                retry_after: Some(*wait),
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "renewal_unavailable",
                    "Just a moment",
                    "Your sign-in cannot be renewed right now. You are still signed in; please try again shortly.",
                )
            },
            Self::ProviderUnavailable(error) if error.is_configuration() => Row {
                retry_after: MENDED,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "provider_misconfigured",
                    "Sign-in is not set up correctly",
                    "This service and its sign-in service are not configured to fit each other, which only an administrator can mend. Please tell whoever runs this service, and try again after.",
                )
            },
            Self::ProviderUnavailable(_) => Row {
                retry_after: SOON,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "provider_unavailable",
                    "Just a moment",
                    "The sign-in service does not answer right now. Please try again shortly.",
                )
            },
            Self::Callback(CallbackError::Busy) => Row { offers: Offer::TryAgain, ..callback_row(&CallbackError::Busy, row) },
            Self::Callback(error) => Row { offers: Offer::SignIn, ..callback_row(error, row) },
            Self::Upstream(ForwardError::Unreachable(_)) => Row {
                retry_after: SOON,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::BAD_GATEWAY,
                    "upstream_unreachable",
                    "The application is not running",
                    "The application behind this gateway cannot be reached. Please try again shortly.",
                )
            },
            Self::Upstream(
                ForwardError::Broken(_)
                | ForwardError::Reset(_)
                | ForwardError::Unasked
                | ForwardError::NoUpstream
                | ForwardError::SessionEnded,
            ) => Row {
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::BAD_GATEWAY,
                    "upstream_broken",
                    "The application failed",
                    "The application broke off before it answered.",
                )
            },
            Self::Upstream(ForwardError::Incomplete(_)) => row(
                StatusCode::REQUEST_TIMEOUT,
                "request_incomplete",
                "The request broke off",
                "The rest of the request did not come, or was not wanted any more.",
            ),
            Self::Upstream(ForwardError::Busy) => Row {
                retry_after: SOON,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "upstream_busy",
                    "The application is busy",
                    "The application behind this gateway has as much to do as it may have. Please try again shortly.",
                )
            },
            Self::Upstream(ForwardError::TimedOut) => Row {
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::GATEWAY_TIMEOUT,
                    "upstream_timed_out",
                    "The application is too slow",
                    "The application did not answer in time.",
                )
            },
            Self::Upstream(ForwardError::Target(_)) => {
                row(StatusCode::BAD_REQUEST, "bad_request", "Bad request", "The request is malformed.")
            }
        }
    }

    /// `reason` of the JSON: only for what the client can act on.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::SignIn(reason, _)
            | Self::SignInNeeded(reason)
            | Self::SignInDoesNotLast(reason)
            | Self::SignInNotKept(reason)
            | Self::AccessWithdrawn(reason) => Some(reason.as_str()),
            Self::Denied(denied, _) => Some(denied.as_str()),
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Misdirected
            | Self::Elsewhere
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::NoPage
            | Self::LogoutToken(_)
            | Self::StoreUnavailable(_)
            | Self::RenewalUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Callback(_)
            | Self::Upstream(_) => None,
        }
    }

    /// Whether it may be because time was up: what is wrong with a request is wrong at any time.
    pub(super) fn may_come_of_lateness(&self) -> bool {
        match self {
            Self::Upstream(_) | Self::RenewalUnavailable(_) | Self::StoreUnavailable(_) => true,
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Misdirected
            | Self::Elsewhere
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::SignIn(_, _)
            | Self::SignInNeeded(_)
            | Self::SignInDoesNotLast(_)
            | Self::SignInNotKept(_)
            | Self::NoPage
            | Self::AccessWithdrawn(_)
            | Self::LogoutToken(_)
            | Self::Denied(_, _)
            | Self::ProviderUnavailable(_)
            | Self::Callback(_) => false,
        }
    }

    /// The cause, once, where it is handled.
    fn log(&self, exchange: &Exchange) {
        let id = exchange.id_text();
        match self {
            Self::SignIn(reason, _) | Self::SignInNeeded(reason) => {
                tracing::debug!(request.id = id, reason = reason.as_str(), "sign-in needed")
            }
            Self::SignInDoesNotLast(reason) => {
                tracing::error!(request.id = id, reason = reason.as_str(), "a grant ended as soon as it was obtained")
            }
            Self::SignInNotKept(reason) => tracing::warn!(
                request.id = id,
                reason = reason.as_str(),
                "a browser has signed in again and again and brings no session cookie, or two different ones"
            ),
            Self::AccessWithdrawn(reason) => {
                tracing::info!(request.id = id, reason = reason.as_str(), "the provider ended a grant shortly after it gave it")
            }
            Self::LogoutToken(error) => tracing::warn!(request.id = id, %error, "a logout token was refused"),
            Self::Misdirected => tracing::info!(
                request.id = id,
                http.host = exchange.origin.host,
                "a request names another host than CODER_ACCESS_URL"
            ),
            Self::BadRequest(why) => tracing::debug!(request.id = id, why, "bad request"),
            Self::Unreadable(status) => tracing::debug!(request.id = id, status, "a request that cannot be read"),
            Self::HeadTooLarge => tracing::debug!(request.id = id, "a request with too large a head"),
            Self::MethodNotAllowed | Self::NoSuchPage | Self::NoPage | Self::Elsewhere => {}
            // Logged where it is judged, with what was judged.
            Self::Denied(Denied::CrossOrigin, _) => {}
            Self::Denied(denied @ (Denied::EmailNotVerified | Denied::EmailDomain | Denied::Group | Denied::Method), _) => {
                tracing::info!(request.id = id, reason = denied.as_str(), %denied, "access denied")
            }
            // That the store is away is said once, when it is found out.
            Self::StoreUnavailable(error @ StoreError::KnownUnavailable { .. }) => {
                tracing::debug!(request.id = id, error = causes(error), "the store is known to be away")
            }
            Self::StoreUnavailable(error) => {
                tracing::error!(request.id = id, error = causes(error), "the store failed a request")
            }
            Self::RenewalUnavailable(wait) => {
                tracing::debug!(request.id = id, retry.seconds = wait.as_secs(), "a renewal is due and the provider is away")
            }
            Self::ProviderUnavailable(error) => tracing::warn!(request.id = id, error = causes(error), "a login cannot begin"),
            Self::Callback(error) => tracing::warn!(request.id = id, error = causes(error), "a login failed"),
            Self::Upstream(error) => tracing::warn!(request.id = id, error = causes(error), "the upstream failed a request"),
        }
    }
}
