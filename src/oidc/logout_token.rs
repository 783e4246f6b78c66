//! What we believe of a logout token (OIDC Back-Channel Logout 1.0 sections 2.4 and 2.6).

use std::time::Duration;

use serde_json::Value;

use super::{
    LEEWAY,
    verify::{VerifyError, audiences, time},
};
use crate::{clock::Timestamp, jose::Token};

/// Whom the provider has logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// This person.
    pub subject: Option<String>,
    /// In this session at the provider; in all if there is none.
    pub provider_session: Option<String>,
    /// At this time.
    pub issued_at: Timestamp,
    /// The token's own name (`jti`), by which it is known if it comes again.
    pub id: String,
    /// It is not believed any more after this.
    pub expires_at: Timestamp,
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A token without `exp` (Ory Hydra sends none) is believed for so long after it was issued: what section 2.4 recommends.
const LIFE: Duration = Duration::from_secs(120);

/// Claims that decide, besides `events`, which must be an object of one kind.
const JUDGED: [&str; 9] = ["iss", "aud", "iat", "exp", "jti", "sub", "sid", "nonce", "events"];

/// Judges all but the signature.
pub(super) fn judge(token: &Token<'_>, issuer: &str, client_id: &str, now: Timestamp) -> Result<LogoutToken, VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    if token.kind().is_some_and(|kind| !["jwt", "logout+jwt"].contains(&kind.as_str())) {
        return refused("its typ is another token's");
    }
    let claims = token.unverified();
    if claims.repeated.iter().any(|name| JUDGED.contains(&name.as_str())) {
        return refused("one of its claims stands there twice");
    }
    let text = |name: &str| claims.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("iss") != Some(issuer) {
        return refused("its iss is another issuer");
    }
    if !audiences(claims).contains(&client_id) {
        return refused("its aud is another client");
    }
    let Some(issued_at) = time(claims, "iat") else { return refused("it has no iat that is a time") };
    let expires_at = match claims.members.get("exp") {
        Some(Value::Null) | None => issued_at.plus(LIFE),
        Some(_) => match time(claims, "exp") {
            Some(expires_at) => expires_at,
            None => return refused("its exp is no time"),
        },
    }
    .plus(LEEWAY);
    if now >= expires_at {
        return Err(VerifyError::Untimely("it has expired, or has no exp and is older than two minutes"));
    }
    if issued_at > now.plus(LEEWAY) {
        return Err(VerifyError::Untimely("it was issued in the future"));
    }
    // What sets it apart from an ID token, which is signed with the same keys.
    if !claims.members.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return refused("it has no logout event");
    }
    if claims.members.contains_key("nonce") {
        return refused("it has a nonce");
    }
    let Some(id) = text("jti") else { return refused("it has no jti") };
    let (subject, provider_session) = (text("sub").map(str::to_owned), text("sid").map(str::to_owned));
    if subject.is_none() && provider_session.is_none() {
        return refused("it has neither sub nor sid");
    }
    Ok(LogoutToken { subject, provider_session, issued_at, id: id.to_owned(), expires_at })
}
