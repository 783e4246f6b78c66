//! Validation of a logout token's claims (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6).

use std::time::Duration;

use serde_json::Value;

use super::{
    END_LEEWAY, LEEWAY,
    claims::is_name,
    id_token::{VerifyError, audiences, check_clear, time},
    issuer::{ExpectedIssuer, IssuerMatch},
};
use crate::{
    client_registration::{ClientRegistration, Registrations},
    clock::Timestamp,
    jose::SignedToken,
};

/// Who was logged out at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutToken {
    /// The issuer identifier of the provider, as grants have it.
    pub issuer: String,
    /// The client that it is for.
    pub client_id: String,
    /// The user (`sub`), if the token names one.
    pub subject: Option<String>,
    /// The session at the provider (`sid`); without it, all of the user's sessions ended.
    pub provider_session: Option<String>,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// The token's identifier (`jti`), by which a replay is recognised.
    pub id: String,
    /// When the token stops being acceptable.
    pub expires_at: Timestamp,
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a token without `exp` (Ory Hydra sends none) is acceptable after it was issued; section 2.4 recommends this.
const DEFAULT_TOKEN_LIFE: Duration = Duration::from_secs(120);

/// Validates everything except the signature. `own` are the clients that Evergate is and was at the provider: it tells of sessions to the
/// client that each was given to.
pub(super) fn validate(
    token: &SignedToken<'_>,
    issuer: &ExpectedIssuer,
    own: &Registrations,
    now: Timestamp,
) -> Result<LogoutToken, VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    if token.typ().is_some_and(|typ| !["jwt", "logout+jwt"].contains(&typ.as_str())) {
        return refused("its typ is another token's");
    }
    let claims = token.unverified();
    check_clear(claims, &["iss", "aud", "iat", "exp", "jti", "sub", "sid", "nonce", "events"])?;
    let text = |name: &str| claims.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if issuer.compare(claims) != IssuerMatch::Same {
        return refused("its iss is another issuer");
    }
    let audiences = audiences(claims);
    let Some(ClientRegistration { issuer, client_id }) = own.iter().find(|own| audiences.contains(&own.client_id)) else {
        return refused("its aud is another client");
    };
    let Some(issued_at) = time(claims, "iat") else { return refused("it has no iat that is a time") };
    let expires_at = match claims.members.get("exp") {
        Some(Value::Null) | None => issued_at.plus(DEFAULT_TOKEN_LIFE),
        Some(_) => match time(claims, "exp") {
            Some(expires_at) => expires_at,
            None => return refused("its exp is no time"),
        },
    }
    .plus(LEEWAY);
    if now >= expires_at {
        return Err(VerifyError::OutsideValidity("it has expired, or has no exp and is older than two minutes"));
    }
    if issued_at > now.plus(END_LEEWAY) {
        return Err(VerifyError::OutsideValidity("it was issued in the future"));
    }
    // An ID token is signed with the same keys; this claim tells the two apart.
    if !claims.members.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return refused("it has no logout event");
    }
    if claims.has("nonce") {
        return refused("it has a nonce");
    }
    let Some(id) = text("jti") else { return refused("it has no jti") };
    let (subject, provider_session) = (text("sub").map(str::to_owned), text("sid").map(str::to_owned));
    if [&subject, &provider_session].into_iter().flatten().any(|name| !is_name(name)) {
        return refused("its sub or sid is longer than any, or has control characters");
    }
    if subject.is_none() && provider_session.is_none() {
        return refused("it has neither sub nor sid");
    }
    let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
    Ok(LogoutToken { issuer, client_id, subject, provider_session, issued_at, id: id.to_owned(), expires_at })
}
