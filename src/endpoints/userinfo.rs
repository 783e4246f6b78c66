//! `userinfo`: who the visitor is, for the app's scripts. Never a token.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use crate::{grant::Grant, refusal::response::json as json_response};

pub(super) fn respond(grant: &Grant) -> Response<Body> {
    let body = json!({
        "user": grant.identity.subject,
        "issuer": grant.issuer,
        "email": grant.identity.email,
        "preferredUsername": grant.identity.username,
        "name": grant.identity.name,
        "groups": grant.identity.group_names(),
        "roles": grant.identity.roles,
        "accessTokenExpiresAt": grant.expires_at.seconds(),
        "renewedAt": grant.renewed_at.seconds(),
        "renewals": grant.generation,
        "renewable": grant.has_refresh_token,
    });
    json_response(&body, StatusCode::OK, "userinfo")
}
