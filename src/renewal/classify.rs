//! What an answer to a renewal means. By the protocol's `error` member and the transport, never by message
//! texts, which providers change.

use std::time::Duration;

use http::StatusCode;

use crate::oidc::{ErrorMeaning, ErrorRule, FetchError, TokenFailure};

/// The class of a renewal that brought no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The provider ended the grant. Only this one ends it here.
    Dead,
    /// A fault of settings, here or at the provider, which a person must mend.
    Config(ConfigScope),
    /// The request surely had no effect; try again, after this long if the provider says so.
    Retry(Option<Duration>),
    /// It may have had one.
    Ambiguous,
}

/// Whom a fault of settings concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConfigScope {
    /// This client, whoever the user is.
    Client,
    /// This grant, as far as one answer can tell.
    Grant,
}

impl FailureClass {
    /// Its label in logs and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Config(_) => "config",
            Self::Retry(_) => "retry",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// The class of a failure, at a provider whose `answers` mean something of their own.
pub(super) fn classify(failure: &TokenFailure, answers: &[ErrorRule]) -> FailureClass {
    match failure {
        TokenFailure::NotReady | TokenFailure::NoResponse(FetchError::NotSent(_)) => FailureClass::Retry(None),
        TokenFailure::NoResponse(FetchError::Untrusted(_)) => FailureClass::Config(ConfigScope::Client),
        TokenFailure::NoResponse(FetchError::Broken(_) | FetchError::TimedOut(_) | FetchError::Unreadable(_)) => {
            FailureClass::Ambiguous
        }
        // A success that we cannot read was a success.
        TokenFailure::Unusable(_) => FailureClass::Ambiguous,
        TokenFailure::Refused { status, code: Some(code), retry_after, .. }
            if let Some(means) = own_meaning(answers, *status, code) =>
        {
            match means {
                ErrorMeaning::Dead => FailureClass::Dead,
                ErrorMeaning::Client => FailureClass::Config(ConfigScope::Client),
                ErrorMeaning::Grant => FailureClass::Config(ConfigScope::Grant),
                ErrorMeaning::Retry => FailureClass::Retry(*retry_after),
                ErrorMeaning::Ambiguous => FailureClass::Ambiguous,
            }
        }
        TokenFailure::Refused { status, code, retry_after, .. } => match code.as_deref() {
            // A server that fails may say anything of what it did.
            Some(_) | None if status.is_server_error() => by_status(*status, *retry_after),
            Some("invalid_grant" | "interaction_required" | "consent_required" | "login_required") => FailureClass::Dead,
            Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type") => {
                FailureClass::Config(ConfigScope::Client)
            }
            Some("invalid_request" | "invalid_scope") => FailureClass::Config(ConfigScope::Grant),
            Some("temporarily_unavailable" | "slow_down") => FailureClass::Retry(*retry_after),
            Some("server_error") => FailureClass::Ambiguous,
            Some(_) | None => by_status(*status, *retry_after),
        },
    }
}

fn own_meaning(answers: &[ErrorRule], status: StatusCode, code: &str) -> Option<ErrorMeaning> {
    let fits = |answer: &&ErrorRule| answer.code == code && answer.status.is_none_or(|only| only == status);
    answers.iter().find(fits).map(|rule| rule.meaning)
}

fn by_status(status: StatusCode, retry_after: Option<Duration>) -> FailureClass {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => FailureClass::Retry(retry_after),
        StatusCode::REQUEST_TIMEOUT => FailureClass::Ambiguous,
        status if status.is_server_error() => FailureClass::Ambiguous,
        StatusCode::UNAUTHORIZED => FailureClass::Config(ConfigScope::Client),
        // There is no token endpoint. It may have another address, which is looked for.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => FailureClass::Retry(None),
        // An error that nobody knows must neither end a grant nor stop the others.
        _ => FailureClass::Config(ConfigScope::Grant),
    }
}

/// The reason in the log line and the metric: the provider's code, or a word for what happened.
pub(super) fn reason(failure: &TokenFailure) -> String {
    match failure {
        TokenFailure::NotReady => "provider_not_ready".to_owned(),
        TokenFailure::NoResponse(FetchError::NotSent(_)) => "unreachable".to_owned(),
        TokenFailure::NoResponse(FetchError::Untrusted(_)) => "untrusted_certificate".to_owned(),
        TokenFailure::NoResponse(FetchError::Broken(_)) => "connection_broken".to_owned(),
        TokenFailure::NoResponse(FetchError::TimedOut(_)) => "timed_out".to_owned(),
        TokenFailure::NoResponse(FetchError::Unreadable(_)) | TokenFailure::Unusable(_) => "unusable_answer".to_owned(),
        TokenFailure::Refused { code: Some(code), .. } => code.clone(),
        TokenFailure::Refused { status, code: None, .. } => format!("status_{}", status.as_u16()),
    }
}

/// The provider's own `error` code, if it sent one.
pub(super) fn code(failure: &TokenFailure) -> Option<String> {
    match failure {
        TokenFailure::Refused { code, .. } => code.clone(),
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => None,
    }
}

/// The provider's own words on it, if it sent any.
pub(super) fn description(failure: &TokenFailure) -> Option<String> {
    match failure {
        TokenFailure::Refused { description, .. } => description.clone(),
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => None,
    }
}

/// Whether the provider says that it is asked too often.
pub(super) fn is_too_many(failure: &TokenFailure) -> bool {
    match failure {
        TokenFailure::Refused { status, code, .. } => {
            *status == StatusCode::TOO_MANY_REQUESTS || matches!(code.as_deref(), Some("slow_down" | "too_many_requests"))
        }
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => false,
    }
}

/// Whether the answer to a token that is nobody's leaves open how a real one would fare: refused as it should be, or with
/// a status by which some providers fail over what they cannot read, unless this one is known to refuse properly.
pub(super) fn is_inconclusive(failure: &TokenFailure, class: FailureClass, rejects_dummies: bool) -> bool {
    match class {
        FailureClass::Dead | FailureClass::Config(ConfigScope::Grant) => true,
        FailureClass::Ambiguous => {
            !rejects_dummies
                && matches!(failure, TokenFailure::Refused { status, .. } if *status == StatusCode::INTERNAL_SERVER_ERROR)
        }
        FailureClass::Config(ConfigScope::Client) | FailureClass::Retry(_) => false,
    }
}

#[cfg(test)]
mod tests;
