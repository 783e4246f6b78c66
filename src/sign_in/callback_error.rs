//! Why a login's callback created no session.

use crate::{oidc::ProviderError, policy::Denied, store::StoreError};

/// Why a callback created no session.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// A parameter is missing, repeated, or of another flow.
    #[error("the callback's parameters are not those of a code flow: {0}")]
    Parameters(&'static str),
    /// This browser has no attempt with this `state`, or the attempt has expired.
    #[error("the login attempt is not known to this browser: {0}")]
    UnknownAttempt(&'static str),
    /// The attempt is the second of a browser that has brought no cookie back either time.
    #[error("the browser keeps no cookies: it has come back with none, twice")]
    NoCookies,
    /// The attempt has come back before, and counts once.
    #[error("the login attempt has returned before")]
    ReturnedBefore,
    /// The response does not come from the configured provider (RFC 9207).
    #[error("the response names another issuer, or none")]
    Issuer,
    /// The provider responded with an error.
    #[error("the provider refused the login: {code}{}", .description.as_deref().map(|said| format!(": {said}")).unwrap_or_default())]
    Refused {
        /// The `error` code.
        code: String,
        /// The `error_description`, for the log only.
        description: Option<String>,
    },
    /// The login was declined at the provider (`access_denied`).
    #[error("the login was declined at the provider")]
    Declined,
    /// The token call failed, or its response could not be verified.
    #[error("the login could not be completed")]
    Provider(#[from] ProviderError),
    /// The limit of concurrent code exchanges is reached.
    #[error("too many logins return concurrently")]
    Busy,
    /// The policy denies the user with this display name.
    #[error("{0}")]
    Denied(Denied, String),
    /// The session could not be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The error codes of a provider that is itself in trouble (RFC 6749 section 4.1.2.1).
const PROVIDER_FAILS: [&str; 2] = ["server_error", "temporarily_unavailable"];

/// The error codes of a provider that wants the request otherwise: pushed, signed, with other scopes (RFC 6749 section 4.1.2.1, OpenID
/// Connect Core section 3.1.2.6).
const REQUEST_IS_WRONG: [&str; 8] = [
    "invalid_request",
    "invalid_request_uri",
    "invalid_request_object",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_response_type",
    "request_not_supported",
    "request_uri_not_supported",
];

impl CallbackError {
    /// Whether the provider has refused the request as such, so that its metadata may say something new about requests.
    pub(super) fn is_about_the_request(&self) -> bool {
        match self {
            Self::Refused { code, .. } => REQUEST_IS_WRONG.contains(&code.as_str()),
            Self::Parameters(_)
            | Self::UnknownAttempt(_)
            | Self::NoCookies
            | Self::ReturnedBefore
            | Self::Issuer
            | Self::Declined
            | Self::Provider(_)
            | Self::Busy
            | Self::Denied(_, _)
            | Self::Store(_) => false,
        }
    }

    /// Whether a user who was asked has not agreed, or cannot.
    pub(super) fn is_a_user_s_no(&self) -> bool {
        match self {
            Self::Declined => true,
            Self::Refused { code, .. } => !PROVIDER_FAILS.contains(&code.as_str()),
            Self::Parameters(_)
            | Self::UnknownAttempt(_)
            | Self::NoCookies
            | Self::ReturnedBefore
            | Self::Issuer
            | Self::Provider(_)
            | Self::Busy
            | Self::Denied(_, _)
            | Self::Store(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_refused_as_such_is_told_from_a_user_who_is_not_there() {
        let refused = |code: &str| CallbackError::Refused { code: code.to_owned(), description: None };
        for (error, expected) in [
            (refused("invalid_request"), true),
            (refused("invalid_scope"), true),
            (refused("unauthorized_client"), true),
            (refused("login_required"), false),
            (refused("temporarily_unavailable"), false),
            (CallbackError::Declined, false),
            (CallbackError::Issuer, false),
        ] {
            assert_eq!(error.is_about_the_request(), expected, "{error}");
        }
    }

    #[test]
    fn a_failure_is_no_user_s_no() {
        let refused = |code: &str| CallbackError::Refused { code: code.to_owned(), description: None };
        for (error, expected) in [
            (CallbackError::Declined, true),
            (refused("consent_required"), true),
            (refused("invalid_scope"), true),
            (refused("server_error"), false),
            (refused("temporarily_unavailable"), false),
            (CallbackError::Busy, false),
            (CallbackError::Provider(ProviderError::NoIdToken), false),
        ] {
            assert_eq!(error.is_a_user_s_no(), expected, "{error}");
        }
    }
}
