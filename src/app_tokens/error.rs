//! Every way in which a request for a token is refused, and the table of what the app sees. The texts are fixed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use super::given::json_response;
use crate::grant::ExchangeFailure;

/// Why an app gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("browsers get no tokens here")]
    Browser,
    #[error("the Host header names another server")]
    WrongHost,
    #[error("the secret of the listener is missing or wrong")]
    InvalidClient,
    #[error("there is nothing at this path")]
    NotFound,
    #[error("tokens are asked for with GET")]
    MethodNotAllowed,
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("the assertion is none that Evergate has signed")]
    InvalidAssertion,
    #[error("the app of this route may not ask for tokens (app_tokens)")]
    RouteNotAllowed,
    #[error("tokens by user are not allowed (CODER_APP_TOKEN_BY_USER)")]
    ByUserNotAllowed,
    #[error("tokens for this audience are not allowed (CODER_APP_TOKEN_AUDIENCES)")]
    AudienceNotAllowed,
    #[error("the session has ended, or its user must log in again")]
    SessionEnded,
    #[error("the user has no session whose grant lives")]
    UnknownUser,
    #[error("the user may not use the app any more")]
    UserNotAllowed,
    #[error("the provider or the store does not respond")]
    Unavailable(Duration),
    #[error("{}", exchange_text(*.0))]
    Exchange(ExchangeFailure),
}

/// Why the provider did not exchange a token, in a sentence.
fn exchange_text(failure: ExchangeFailure) -> &'static str {
    match failure {
        ExchangeFailure::InvalidTarget => "the provider gives no tokens for this audience",
        ExchangeFailure::InvalidScope => "the provider does not give these scopes",
        ExchangeFailure::Denied => "the provider denies the exchange",
        ExchangeFailure::Unsupported => "the provider does not exchange tokens for this client",
        ExchangeFailure::Failed => "the provider refuses the exchange",
        ExchangeFailure::Unavailable(_) => "the provider does not respond",
    }
}

impl TokenError {
    /// The status, and the `error` member (as in RFC 6749 section 5.2).
    fn row(self) -> (StatusCode, &'static str) {
        match self {
            Self::Browser => (StatusCode::FORBIDDEN, "browser_refused"),
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "wrong_host"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidAssertion => (StatusCode::UNAUTHORIZED, "invalid_assertion"),
            Self::RouteNotAllowed => (StatusCode::FORBIDDEN, "route_not_allowed"),
            Self::ByUserNotAllowed => (StatusCode::FORBIDDEN, "by_user_not_allowed"),
            Self::AudienceNotAllowed => (StatusCode::FORBIDDEN, "audience_not_allowed"),
            Self::SessionEnded => (StatusCode::UNAUTHORIZED, "session_ended"),
            Self::UnknownUser => (StatusCode::NOT_FOUND, "unknown_user"),
            Self::UserNotAllowed => (StatusCode::FORBIDDEN, "user_not_allowed"),
            Self::Exchange(ExchangeFailure::InvalidTarget) => (StatusCode::BAD_REQUEST, "invalid_target"),
            Self::Exchange(ExchangeFailure::InvalidScope) => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::Exchange(ExchangeFailure::Denied) => (StatusCode::FORBIDDEN, "access_denied"),
            Self::Exchange(ExchangeFailure::Unsupported) => (StatusCode::NOT_IMPLEMENTED, "exchange_not_supported"),
            Self::Exchange(ExchangeFailure::Failed) => (StatusCode::BAD_GATEWAY, "exchange_failed"),
            Self::Unavailable(_) | Self::Exchange(ExchangeFailure::Unavailable(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
        }
    }

    /// The error's name.
    pub(super) fn code(self) -> &'static str {
        self.row().1
    }

    /// What the metrics count it as.
    pub(super) fn outcome(self) -> &'static str {
        if self.retry_after().is_some() { "unavailable" } else { "refused" }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable(wait) | Self::Exchange(ExchangeFailure::Unavailable(wait)) => Some(wait),
            Self::Browser
            | Self::WrongHost
            | Self::InvalidClient
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::InvalidRequest(_)
            | Self::InvalidAssertion
            | Self::RouteNotAllowed
            | Self::ByUserNotAllowed
            | Self::AudienceNotAllowed
            | Self::SessionEnded
            | Self::UnknownUser
            | Self::UserNotAllowed
            | Self::Exchange(
                ExchangeFailure::InvalidTarget
                | ExchangeFailure::InvalidScope
                | ExchangeFailure::Denied
                | ExchangeFailure::Unsupported
                | ExchangeFailure::Failed,
            ) => None,
        }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let (status, code) = self.row();
        let mut response = json_response(status, &json!({ "error": code, "error_description": self.to_string() }));
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
        }
        if self == Self::InvalidClient {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"evergate\""));
        }
        if self == Self::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}
