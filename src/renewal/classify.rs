//! What an answer to a renewal means. By the protocol's `error` member and the transport, never by message
//! texts, which providers change.

use std::time::Duration;

use http::StatusCode;

use crate::oidc::{FetchError, TokenFailure};

/// The class of a renewal that brought no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The provider ended the grant. Only this one ends it here.
    Dead,
    /// A fault of settings, here or at the provider, which a person must mend.
    Config(Whose),
    /// The request surely had no effect; try again, after this long if the provider says so.
    Retry(Option<Duration>),
    /// It may have had one.
    Ambiguous,
}

/// Whom a fault of settings concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This client, whoever the user is.
    Client,
    /// This grant, as far as one answer can tell.
    Grant,
}

impl Class {
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

pub(super) fn classify(failure: &TokenFailure) -> Class {
    match failure {
        TokenFailure::NotReady | TokenFailure::NoAnswer(FetchError::NotSent(_)) => Class::Retry(None),
        TokenFailure::NoAnswer(FetchError::Broken(_) | FetchError::TimedOut(_) | FetchError::Unreadable(_)) => Class::Ambiguous,
        // A success that we cannot read was a success.
        TokenFailure::Unusable(_) => Class::Ambiguous,
        TokenFailure::Refused { status, code, retry_after } => match code.as_deref() {
            Some("invalid_grant" | "interaction_required" | "consent_required" | "login_required") => Class::Dead,
            Some("invalid_client" | "unauthorized_client" | "unsupported_grant_type") => Class::Config(Whose::Client),
            Some("invalid_request" | "invalid_scope") => Class::Config(Whose::Grant),
            Some("temporarily_unavailable" | "slow_down") => Class::Retry(*retry_after),
            Some("server_error") => Class::Ambiguous,
            Some(_) | None => by_status(*status, *retry_after),
        },
    }
}

fn by_status(status: StatusCode, retry_after: Option<Duration>) -> Class {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Class::Retry(retry_after),
        StatusCode::REQUEST_TIMEOUT => Class::Ambiguous,
        status if status.is_server_error() => Class::Ambiguous,
        // No token endpoint there, or none that speaks to us.
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => Class::Config(Whose::Client),
        // An error that nobody knows must neither end a grant nor stop the others.
        _ => Class::Config(Whose::Grant),
    }
}

/// The reason in the log line and the metric: the provider's code, or a word for what happened.
pub(super) fn reason(failure: &TokenFailure) -> String {
    match failure {
        TokenFailure::NotReady => "provider_not_ready".to_owned(),
        TokenFailure::NoAnswer(FetchError::NotSent(_)) => "unreachable".to_owned(),
        TokenFailure::NoAnswer(FetchError::Broken(_)) => "connection_broken".to_owned(),
        TokenFailure::NoAnswer(FetchError::TimedOut(_)) => "timed_out".to_owned(),
        TokenFailure::NoAnswer(FetchError::Unreadable(_)) | TokenFailure::Unusable(_) => "unusable_answer".to_owned(),
        TokenFailure::Refused { code: Some(code), .. } => code.clone(),
        TokenFailure::Refused { status, code: None, .. } => format!("status_{}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn refused(status: u16, code: &str) -> Class {
        let code = Some(code).filter(|code| !code.is_empty()).map(str::to_owned);
        classify(&TokenFailure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            code,
            retry_after: Some(Duration::from_secs(7)),
        })
    }

    #[test]
    fn every_known_answer_has_its_class() {
        const CLIENT: Class = Class::Config(Whose::Client);
        const GRANT: Class = Class::Config(Whose::Grant);
        const RETRY: Class = Class::Retry(Some(Duration::from_secs(7)));
        let cases = [
            (400, "invalid_grant", Class::Dead),
            (401, "invalid_grant", Class::Dead),
            (403, "invalid_grant", Class::Dead),
            (400, "interaction_required", Class::Dead),
            (400, "consent_required", Class::Dead),
            (400, "login_required", Class::Dead),
            (401, "invalid_client", CLIENT),
            (400, "unauthorized_client", CLIENT),
            (400, "unsupported_grant_type", CLIENT),
            (400, "invalid_request", GRANT),
            (400, "invalid_scope", GRANT),
            (400, "", GRANT),
            (400, "never_heard_of", GRANT),
            (200, "never_heard_of", GRANT),
            (401, "", CLIENT),
            (404, "", CLIENT),
            (302, "", GRANT),
            (429, "", RETRY),
            (503, "", RETRY),
            (400, "temporarily_unavailable", RETRY),
            (400, "slow_down", RETRY),
            (500, "", Class::Ambiguous),
            (502, "", Class::Ambiguous),
            (504, "", Class::Ambiguous),
            (408, "", Class::Ambiguous),
            (400, "server_error", Class::Ambiguous),
        ];
        for (status, code, expected) in cases {
            assert_eq!(refused(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn what_was_surely_not_sent_is_told_from_what_may_have_arrived() {
        let cause = || Arc::from(Box::<dyn std::error::Error + Send + Sync>::from("x"));
        assert_eq!(classify(&TokenFailure::NotReady), Class::Retry(None));
        assert_eq!(classify(&FetchError::NotSent(cause()).into()), Class::Retry(None));
        assert_eq!(classify(&FetchError::Broken(cause()).into()), Class::Ambiguous);
        assert_eq!(classify(&FetchError::TimedOut(Duration::ZERO).into()), Class::Ambiguous);
        assert_eq!(classify(&TokenFailure::Unusable("x")), Class::Ambiguous);
    }
}
