//! Whether a refresh token is still good, asked without using it (RFC 7662). Asked only of one whose fate is unknown.

use http::StatusCode;
use serde_json::{Map, Value};

use super::http::{Answer, FetchError};
use crate::telemetry::logs::causes;

/// What introspection tells of a refresh token.
#[derive(Debug)]
pub enum Introspection {
    /// It is good (RFC 7662 section 2.2: `active` is true), so it was not used.
    Active,
    /// Nothing of the token, for some providers call even a good one inactive; but the provider answers.
    Inactive,
    /// Nothing: some providers refuse to be asked.
    Inconclusive(&'static str),
    /// The provider could not be asked now, because of this.
    Unavailable(String),
}

/// Reads an answer.
pub(super) fn read(answer: Result<Answer, FetchError>) -> Introspection {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Introspection::Unavailable(causes(&error)),
    };
    if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Introspection::Unavailable(format!("status {}", answer.status));
    }
    if !answer.status.is_success() {
        return Introspection::Inconclusive("introspection_refused");
    }
    match serde_json::from_slice::<Map<String, Value>>(&answer.body).ok().as_ref().and_then(|members| members.get("active")) {
        Some(Value::Bool(true)) => Introspection::Active,
        Some(Value::Bool(false)) => Introspection::Inactive,
        Some(Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) | None => {
            Introspection::Inconclusive("introspection_unreadable")
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn only_active_true_tells_anything() {
        let judged = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            read(Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) }))
        };
        assert!(matches!(judged(200, r#"{"active":true}"#), Introspection::Active));
        assert!(matches!(judged(200, r#"{"active":false}"#), Introspection::Inactive), "spent, or one that calls all of them so");
        for (status, body) in [
            (200, r#"{"active":"true"}"#),
            (200, r#"{"active":1}"#),
            (200, "[]"),
            (200, ""),
            (401, r#"{"active":true}"#),
            (403, ""),
        ] {
            assert!(matches!(judged(status, body), Introspection::Inconclusive(_)), "{status} {body}");
        }
        for status in [500, 503, 429] {
            assert!(matches!(judged(status, r#"{"active":true}"#), Introspection::Unavailable(_)), "{status}");
        }
    }
}
