//! `scim/v2`: a directory provisions users (SCIM 2.0, RFC 7644).

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use http_body_util::LengthLimitError;
use hyper::body::Incoming;
use serde_json::json;

use super::{Call, Endpoints, FORM_DEADLINE, Refused, SYSTEMS_RETRY_AFTER};
use crate::{
    deprovisioning::{ScimAnswer, ScimError, ScimMethod, ScimRequest, scim_method_error},
    refusal::{
        Refusal,
        response::{json as json_response, own_headers},
    },
    telemetry::logs::causes,
};

/// The largest body.
const LARGEST_BODY: usize = 1024 * 1024;
/// The media type of SCIM (RFC 7644 section 8.1).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/scim+json");

impl Endpoints {
    /// Answers a SCIM client. Nobody else learns anything.
    pub(super) async fn scim(
        &self,
        call: &Call<'_>,
        path: &str,
        head: &request::Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Refused> {
        let deprovisioning = &self.components.deprovisioning;
        if !deprovisioning.takes_scim() {
            return Err(Refusal::NoSuchPage.into());
        }
        let authorization = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(provider) = authorization.and_then(|authorization| deprovisioning.scim_client(authorization)) else {
            if authorization.is_some() {
                tracing::warn!(
                    request.id = call.exchange.id_text(),
                    "a SCIM client brings another secret than CODER_SCIM_AUTH_HEADER"
                );
            }
            let mut response = refused(StatusCode::UNAUTHORIZED, None, "the secret of CODER_SCIM_AUTH_HEADER is required");
            let challenge = HeaderValue::from_static("Bearer realm=\"Evergate SCIM\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return Ok(response);
        };
        let method = match head.method {
            Method::GET => ScimMethod::Get,
            Method::POST => ScimMethod::Post,
            Method::PUT => ScimMethod::Put,
            Method::PATCH => ScimMethod::Patch,
            Method::DELETE => ScimMethod::Delete,
            _ => return Ok(answer_to(&scim_method_error(path))),
        };
        let body = match read_body(body).await {
            Ok(body) => body,
            Err((status, why)) => return Ok(refused(status, None, why)),
        };
        let base = call.exchange.site.at(&format!("{}/scim/v2", self.components.prefix));
        let id = call.exchange.id_text();
        let request = ScimRequest { method, path, query: call.query, body: &body, base: &base, id: &id };
        Ok(match deprovisioning.scim(&provider, &request).await {
            Ok(ScimAnswer::Found(resource)) => answer(&resource, StatusCode::OK),
            Ok(ScimAnswer::Created(resource, location)) => {
                let mut response = answer(&resource, StatusCode::CREATED);
                response.headers_mut().extend(HeaderValue::try_from(location).ok().map(|value| (header::LOCATION, value)));
                response
            }
            Ok(ScimAnswer::Deleted) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                own_headers(response.headers_mut(), "scim");
                response
            }
            Err(error) => {
                if let ScimError::Store(error) = &error {
                    tracing::warn!(request.id = id, error = causes(error), "a SCIM client is told to come again");
                }
                answer_to(&error)
            }
        })
    }
}

/// Reads the body of a request of a client that is known. Directories send pictures along when they say who is gone.
async fn read_body(body: Incoming) -> Result<Bytes, (StatusCode, &'static str)> {
    match tokio::time::timeout(FORM_DEADLINE, axum::body::to_bytes(Body::new(body), LARGEST_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>()) => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB"))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body came too slowly; please try again")),
    }
}

fn answer(resource: &serde_json::Value, status: StatusCode) -> Response<Body> {
    let mut response = json_response(resource, status, "scim");
    response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
    response
}

/// RFC 7644 section 3.12.
fn answer_to(error: &ScimError) -> Response<Body> {
    let (status, kind) = match error {
        ScimError::Syntax(_) => (StatusCode::BAD_REQUEST, Some("invalidSyntax")),
        ScimError::Value(_) | ScimError::Attribute(_) => (StatusCode::BAD_REQUEST, Some("invalidValue")),
        ScimError::Filter => (StatusCode::BAD_REQUEST, Some("invalidFilter")),
        ScimError::NoTarget => (StatusCode::BAD_REQUEST, Some("noTarget")),
        ScimError::Path => (StatusCode::BAD_REQUEST, Some("invalidPath")),
        ScimError::Uniqueness => (StatusCode::CONFLICT, Some("uniqueness")),
        ScimError::NotFound => (StatusCode::NOT_FOUND, None),
        ScimError::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, None),
        ScimError::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, None),
        ScimError::Store(_) | ScimError::Unfinished => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    let mut response = refused(status, kind, &error.to_string());
    if let ScimError::Method { allow } = error {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, SYSTEMS_RETRY_AFTER);
    }
    response
}

fn refused(status: StatusCode, kind: Option<&str>, detail: &str) -> Response<Body> {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.as_str(), "detail": detail,
    });
    if let (Some(kind), Some(members)) = (kind, body.as_object_mut()) {
        members.insert("scimType".to_owned(), kind.into());
    }
    answer(&body, status)
}
