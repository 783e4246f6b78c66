//! `jwks`: the public keys that verify assertions (RFC 7517).

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use crate::{assertion::Assertions, refusal::response::json as json_response, telemetry::logs::causes};

pub(super) fn respond(assertions: &Assertions) -> Response<Body> {
    match assertions.key_set() {
        Ok(keys) => json_response(&keys, StatusCode::OK, "jwks"),
        Err(error) => {
            tracing::error!(error = causes(&error), "the keys of assertions cannot be derived");
            json_response(&json!({"error": "unavailable"}), StatusCode::SERVICE_UNAVAILABLE, "jwks")
        }
    }
}
