//! `global_token_revocation`: a provider or a security tool has everything of a user revoked
//! (draft-parecki-oauth-global-token-revocation, section 4).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::{Call, Endpoints, Refused, SYSTEMS_RETRY_AFTER, read_form};
use crate::{
    deprovisioning::{RevocationError, SubjectError},
    refusal::{
        Refusal,
        response::{json as json_response, own_headers},
    },
    telemetry::logs::causes,
};

impl Endpoints {
    /// Revokes, and answers 204 once it has taken effect.
    pub(super) async fn global_token_revocation(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        let body = read_form(body).await?;
        let authorization = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = authorization.and_then(bearer_of);
        let endpoint = call.exchange.site.at(&call.exchange.path());
        let (status, error) = match self.components.deprovisioning.revoke(bearer, &body, &endpoint).await {
            Ok(()) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                own_headers(response.headers_mut(), "revoked");
                return Ok(response);
            }
            Err(RevocationError::Store(error)) => return Err(Refusal::from(error).into()),
            Err(error) => (status(&error), error),
        };
        tracing::warn!(request.id = call.exchange.id_text(), error = causes(&error), "a global token revocation was refused");
        let (code, description) = words(&error);
        let mut response = json_response(&json!({"error": code, "error_description": description}), status, "not_revoked");
        let headers = response.headers_mut();
        match status {
            // RFC 6750 section 3: what is wrong is told of a token alone that was brought.
            StatusCode::UNAUTHORIZED if bearer.is_some() => {
                let challenge = HeaderValue::from_static("Bearer realm=\"Evergate\", error=\"invalid_token\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Evergate\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, SYSTEMS_RETRY_AFTER);
            }
            // A status of another kind needs no header.
            _ => {}
        }
        Ok(response)
    }
}

/// The token of the scheme Bearer, whose name has any case (RFC 9110 section 11.1).
pub(super) fn bearer_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Section 4.3 of the draft.
fn status(error: &RevocationError) -> StatusCode {
    match error {
        RevocationError::NoCredential | RevocationError::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        RevocationError::Malformed(_) | RevocationError::Subject(SubjectError::Malformed(_)) => StatusCode::BAD_REQUEST,
        RevocationError::Subject(SubjectError::OtherIssuer) => StatusCode::NOT_FOUND,
        RevocationError::Subject(SubjectError::Unsupported) => StatusCode::UNPROCESSABLE_ENTITY,
        RevocationError::Unverifiable(_) | RevocationError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What the sender is told: nothing of why a credential is refused.
fn words(error: &RevocationError) -> (&'static str, &'static str) {
    match error {
        RevocationError::NoCredential => ("invalid_token", "A bearer token is required."),
        RevocationError::Unauthenticated(_) => ("invalid_token", "The bearer token is not acceptable."),
        RevocationError::Malformed(why) => ("invalid_request", why),
        RevocationError::Subject(SubjectError::Malformed(why)) => ("invalid_request", why),
        RevocationError::Subject(SubjectError::OtherIssuer) => ("unknown_subject", "The issuer of sub_id is not this provider."),
        RevocationError::Subject(SubjectError::Unsupported) => {
            ("unsupported_subject", "The formats iss_sub, email, account, opaque and aliases are supported.")
        }
        RevocationError::Unverifiable(_) => ("temporarily_unavailable", "The bearer token cannot be verified now."),
        RevocationError::Store(_) => ("temporarily_unavailable", "It cannot be recorded now."),
    }
}
