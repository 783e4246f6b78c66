//! The table that says what the client sees of each refusal.

use std::time::Duration;

use http::StatusCode;

use super::{
    Refusal,
    login::{callback_row, denied_row},
    row::{Offer, Row, SOON},
};
use crate::{bearer::TokenRefusal, forward::ForwardError, policy::TokenDenied, sign_in::CallbackError};

/// Discovery of a provider that cannot be used as it is configured is retried this often.
const RECONFIGURED: Option<Duration> = Some(Duration::from_secs(30));

/// RFC 6750 section 3.1.
const INVALID_TOKEN: &str = "invalid_token";

impl Refusal {
    /// What the client sees.
    pub(super) fn row(&self) -> Row {
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
            Self::RedirectToAccessUrl => {
                row(StatusCode::PERMANENT_REDIRECT, "elsewhere", "Elsewhere", "This service has another address.")
            }
            Self::MethodNotAllowed => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This method is not allowed here.",
            ),
            Self::NoSuchPage => row(StatusCode::NOT_FOUND, "not_found", "Not found", "There is no such page."),
            Self::SignIn(_, _) => row(StatusCode::SEE_OTHER, "sign_in", "Sign in", ""),
            Self::SignInNeeded(_) | Self::TokenNeeded(_) => Row {
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
            // RFC 6750 section 3.1.
            Self::Token(TokenRefusal::Denied(TokenDenied::Scope)) => row(
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "Not allowed",
                "The access token lacks a scope that this service demands.",
            ),
            Self::Token(TokenRefusal::Denied(TokenDenied::Audience | TokenDenied::Client | TokenDenied::Route)) => {
                row(StatusCode::UNAUTHORIZED, INVALID_TOKEN, "Access token refused", "The access token is not for this service.")
            }
            Self::Token(TokenRefusal::Invalid(_)) => row(
                StatusCode::UNAUTHORIZED,
                INVALID_TOKEN,
                "Access token refused",
                "The access token is expired, revoked, or not one of those that are taken here.",
            ),
            Self::Token(TokenRefusal::Unavailable(_)) => Row {
                retry_after: SOON,
                offers: Offer::TryAgain,
                ..row(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "token_unverifiable",
                    "Just a moment",
                    "The access token cannot be verified right now. Please try again shortly.",
                )
            },
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
                retry_after: RECONFIGURED,
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
                | ForwardError::UnexpectedUpgrade
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
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::SignIn(reason, _)
            | Self::SignInNeeded(reason)
            | Self::TokenNeeded(reason)
            | Self::SignInDoesNotLast(reason)
            | Self::SignInNotKept(reason)
            | Self::AccessWithdrawn(reason) => Some(reason.as_str()),
            Self::Denied(denied, _) => Some(denied.as_str()),
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Misdirected
            | Self::RedirectToAccessUrl
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::NoPage
            | Self::LogoutToken(_)
            | Self::Token(_)
            | Self::StoreUnavailable(_)
            | Self::RenewalUnavailable(_)
            | Self::ProviderUnavailable(_)
            | Self::Callback(_)
            | Self::Upstream(_) => None,
        }
    }
}
