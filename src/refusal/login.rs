//! The table's rows for logins that failed and for rules that do not let somebody pass.

use http::StatusCode;

use super::row::{Offer, Row, SOON};
use crate::{oidc::ProviderError, policy::Denied, sign_in::CallbackError};

pub(super) fn denied_row(denied: Denied, row: impl Fn(StatusCode, &'static str, &'static str, &'static str) -> Row) -> Row {
    let no_access = |text| row(StatusCode::FORBIDDEN, "access_denied", "No access", text);
    match denied {
        Denied::Method => {
            row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", "This method is not allowed here.")
        }
        Denied::CrossOrigin => row(
            StatusCode::FORBIDDEN,
            "access_denied",
            "Request refused",
            "A page of another site, or one that hides where it comes from (Referrer-Policy: no-referrer), sent this request, which may not be done here. Nothing was changed, and you are still signed in.",
        ),
        Denied::Origin => row(
            StatusCode::FORBIDDEN,
            "access_denied",
            "Request refused",
            "Pages of the origin that sent this request may not use this service (CORS).",
        ),
        Denied::EmailNotVerified => Row {
            offers: Offer::SignIn,
            ..no_access(
                "The sign-in service has not verified your e-mail address, which this service needs. Have it verified there, and sign in again.",
            )
        },
        Denied::EmailDomain => Row {
            offers: Offer::AnotherAccount,
            ..no_access(
                "Your account's e-mail address is not one that may use this service. If you have another account, sign in with that one.",
            )
        },
        Denied::GroupsUnknown => Row {
            offers: Offer::SignIn,
            ..no_access(
                "The sign-in service did not tell which groups your account is in, because there are too many. Please try again; if it happens again, tell whoever runs this service.",
            )
        },
        Denied::Group => Row {
            offers: Offer::AnotherAccount,
            ..no_access(
                "Your account is in none of the groups that may use this page. If you have another account, sign in with that one.",
            )
        },
        Denied::Claim => Row {
            offers: Offer::AnotherAccount,
            ..no_access("Your account may not use this page. If you have another account, sign in with that one.")
        },
        Denied::Network => no_access("This page cannot be used from where you are."),
        Denied::Destination => no_access("Nothing can be copied or moved from here to there."),
    }
}

pub(super) fn callback_row(
    error: &CallbackError,
    row: impl Fn(StatusCode, &'static str, &'static str, &'static str) -> Row,
) -> Row {
    match error {
        CallbackError::Parameters(_) => {
            row(StatusCode::BAD_REQUEST, "bad_callback", "Sign-in failed", "The answer of the sign-in service is incomplete.")
        }
        CallbackError::UnknownAttempt(_) => row(
            StatusCode::BAD_REQUEST,
            "unknown_login_attempt",
            "Sign-in expired",
            "This sign-in was begun in another browser, too long ago, or has been completed already. Please begin again.",
        ),
        CallbackError::Issuer => row(
            StatusCode::FORBIDDEN,
            "wrong_issuer",
            "Sign-in failed",
            "The answer does not come from this service's sign-in service.",
        ),
        CallbackError::Declined => {
            row(StatusCode::FORBIDDEN, "login_declined", "Sign-in declined", "The sign-in was declined. You can try again.")
        }
        CallbackError::Refused { .. } => {
            row(StatusCode::BAD_GATEWAY, "login_refused", "Sign-in failed", "The sign-in service reported an error.")
        }
        CallbackError::Busy => Row {
            retry_after: SOON,
            ..row(
                StatusCode::SERVICE_UNAVAILABLE,
                "login_busy",
                "Just a moment",
                "Many people sign in right now. This page tries again by itself.",
            )
        },
        CallbackError::Provider(error) => provider_row(error, row),
        CallbackError::Denied(denied, _) => denied_row(*denied, row),
        CallbackError::Store(_) => row(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "Just a moment",
            "The service cannot keep your sign-in right now. Please try again shortly.",
        ),
    }
}

fn provider_row(error: &ProviderError, row: impl Fn(StatusCode, &'static str, &'static str, &'static str) -> Row) -> Row {
    match error {
        ProviderError::NotReady
        | ProviderError::Misconfigured
        | ProviderError::IssuerMismatch { .. }
        | ProviderError::NoMetadata(_)
        | ProviderError::Untrusted(_)
        | ProviderError::Issuer
        | ProviderError::Discovery(_)
        | ProviderError::Metadata(_)
        | ProviderError::Keys(_)
        | ProviderError::Fetch(_)
        | ProviderError::PushedAuthorization(_)
        | ProviderError::PushedAuthorizationResponse
        | ProviderError::TooManyLogins
        | ProviderError::Token(_)
        | ProviderError::UserInfoFetch(_)
        | ProviderError::UserInfoRefused(_)
        | ProviderError::UserInfo(_)
        | ProviderError::AccessToken(_) => row(
            StatusCode::BAD_GATEWAY,
            "provider_error",
            "Sign-in failed",
            "The sign-in service could not complete the sign-in. Please try again.",
        ),
        ProviderError::IdToken(_) | ProviderError::LogoutToken(_) | ProviderError::NoIdToken | ProviderError::OtherSubject => {
            row(
                StatusCode::FORBIDDEN,
                "identity_refused",
                "Sign-in failed",
                "The sign-in service's answer could not be verified.",
            )
        }
        ProviderError::Claims(_) => {
            row(StatusCode::FORBIDDEN, "claims_refused", "No access", "The sign-in service does not say who you are.")
        }
    }
}
