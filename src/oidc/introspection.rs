//! Token introspection (RFC 7662): whether a refresh token is still valid, without using it, which is asked only of one whose fate is
//! unknown, because the response to its use was lost; and what an opaque access token says that an API client presents.

use http::StatusCode;
use serde_json::Value;

use super::{
    AccessToken, AccessTokenError, Provider, SHORT_CALL_TIMEOUT,
    access_token::check_claims,
    client_auth::ClientEndpoint,
    client_credentials::FormPost,
    discovery::ProviderMetadata,
    http::{FetchError, HttpResponse},
    id_token::time,
    issuer::IssuerMatch,
    token_call::error_code,
};
use crate::{jose::JsonObject, secret::Secret, telemetry::logs::causes};

/// What introspection tells about a refresh token.
#[derive(Debug)]
pub enum Introspection {
    /// It is valid (RFC 7662 section 2.2: `active` is true), so it was not used.
    Active,
    /// Nothing about the token, because some providers call even a valid one inactive; but the provider responds.
    Inactive,
    /// Nothing: the provider refuses the call, or its response is unusable.
    Inconclusive(&'static str),
    /// Nothing: somebody else has answered, with this. A page of maintenance goes; an ingress that lets nobody through to the endpoint stays.
    Blocked(String),
    /// The provider could not be called now, for this reason.
    Unavailable(String),
}

impl Provider {
    /// Whether refresh tokens can be introspected.
    pub fn supports_introspection(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.introspection_endpoint.is_some() && metadata.introspects_refresh_tokens)
    }

    /// Asks whether a refresh token is still valid.
    pub async fn introspect(&self, refresh_token: &Secret) -> Introspection {
        let Ok(metadata) = self.metadata() else {
            return Introspection::Unavailable("the provider is not known yet".to_owned());
        };
        let response = match metadata.introspects_refresh_tokens {
            true => self.ask_about(&metadata, refresh_token, "refresh_token").await,
            false => None,
        };
        response.map_or(Introspection::Inconclusive("no_introspection"), read)
    }

    /// Asks what an opaque access token says.
    pub(super) async fn introspect_access_token(&self, token: &Secret) -> Result<AccessToken, AccessTokenError> {
        let metadata = self.metadata().map_err(|error| AccessTokenError::Unavailable(error.to_string()))?;
        let Some(response) = self.ask_about(&metadata, token, "access_token").await else {
            return Err(AccessTokenError::because("it is no JWT, and the provider has no introspection endpoint"));
        };
        let claims = read_claims(response)?;
        if claims.has("iss") && metadata.issuer.compare(&claims) != IssuerMatch::Same {
            return Err(AccessTokenError::because("its iss is another issuer"));
        }
        check_claims(&claims, self.clock.now())?;
        let tenant = metadata.issuer.tenant(&claims.members).map(str::to_owned);
        let expires_at = time(&claims, "exp");
        self.access_token(claims, expires_at, tenant)
    }

    /// Calls the introspection endpoint, if there is one.
    async fn ask_about(
        &self,
        metadata: &ProviderMetadata,
        token: &Secret,
        kind: &'static str,
    ) -> Option<Result<HttpResponse, FetchError>> {
        let parameters = [("token", token.expose()), ("token_type_hint", kind)];
        let post = FormPost {
            endpoint: ClientEndpoint::Introspection,
            url: metadata.introspection_endpoint.as_ref()?,
            metadata,
            parameters: &parameters,
            deadline: SHORT_CALL_TIMEOUT,
            sent_within: None,
        };
        Some(self.credentials.post(&self.http, post).await)
    }
}

/// The claims of an access token that is active. An answer that says nothing about the token is no refusal of it.
fn read_claims(response: Result<HttpResponse, FetchError>) -> Result<JsonObject, AccessTokenError> {
    let response = response.map_err(|error| AccessTokenError::Unavailable(causes(&error)))?;
    if !response.status.is_success() {
        return Err(AccessTokenError::Unavailable(format!("introspection was answered with status {}", response.status)));
    }
    let Some(claims) = JsonObject::parse(&response.body) else {
        return Err(AccessTokenError::Unavailable("the answer of introspection is no JSON object".to_owned()));
    };
    if claims.is_unclear(&["active"]) || claims.members.get("active") != Some(&Value::Bool(true)) {
        return Err(AccessTokenError::because("the provider says that it is not active"));
    }
    let token_type = claims.members.get("token_type").and_then(Value::as_str);
    if token_type.is_some_and(|token_type| !token_type.eq_ignore_ascii_case("bearer")) {
        return Err(AccessTokenError::because("its token_type is not Bearer"));
    }
    Ok(claims)
}

fn read(response: Result<HttpResponse, FetchError>) -> Introspection {
    let response = match response {
        Ok(response) => response,
        Err(error) => return Introspection::Unavailable(causes(&error)),
    };
    let is_later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&response.status);
    if is_later || response.status.is_server_error() {
        return Introspection::Unavailable(format!("status {}", response.status));
    }
    // A page of maintenance, a firewall's refusal or a redirect is not the provider's answer, which has a code (RFC 7662 section 2.3).
    if !response.status.is_success() && error_code(&response.body).is_none() {
        return Introspection::Blocked(format!("status {}", response.status));
    }
    if !response.status.is_success() {
        return Introspection::Inconclusive("introspection_refused");
    }
    match JsonObject::parse(&response.body).map(|answer| answer.once().remove("active")) {
        Some(Some(Value::Bool(true))) => Introspection::Active,
        Some(Some(Value::Bool(false))) => Introspection::Inactive,
        Some(Some(Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) | None) => {
            Introspection::Inconclusive("introspection_unreadable")
        }
        None => Introspection::Blocked("the answer is not a JSON object".to_owned()),
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
            (200, r#"{"active":false,"active":true}"#),
            (401, r#"{"error":"invalid_client"}"#),
            (403, r#"{"error":"access_denied"}"#),
            (400, r#"{"error":"invalid_request"}"#),
        ] {
            assert!(matches!(judged(status, body), Introspection::Inconclusive(_)), "{status} {body}");
        }
        for status in [500, 503, 429, 408] {
            assert!(matches!(judged(status, r#"{"active":true}"#), Introspection::Unavailable(_)), "{status}");
        }
        for status in [400, 401, 403, 404, 302] {
            assert!(matches!(judged(status, r#"{"active":true}"#), Introspection::Blocked(_)), "{status}");
        }
        for page in ["", "[]", "<html>maintenance</html>", "{\"active\":"] {
            assert!(matches!(judged(200, page), Introspection::Blocked(_)), "{page}");
        }
    }

    #[test]
    fn a_name_in_latin_1_or_half_a_surrogate_pair_in_an_introspection_costs_nothing() {
        for body in [&b"{\"username\":\"Andr\xe9\",\"active\":true}"[..], br#"{"active":true,"name":"\ud83d","big":1e400}"#] {
            let (status, headers) = (StatusCode::OK, HeaderMap::new());
            assert!(matches!(read(Ok(HttpResponse { status, headers, body: Bytes::from(body) })), Introspection::Active));
        }
    }
}
