//! `security_events`: transmitters of shared signals push what has happened to users (RFC 8935).

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::{Call, Endpoints, Refused, SYSTEMS_RETRY_AFTER, global_token_revocation::bearer_of, read_form};
use crate::{
    deprovisioning::SecurityEventError,
    oidc::EventDelivery,
    refusal::{
        Refusal,
        response::{json as json_response, own_headers},
    },
    telemetry::logs::causes,
};

impl Endpoints {
    /// Takes one security event, and answers 202 once it has taken effect (section 2.2).
    pub(super) async fn security_event(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        let Ok(body) = read_form(body).await else {
            return Ok(refused("invalid_request", "The request is too large or too slow."));
        };
        if !is_security_event(call.headers) {
            return Ok(refused("invalid_request", "The content type is not application/secevent+jwt."));
        }
        let authorization = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = String::from_utf8_lossy(&body);
        let endpoint = call.exchange.site.at(&call.exchange.path());
        let (bearer, request_id) = (authorization.and_then(bearer_of), call.exchange.id_text());
        let delivery = EventDelivery::Pushed { bearer, endpoint: &endpoint, request_id: &request_id };
        let received = self.components.deprovisioning.receive(token.trim(), delivery).await;
        let error = match received {
            Ok(()) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::ACCEPTED;
                own_headers(response.headers_mut(), "accepted");
                return Ok(response);
            }
            Err(SecurityEventError::Store(error)) if !error.is_of_values() => return Err(Refusal::from(error).into()),
            Err(error) => error,
        };
        tracing::warn!(request.id = call.exchange.id_text(), error = causes(&error), "a security event was refused");
        Ok(match error.code() {
            Some((code, description)) => refused(code, description),
            None => again(),
        })
    }
}

/// Section 2.1 demands the type. A request without one is read all the same, because the token says what it is.
fn is_security_event(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/secevent+jwt")
}

/// Section 2.3.
fn refused(code: &'static str, description: &'static str) -> Response<Body> {
    let body = json!({"err": code, "description": description});
    let mut response = json_response(&body, StatusCode::BAD_REQUEST, "refused");
    response.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    response
}

/// The transmitter's keys cannot be fetched now.
fn again() -> Response<Body> {
    let body = json!({"err": "temporarily_unavailable", "description": "The event cannot be verified now."});
    let mut response = json_response(&body, StatusCode::SERVICE_UNAVAILABLE, "unverifiable");
    response.headers_mut().insert(header::RETRY_AFTER, SYSTEMS_RETRY_AFTER);
    response
}
