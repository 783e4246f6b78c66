//! Classifies failed token refreshes by the protocol's `error` member and the transport, never by message texts, which providers
//! change.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use crate::oidc::{ErrorMeaning, ErrorRule, FetchError, PRESETS, TokenFailure, error_meaning};

/// The class of a failed token refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureClass {
    /// The provider ended the grant. Only this class ends it here.
    Dead,
    /// A misconfiguration, here or at the provider, which a person must correct.
    Config(ConfigScope),
    /// The request certainly had no effect; retry, after this long if the provider says so.
    Retry(Option<Duration>),
    /// The request may have had an effect.
    Ambiguous,
}

/// What a misconfiguration affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConfigScope {
    /// This client, for all users.
    Client,
    /// This grant, as far as one response shows.
    Grant,
}

/// The codes of RFC 6749 section 5.2 that are about the client, whoever's token it presents.
const CLIENT_CODES: [&str; 3] = ["invalid_client", "unauthorized_client", "unsupported_grant_type"];

impl FailureClass {
    /// Returns the label in logs and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Config(_) => "config",
            Self::Retry(_) => "retry",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// Classifies a failure at a provider with these error `rules`.
pub(super) fn classify(failure: &TokenFailure, rules: &[ErrorRule]) -> FailureClass {
    match failure {
        TokenFailure::NotReady | TokenFailure::NoResponse(FetchError::NotSent(_)) => FailureClass::Retry(None),
        TokenFailure::NoResponse(FetchError::Untrusted(_)) => FailureClass::Config(ConfigScope::Client),
        TokenFailure::NoResponse(FetchError::Broken(_) | FetchError::TimedOut(_) | FetchError::Unreadable(_)) => {
            FailureClass::Ambiguous
        }
        // A success response that cannot be parsed was a success.
        TokenFailure::Unusable(_) => FailureClass::Ambiguous,
        TokenFailure::Refused { status, code, retry_after, .. }
            if let Some(means) = error_meaning(rules, *status, code.as_deref().unwrap_or_default()) =>
        {
            match means {
                ErrorMeaning::Dead => FailureClass::Dead,
                ErrorMeaning::Client => FailureClass::Config(ConfigScope::Client),
                ErrorMeaning::Grant => FailureClass::Config(ConfigScope::Grant),
                ErrorMeaning::Retry => FailureClass::Retry(*retry_after),
                ErrorMeaning::Ambiguous => FailureClass::Ambiguous,
            }
        }
        TokenFailure::Refused { status, code, retry_after, may_hide_an_answer, .. } => match code.as_deref() {
            None if *may_hide_an_answer && retry_after.is_none() => FailureClass::Ambiguous,
            // The `error` of a failing server does not show what the server did.
            Some(_) | None if let Some(class) = by_server_failure(*status, *retry_after) => class,
            Some("invalid_grant" | "interaction_required" | "consent_required" | "login_required") => FailureClass::Dead,
            Some(code) if CLIENT_CODES.contains(&code) => FailureClass::Config(ConfigScope::Client),
            Some("invalid_request" | "invalid_scope") => FailureClass::Config(ConfigScope::Grant),
            Some("temporarily_unavailable" | "slow_down") => FailureClass::Retry(*retry_after),
            Some("server_error") => FailureClass::Ambiguous,
            Some(_) | None if let Some(class) = by_status(*status, *retry_after) => class,
            // An unknown error must neither end a grant nor pause the others.
            Some(_) => FailureClass::Config(ConfigScope::Grant),
            // RFC 6749 section 5.2 requires a code of the token endpoint. A maintenance page, a firewall's refusal and a redirect are
            // somebody else's words, and say nothing about the grant.
            None => FailureClass::Retry(*retry_after),
        },
    }
}

/// Whether a failure says that the grant has ended, at a provider with these error `rules`.
pub fn is_end_of_grant(failure: &TokenFailure, rules: &[ErrorRule]) -> bool {
    classify(failure, rules) == FailureClass::Dead
}

/// Whether a refusal of this class is the provider's word about a token.
pub(super) fn is_proper_refusal(class: FailureClass) -> bool {
    match class {
        FailureClass::Dead | FailureClass::Config(ConfigScope::Grant) => true,
        FailureClass::Config(ConfigScope::Client) | FailureClass::Retry(_) | FailureClass::Ambiguous => false,
    }
}

/// Whether a refusal may be this grant's though nothing in it says so: it has no error code, or an unknown one with a status that is
/// usual where the client is refused. Which it is, a dummy shows: who refuses that by the protocol has let this client in.
pub(super) fn may_concern_one_grant(failure: &TokenFailure, class: FailureClass) -> bool {
    let TokenFailure::Refused { status, code, .. } = failure else { return false };
    match (class, code.as_deref()) {
        (FailureClass::Retry(_), None) => [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN].contains(status),
        (FailureClass::Config(ConfigScope::Client), code) => {
            *status == StatusCode::UNAUTHORIZED && !code.is_some_and(|code| CLIENT_CODES.contains(&code))
        }
        (FailureClass::Retry(_), Some(_))
        | (FailureClass::Dead | FailureClass::Config(ConfigScope::Grant) | FailureClass::Ambiguous, _) => false,
    }
}

/// The class of a server that fails.
fn by_server_failure(status: StatusCode, retry_after: Option<Duration>) -> Option<FailureClass> {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Some(FailureClass::Retry(retry_after)),
        status => status.is_server_error().then_some(FailureClass::Ambiguous),
    }
}

/// The class of those refusals whose status says enough.
fn by_status(status: StatusCode, retry_after: Option<Duration>) -> Option<FailureClass> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(FailureClass::Retry(retry_after)),
        StatusCode::REQUEST_TIMEOUT => Some(FailureClass::Ambiguous),
        StatusCode::UNAUTHORIZED => Some(FailureClass::Config(ConfigScope::Client)),
        // There is no token endpoint at this address. Discovery looks for a new one.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => Some(FailureClass::Retry(None)),
        _ => None,
    }
}

/// Returns the reason for the log and the history: the provider's `error` code, or an identifier for what happened.
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

/// Returns the reason as metrics have it. What ends grants or leaves outcomes unknown is alerted on, and its counters must exist before it
/// happens: so of a server that fails, whose codes may be any, only the status counts.
pub(super) fn counted_reason(failure: &TokenFailure, class: FailureClass) -> Cow<'static, str> {
    match (failure, class) {
        (TokenFailure::Refused { status, .. }, FailureClass::Ambiguous) if let Some(reason) = failed_status(*status) => {
            Cow::Borrowed(reason)
        }
        (failure, _) => Cow::Owned(reason(failure)),
    }
}

fn failed_status(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::REQUEST_TIMEOUT => Some("status_408"),
        StatusCode::INTERNAL_SERVER_ERROR => Some("status_500"),
        StatusCode::BAD_GATEWAY => Some("status_502"),
        StatusCode::SERVICE_UNAVAILABLE => Some("status_503"),
        StatusCode::GATEWAY_TIMEOUT => Some("status_504"),
        status => status.is_server_error().then_some("status_5xx"),
    }
}

/// The error codes that presets say end a grant or leave its outcome unknown, with their classes.
pub(super) fn codes_of_presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().flat_map(|preset| preset.error_rules).filter_map(|rule| match rule.meaning {
        ErrorMeaning::Dead => Some((FailureClass::Dead.as_str(), rule.code)),
        ErrorMeaning::Ambiguous => Some((FailureClass::Ambiguous.as_str(), rule.code)),
        ErrorMeaning::Client | ErrorMeaning::Grant | ErrorMeaning::Retry => None,
    })
}

/// Returns the provider's `error` code, if it sent one.
pub(super) fn code(failure: &TokenFailure) -> Option<String> {
    match failure {
        TokenFailure::Refused { code, .. } => code.clone(),
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => None,
    }
}

/// Returns the provider's `error_description`, if it sent one.
pub(super) fn description(failure: &TokenFailure) -> Option<String> {
    match failure {
        TokenFailure::Refused { description, .. } => description.clone(),
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => None,
    }
}

/// Whether the provider's rate limit was exceeded.
pub(super) fn is_rate_limited(failure: &TokenFailure) -> bool {
    match failure {
        TokenFailure::Refused { status, code, .. } => {
            *status == StatusCode::TOO_MANY_REQUESTS || matches!(code.as_deref(), Some("slow_down" | "too_many_requests"))
        }
        TokenFailure::NotReady | TokenFailure::NoResponse(_) | TokenFailure::Unusable(_) => false,
    }
}

/// Whether the response to a dummy refresh token says nothing about real ones: a proper refusal, or status 500 or 400 without a code, with
/// which some providers respond to a token that they cannot parse or do not know, unless this one is known to refuse dummies properly.
pub(super) fn is_inconclusive(failure: &TokenFailure, class: FailureClass, rejects_dummies: bool) -> bool {
    match class {
        FailureClass::Dead | FailureClass::Config(ConfigScope::Grant) => true,
        FailureClass::Ambiguous => {
            !rejects_dummies
                && matches!(failure, TokenFailure::Refused { status, .. } if *status == StatusCode::INTERNAL_SERVER_ERROR)
        }
        FailureClass::Retry(_) => {
            !rejects_dummies
                && matches!(failure, TokenFailure::Refused { status, code: None, .. } if *status == StatusCode::BAD_REQUEST)
        }
        FailureClass::Config(ConfigScope::Client) => false,
    }
}

#[cfg(test)]
mod tests;
