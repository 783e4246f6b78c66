//! Everything that can go wrong with the provider.

use std::time::Duration;

use http::StatusCode;

use super::{ClaimsError, FetchError, TokenFailure, VerifyError};
use crate::jose::JoseError;

/// How long a provider that is called too often is left alone, if it does not say.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(5);

/// Why the provider could not be called, or why its response cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Discovery has not succeeded yet; it continues in the background.
    #[error("the provider has not been reached yet")]
    NotReady,
    /// Discovery has not succeeded, for a reason that only an administrator can fix; discovery has logged it.
    #[error("the provider cannot be used as it is configured")]
    Misconfigured,
    /// A server responds at the issuer's address and has no metadata there.
    #[error("there are no metadata at the address of CODER_OIDC_ISSUER_URL: {0}")]
    NoMetadata(String),
    /// The certificate does not prove that the server is the issuer.
    #[error("the certificate at the address of CODER_OIDC_ISSUER_URL is not to be trusted: {0}")]
    Untrusted(String),
    /// The setting is not an issuer URL.
    #[error("the issuer URL is malformed")]
    Issuer,
    /// Discovery failed.
    #[error("discovery failed: {0}")]
    Discovery(String),
    /// The metadata name another issuer than the setting (OIDC Discovery 1.0 section 4.3).
    #[error("the provider calls itself {found}, and CODER_OIDC_ISSUER_URL is {expected}; they must be alike to the last slash")]
    IssuerMismatch {
        /// The setting.
        expected: String,
        /// What the metadata say.
        found: String,
    },
    /// This endpoint is missing from the metadata, malformed or not https.
    #[error("the provider's metadata have no usable {0} (https is required, except of a provider on loopback)")]
    Metadata(&'static str),
    /// The signing keys could not be fetched, so a token that is signed with a new one cannot be verified.
    #[error("the provider's keys could not be fetched: {0}")]
    Keys(String),
    /// A call failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The provider refused a pushed authorization request (RFC 9126 section 2.3).
    #[error("the pushed authorization request (PAR) failed: {0}")]
    PushedAuthorization(TokenFailure),
    /// A pushed authorization request succeeded without a reference to it.
    #[error("the answer to the pushed authorization request (PAR) has no request_uri")]
    PushedAuthorizationResponse,
    /// Too many logins call the provider concurrently.
    #[error("too many logins call the provider concurrently")]
    TooManyLogins,
    /// The token endpoint refused.
    #[error(transparent)]
    Token(#[from] TokenFailure),
    /// The ID token is not acceptable.
    #[error("the ID token is not accepted: {0}")]
    IdToken(VerifyError),
    /// A logout token is not acceptable.
    #[error("the logout token is not accepted: {0}")]
    LogoutToken(VerifyError),
    /// The code's token response has no ID token (OIDC Core section 3.1.3.3).
    #[error("the token response has no id_token")]
    NoIdToken,
    /// User info could not be fetched.
    #[error("user info could not be fetched")]
    UserInfoFetch(#[source] FetchError),
    /// The userinfo endpoint responded with this status.
    #[error("user info was refused with status {}", .0.as_u16())]
    UserInfoRefused(StatusCode),
    /// User info is unusable.
    #[error("user info is unusable: {0}")]
    UserInfo(String),
    /// The access token has no claims that can be used.
    #[error("the access token's claims cannot be used (CODER_OIDC_ACCESS_TOKEN_CLAIMS): {0}")]
    AccessToken(VerifyError),
    /// User info (OIDC Core section 5.3.2), or the access token, is about another subject.
    #[error("user info or the access token is about another sub than the ID token")]
    OtherSubject,
    /// The claims make no identity.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
}

// The text has the cause in it, which is no source besides: it would be told twice.
impl From<VerifyError> for ProviderError {
    fn from(error: VerifyError) -> Self {
        Self::IdToken(error)
    }
}

impl ProviderError {
    /// Whether a logout token is refused for the algorithm that it is signed by.
    pub fn is_of_another_algorithm(&self) -> bool {
        matches!(self, Self::LogoutToken(VerifyError::Signature(JoseError::Algorithm(_))))
    }

    /// Whether the provider refuses, and would refuse the same again: a client error (RFC 9110 section 15.5) that is not about
    /// client authentication or the request rate, nor somebody else's, as a firewall's, who knows no error codes.
    pub fn is_final(&self) -> bool {
        let Self::Token(TokenFailure::Refused { status, code, .. }) = self else { return false };
        let is_about_client = matches!(code.as_deref(), Some("invalid_client" | "unauthorized_client"));
        let is_anothers = code.is_none() && *status != StatusCode::BAD_REQUEST;
        status.is_client_error()
            && !is_about_client
            && !is_anothers
            && !matches!(status.as_u16(), 401 | 404 | 405 | 408 | 410 | 429)
    }

    /// Whether the same login may succeed a moment later without anybody fixing anything.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Keys(_) | Self::Fetch(_) | Self::UserInfoFetch(_) | Self::TooManyLogins => true,
            Self::PushedAuthorization(failure) => !is_refused_for_good(failure),
            Self::UserInfoRefused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Token(TokenFailure::Refused { status, code, .. }) => {
                // A refused code is used up or too old, and a new login brings another.
                let is_of_code = code.as_deref() == Some("invalid_grant");
                let has_moved = status.is_redirection();
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS || is_of_code || has_moved
            }
            Self::Token(TokenFailure::NoResponse(_) | TokenFailure::Unusable(_)) => true,
            Self::Token(TokenFailure::NotReady)
            | Self::PushedAuthorizationResponse
            | Self::NotReady
            | Self::Misconfigured
            | Self::NoMetadata(_)
            | Self::Issuer
            | Self::Discovery(_)
            | Self::Untrusted(_)
            | Self::IssuerMismatch { .. }
            | Self::Metadata(_)
            | Self::IdToken(_)
            | Self::LogoutToken(_)
            | Self::NoIdToken
            | Self::UserInfo(_)
            | Self::AccessToken(_)
            | Self::OtherSubject
            | Self::Claims(_) => false,
        }
    }

    /// Whether the metadata may have changed by which the login went on that this ended. A call that reached nobody notes that itself.
    pub(super) fn casts_doubt_on_metadata(&self) -> bool {
        match self {
            Self::Metadata(_)
            | Self::Keys(_)
            | Self::PushedAuthorization(_)
            | Self::PushedAuthorizationResponse
            | Self::Token(TokenFailure::Refused { .. } | TokenFailure::Unusable(_))
            | Self::IdToken(_)
            | Self::NoIdToken
            | Self::UserInfoRefused(_)
            | Self::UserInfo(_)
            | Self::AccessToken(_) => true,
            Self::NotReady
            | Self::Misconfigured
            | Self::NoMetadata(_)
            | Self::Untrusted(_)
            | Self::Issuer
            | Self::Discovery(_)
            | Self::IssuerMismatch { .. }
            | Self::Fetch(_)
            | Self::TooManyLogins
            | Self::Token(TokenFailure::NotReady | TokenFailure::NoResponse(_))
            | Self::LogoutToken(_)
            | Self::UserInfoFetch(_)
            | Self::OtherSubject
            | Self::Claims(_) => false,
        }
    }

    /// For how long the provider asks not to be called again, because it is called too often or is busy (429, or `Retry-After`).
    pub fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Token(TokenFailure::Refused { status, retry_after, .. })
            | Self::PushedAuthorization(TokenFailure::Refused { status, retry_after, .. }) => {
                retry_after.or_else(|| (*status == StatusCode::TOO_MANY_REQUESTS).then_some(RATE_LIMIT_PAUSE))
            }
            Self::UserInfoRefused(status) => (*status == StatusCode::TOO_MANY_REQUESTS).then_some(RATE_LIMIT_PAUSE),
            Self::PushedAuthorization(_)
            | Self::Token(_)
            | Self::NotReady
            | Self::Misconfigured
            | Self::NoMetadata(_)
            | Self::Untrusted(_)
            | Self::Issuer
            | Self::Discovery(_)
            | Self::IssuerMismatch { .. }
            | Self::Metadata(_)
            | Self::Keys(_)
            | Self::Fetch(_)
            | Self::PushedAuthorizationResponse
            | Self::TooManyLogins
            | Self::IdToken(_)
            | Self::LogoutToken(_)
            | Self::NoIdToken
            | Self::UserInfoFetch(_)
            | Self::UserInfo(_)
            | Self::AccessToken(_)
            | Self::OtherSubject
            | Self::Claims(_) => None,
        }
    }

    /// Whether a retry fails until somebody fixes the settings, here or at the provider.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Misconfigured
            | Self::IssuerMismatch { .. }
            | Self::NoMetadata(_)
            | Self::Untrusted(_)
            | Self::Issuer
            | Self::PushedAuthorizationResponse
            | Self::Metadata(_) => true,
            Self::PushedAuthorization(failure) => is_refused_for_good(failure),
            Self::NotReady
            | Self::TooManyLogins
            | Self::Discovery(_)
            | Self::Keys(_)
            | Self::Fetch(_)
            | Self::Token(_)
            | Self::IdToken(_)
            | Self::LogoutToken(_)
            | Self::NoIdToken
            | Self::UserInfoFetch(_)
            | Self::UserInfoRefused(_)
            | Self::UserInfo(_)
            | Self::AccessToken(_)
            | Self::OtherSubject
            | Self::Claims(_) => false,
        }
    }
}

/// Whether a request is refused that would be refused again.
fn is_refused_for_good(failure: &TokenFailure) -> bool {
    match failure {
        TokenFailure::Refused { status, .. } => status.is_client_error() && !matches!(status.as_u16(), 408 | 429),
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => false,
    }
}
