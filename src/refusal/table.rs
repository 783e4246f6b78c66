//! The table that says what the client sees of each refusal.

use std::time::Duration;

use http::StatusCode;

use super::{
    Refusal,
    login::{callback_row, denied_row},
    row::{Offer, Row},
};
use crate::{
    backoff::SOON, bearer::TokenRefusal, forward::ForwardError, pages::Message, policy::TokenDenied, sign_in::CallbackError,
};

/// Discovery of a provider that cannot be used as it is configured is retried this often.
const RECONFIGURED: Option<Duration> = Some(Duration::from_secs(30));

/// RFC 6750 section 3.1.
const INVALID_TOKEN: &str = "invalid_token";

impl Refusal {
    /// What the client sees.
    pub(super) fn row(&self) -> Row {
        let row = |status, error, message| Row { status, error, message, retry_after: None, offers: Offer::Nothing };
        match self {
            Self::HeadTooLarge | Self::Unreadable(431) => {
                row(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", Message::HeadTooLarge)
            }
            Self::Unreadable(414) => row(StatusCode::URI_TOO_LONG, "target_too_long", Message::TargetTooLong),
            Self::BadRequest(_) | Self::Unreadable(_) => row(StatusCode::BAD_REQUEST, "bad_request", Message::BadRequest),
            Self::Misdirected => row(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", Message::Misdirected),
            Self::RedirectToAccessUrl => row(StatusCode::PERMANENT_REDIRECT, "elsewhere", Message::Elsewhere),
            Self::MethodNotAllowed => row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", Message::MethodNotAllowed),
            Self::NoSuchPage => Row { offers: Offer::FrontPage, ..row(StatusCode::NOT_FOUND, "not_found", Message::NotFound) },
            Self::SignIn(_, _) => row(StatusCode::SEE_OTHER, "sign_in", Message::SignIn),
            Self::SignInNeeded(_) | Self::TokenNeeded(_) | Self::Upstream(ForwardError::SessionEnded) => {
                Row { offers: Offer::SignIn, ..row(StatusCode::UNAUTHORIZED, "sign_in_required", Message::SignIn) }
            }
            Self::SignInDoesNotLast(_) => {
                Row { offers: Offer::SignIn, ..row(StatusCode::BAD_GATEWAY, "sign_in_does_not_last", Message::SignInDoesNotLast) }
            }
            Self::SignInNotKept(_) => {
                Row { offers: Offer::SignIn, ..row(StatusCode::BAD_REQUEST, "sign_in_not_kept", Message::SignInNotKept) }
            }
            Self::NavigationRequired => row(StatusCode::FORBIDDEN, "navigation_required", Message::NavigationRequired),
            Self::WorkerReads => {
                Row { offers: Offer::OwnWindow, ..row(StatusCode::FORBIDDEN, "own_window_required", Message::OwnWindow) }
            }
            Self::FormExpired => {
                Row { offers: Offer::LoadAgain, ..row(StatusCode::FORBIDDEN, "form_expired", Message::FormExpired) }
            }
            Self::AccessWithdrawn(_) => {
                Row { offers: Offer::SignIn, ..row(StatusCode::FORBIDDEN, "access_withdrawn", Message::AccessWithdrawn) }
            }
            Self::LogoutToken(_) => row(StatusCode::BAD_REQUEST, "invalid_request", Message::LogoutToken),
            // RFC 6750 section 3.1.
            Self::Token(TokenRefusal::Denied(TokenDenied::Scope)) => {
                row(StatusCode::FORBIDDEN, "insufficient_scope", Message::TokenScope)
            }
            Self::Token(TokenRefusal::Denied(TokenDenied::Audience | TokenDenied::Client | TokenDenied::Route)) => {
                row(StatusCode::UNAUTHORIZED, INVALID_TOKEN, Message::TokenElsewhere)
            }
            Self::Token(TokenRefusal::Invalid(_)) => row(StatusCode::UNAUTHORIZED, INVALID_TOKEN, Message::TokenInvalid),
            Self::Token(TokenRefusal::Unavailable(_)) => Row {
                retry_after: Some(SOON),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "token_unverifiable", Message::TokenUnverifiable)
            },
            Self::Denied(denied, _) => denied_row(*denied, row),
            Self::StoreUnavailable(_) => Row {
                retry_after: Some(SOON),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", Message::StoreUnavailable)
            },
            Self::RenewalUnavailable(wait) => Row {
                retry_after: Some(*wait),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "renewal_unavailable", Message::RenewalUnavailable)
            },
            Self::ProviderUnavailable(error) if error.is_configuration() => Row {
                retry_after: RECONFIGURED,
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "provider_misconfigured", Message::ProviderMisconfigured)
            },
            Self::ProviderUnavailable(error) => Row {
                retry_after: error.asks_to_wait().or(Some(SOON)),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", Message::ProviderUnavailable)
            },
            Self::Callback(error) => callback_row(error, row),
            Self::Upstream(ForwardError::Unreachable(_)) => Row {
                retry_after: Some(SOON),
                offers: Offer::TryAgain,
                ..row(StatusCode::BAD_GATEWAY, "upstream_unreachable", Message::UpstreamUnreachable)
            },
            Self::Upstream(
                ForwardError::Broken(_) | ForwardError::Reset(_) | ForwardError::UnexpectedUpgrade | ForwardError::NoUpstream,
            ) => Row { offers: Offer::TryAgain, ..row(StatusCode::BAD_GATEWAY, "upstream_broken", Message::UpstreamBroken) },
            Self::Upstream(ForwardError::Incomplete(_)) => {
                row(StatusCode::REQUEST_TIMEOUT, "request_incomplete", Message::RequestIncomplete)
            }
            Self::Full => Row {
                retry_after: Some(SOON),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "server_busy", Message::ServerBusy)
            },
            Self::Upstream(ForwardError::Busy | ForwardError::NoConnection(_)) => Row {
                retry_after: Some(SOON),
                offers: Offer::TryAgain,
                ..row(StatusCode::SERVICE_UNAVAILABLE, "upstream_busy", Message::UpstreamBusy)
            },
            Self::Upstream(ForwardError::TimedOut) => Row {
                offers: Offer::TryAgain,
                ..row(StatusCode::GATEWAY_TIMEOUT, "upstream_timed_out", Message::UpstreamTimedOut)
            },
            Self::Upstream(ForwardError::Target(_)) => row(StatusCode::BAD_REQUEST, "bad_request", Message::BadRequest),
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
            Self::Denied(denied, _) | Self::Callback(CallbackError::Denied(denied, _)) => Some(denied.as_str()),
            Self::BadRequest(_)
            | Self::Unreadable(_)
            | Self::HeadTooLarge
            | Self::Full
            | Self::Misdirected
            | Self::RedirectToAccessUrl
            | Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::NavigationRequired
            | Self::WorkerReads
            | Self::FormExpired
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
