//! The table's rows for logins that failed and for rules that do not let somebody pass.

use http::StatusCode;

use super::row::{Offer, Row};
use crate::{backoff::SOON, oidc::ProviderError, pages::Message, policy::Denied, sign_in::CallbackError};

pub(super) fn denied_row(denied: Denied, row: impl Fn(StatusCode, &'static str, Message) -> Row) -> Row {
    let no_access = |message| row(StatusCode::FORBIDDEN, "access_denied", message);
    match denied {
        Denied::Method => row(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", Message::MethodNotAllowed),
        Denied::CrossOrigin => Row { offers: Offer::FrontPage, ..no_access(Message::CrossOrigin) },
        Denied::Origin => row(StatusCode::FORBIDDEN, "access_denied", Message::Origin),
        Denied::EmailNotVerified => Row { offers: Offer::SignIn, ..no_access(Message::EmailNotVerified) },
        Denied::EmailDomain => Row { offers: Offer::AnotherAccount, ..no_access(Message::EmailDomain) },
        Denied::ForeignAddress => Row { offers: Offer::AnotherAccount, ..no_access(Message::ForeignAddress) },
        Denied::Provider => Row { offers: Offer::OtherProvider, ..no_access(Message::OtherProvider) },
        Denied::GroupsUnknown => Row { offers: Offer::SignIn, ..no_access(Message::GroupsUnknown) },
        Denied::Group => Row { offers: Offer::AnotherAccount, ..no_access(Message::Group) },
        Denied::Deprovisioned => Row { offers: Offer::AnotherAccount, ..no_access(Message::Deprovisioned) },
        Denied::Claim => Row { offers: Offer::AnotherAccount, ..no_access(Message::Claim) },
        Denied::Network => Row { offers: Offer::FrontPage, ..no_access(Message::Network) },
        Denied::Destination => no_access(Message::Destination),
    }
}

pub(super) fn callback_row(error: &CallbackError, row: impl Fn(StatusCode, &'static str, Message) -> Row) -> Row {
    let begins_again = |row| Row { offers: Offer::SignIn, ..row };
    let comes_again = |wait, row| Row { retry_after: Some(wait), offers: Offer::TryAgain, ..row };
    match error {
        CallbackError::Parameters(_) => begins_again(row(StatusCode::BAD_REQUEST, "bad_callback", Message::CallbackIncomplete)),
        CallbackError::UnknownAttempt(_) | CallbackError::ReturnedBefore => {
            begins_again(row(StatusCode::BAD_REQUEST, "unknown_login_attempt", Message::AttemptUnknown))
        }
        CallbackError::NoCookies => begins_again(row(StatusCode::BAD_REQUEST, "sign_in_not_kept", Message::SignInNotKept)),
        CallbackError::Issuer => begins_again(row(StatusCode::FORBIDDEN, "wrong_issuer", Message::WrongIssuer)),
        CallbackError::Declined => begins_again(row(StatusCode::FORBIDDEN, "login_declined", Message::LoginDeclined)),
        CallbackError::Refused { .. } => begins_again(row(StatusCode::BAD_GATEWAY, "login_refused", Message::LoginRefused)),
        CallbackError::Busy => comes_again(SOON, row(StatusCode::SERVICE_UNAVAILABLE, "login_busy", Message::LoginBusy)),
        CallbackError::Provider(error) => begins_again(match error.asks_to_wait() {
            Some(wait) => {
                Row { retry_after: Some(wait), ..row(StatusCode::SERVICE_UNAVAILABLE, "provider_busy", Message::ProviderBusy) }
            }
            None => provider_row(error, row),
        }),
        CallbackError::Denied(denied, _) => denied_row(*denied, row),
        CallbackError::Store(_) => {
            comes_again(SOON, row(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", Message::LoginUnsaved))
        }
    }
}

fn provider_row(error: &ProviderError, row: impl Fn(StatusCode, &'static str, Message) -> Row) -> Row {
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
        | ProviderError::AccessToken(_) => row(StatusCode::BAD_GATEWAY, "provider_error", Message::ProviderFailed),
        ProviderError::IdToken(_) | ProviderError::LogoutToken(_) | ProviderError::NoIdToken | ProviderError::OtherSubject => {
            row(StatusCode::FORBIDDEN, "identity_refused", Message::IdentityRefused)
        }
        ProviderError::Claims(_) => row(StatusCode::FORBIDDEN, "claims_refused", Message::ClaimsRefused),
    }
}
