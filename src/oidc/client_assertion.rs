//! The assertion by which a client authenticates with a signature (RFC 7523 sections 2.2 and 3).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{clock::Timestamp, secret::random_text};

/// `client_assertion_type`.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is valid. It is used immediately, and Keycloak accepts no longer life by default.
const LIFETIME: Duration = Duration::from_secs(60);

/// The claims of one assertion. Each call has an assertion of its own: a provider accepts its `jti` once.
pub(super) fn claims(client_id: &str, audience: &str, now: Timestamp) -> Value {
    let issued_at = now.seconds();
    json!({
        "iss": client_id, "sub": client_id, "aud": audience,
        "iat": issued_at, "nbf": issued_at, "exp": now.plus(LIFETIME).seconds(), "jti": random_text::<16>(),
    })
}
