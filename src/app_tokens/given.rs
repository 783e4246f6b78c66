//! A token that an app gets, and how it is told (RFC 6749 section 5.1).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    clock::Timestamp,
    grant::{ExchangedToken, Grant},
    secret::Secret,
};

/// A token that an app gets.
#[derive(Debug)]
pub(super) struct Given {
    token: Secret,
    /// The seconds that are left of its life.
    expires_in: u64,
    scope: Option<String>,
}

impl Given {
    /// The access token of a grant.
    pub(super) fn access_token(grant: &Grant, now: Timestamp) -> Self {
        let scope = Some(grant.scopes.clone()).filter(|scopes| !scopes.is_empty());
        Self { token: grant.access_token.clone(), expires_in: grant.expires_at.since(now).as_secs(), scope }
    }

    /// A token that it was exchanged for.
    pub(super) fn exchanged(token: &ExchangedToken, now: Timestamp) -> Self {
        let expires_in = token.expires_at.since(now).as_secs();
        Self { token: token.access_token.clone(), expires_in, scope: token.scope.clone() }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let (token, expires_in) = (self.token.expose(), self.expires_in);
        let mut members = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in, "scope": self.scope });
        if let Some(members) = members.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        json_response(StatusCode::OK, &members)
    }
}

/// A response that nobody may keep.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
