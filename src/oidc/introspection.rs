//! Token introspection (RFC 7662): whether a refresh token is still valid, without using it. It is called only for a token
//! whose fate is unknown, because the response to its use was lost.

use http::StatusCode;
use serde_json::{Map, Value};

use super::{
    Provider, SHORT_CALL_TIMEOUT,
    client_auth::ClientEndpoint,
    client_credentials::FormPost,
    http::{FetchError, HttpResponse},
};
use crate::{secret::Secret, telemetry::logs::causes};

/// What introspection tells about a refresh token.
#[derive(Debug)]
pub enum Introspection {
    /// It is valid (RFC 7662 section 2.2: `active` is true), so it was not used.
    Active,
    /// Nothing about the token, because some providers call even a valid one inactive; but the provider responds.
    Inactive,
    /// Nothing: the provider refuses the call, or its response is unusable.
    Inconclusive(&'static str),
    /// The provider could not be called now, for this reason.
    Unavailable(String),
}

impl Provider {
    /// Whether refresh tokens can be introspected.
    pub fn supports_introspection(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.introspection_endpoint.is_some())
    }

    /// Asks whether a refresh token is still valid.
    pub async fn introspect(&self, refresh_token: &Secret) -> Introspection {
        let Ok(metadata) = self.metadata() else {
            return Introspection::Unavailable("the provider is not known yet".to_owned());
        };
        let Some(url) = &metadata.introspection_endpoint else { return Introspection::Inconclusive("no_introspection") };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        let post = FormPost {
            endpoint: ClientEndpoint::Introspection,
            url,
            metadata: &metadata,
            parameters: &parameters,
            deadline: SHORT_CALL_TIMEOUT,
        };
        read(self.credentials.post(&self.http, post).await)
    }
}

fn read(response: Result<HttpResponse, FetchError>) -> Introspection {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Introspection::Unavailable(causes(&error)),
    };
    if response.status.is_server_error() || response.status == StatusCode::TOO_MANY_REQUESTS {
        return Introspection::Unavailable(format!("status {}", response.status));
    }
    if !response.status.is_success() {
        return Introspection::Inconclusive("introspection_refused");
    }
    match serde_json::from_slice::<Map<String, Value>>(&response.body).ok().as_ref().and_then(|members| members.get("active")) {
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
            read(Ok(HttpResponse { status, headers: HeaderMap::new(), body: Bytes::from(body) }))
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
