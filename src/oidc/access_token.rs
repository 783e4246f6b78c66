//! Access tokens that API clients present (RFC 6750): JWTs are verified by the issuer's keys (RFC 9068, RFC 8725), opaque ones by
//! introspection (RFC 7662).

use serde_json::Value;

use super::{
    Claims, LEEWAY,
    id_token::{VerifyError, audiences, check_clear, optional_time, time},
};
use crate::{
    clock::Timestamp,
    identity::Identity,
    jose::{JsonObject, SignedToken},
};

/// A good access token.
#[derive(Debug)]
pub struct AccessToken {
    /// Whose it is.
    pub identity: Identity,
    /// What else names its user.
    pub other_names: OtherNames,
    /// Its audiences (`aud`).
    pub audiences: Vec<String>,
    /// The client that obtained it.
    pub client: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// When it was issued at the earliest, if that is known.
    pub issued_at: Option<Timestamp>,
    /// When it expires; `None` if introspection does not say.
    pub expires_at: Option<Timestamp>,
    /// Whether it was verified here, so that nothing but time changes the verdict.
    pub is_self_contained: bool,
}

/// What names the user of a token besides `sub` and the claims of the settings. For ends alone: whom somebody names in order to be rid of
/// them.
#[derive(Debug, Default)]
pub struct OtherNames {
    /// The provider's identifier, where `sub` is the login: Okta's `uid`.
    pub subject: Option<String>,
    /// The login: `username` of introspection (RFC 7662 section 2.2).
    pub login: Option<String>,
}

/// Why an access token is not accepted. The texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum AccessTokenError {
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] VerifyError),
    /// It cannot be verified now; it may be a good one.
    #[error("it cannot be verified now: {0}")]
    Unavailable(String),
}

impl AccessTokenError {
    pub(super) fn because(what: &'static str) -> Self {
        Self::Refused(VerifyError::Refused(what))
    }
}

/// The claims by which a client is named: RFC 9068, OpenID Connect, Okta, and Microsoft Entra ID's first version.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// By what else the user of a token is named.
pub(super) fn other_names(claims: &Claims) -> OtherNames {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty()).map(str::to_owned);
    OtherNames { subject: text("uid"), login: text("username") }
}

/// When a token was issued at the earliest: introspection need not have an `iat` (RFC 7662 section 2.2).
pub(super) fn issued_at(claims: &JsonObject) -> Option<Timestamp> {
    ["iat", "nbf", "auth_time"].iter().filter(|name| !claims.is_unclear(&[**name])).find_map(|name| time(claims, name))
}

/// Refuses what another kind of token is by its header (RFC 8725 section 3.11). Few issuers write `at+jwt`.
pub(super) fn check_type(token: &SignedToken<'_>) -> Result<(), AccessTokenError> {
    let is_access_token = token.typ().as_deref() == Some("at+jwt");
    if !is_access_token && token.typ().is_some_and(|typ| typ != "jwt") {
        return Err(AccessTokenError::because("its typ is another token's"));
    }
    let claims = token.unverified();
    // Keycloak's access tokens had the nonce of their login, and say of themselves what they are.
    let is_said_to_be = is_access_token || claims.members.get("typ").and_then(Value::as_str) == Some("Bearer");
    let has = |names: &[&str]| names.iter().any(|name| claims.has(name));
    if has(&["at_hash", "c_hash", "s_hash"]) || (!is_said_to_be && has(&["nonce"])) {
        return Err(AccessTokenError::because("it is the ID token of a login"));
    }
    if has(&["events"]) {
        return Err(AccessTokenError::because("it is a security event token"));
    }
    Ok(())
}

/// Refuses by the claims what is no bearer token, or is not yet or no longer valid. A clock that is late by less than [`LEEWAY`]
/// refuses no new token; an expired one is refused at once, because its client knows when to get another.
pub(super) fn check_claims(claims: &JsonObject, now: Timestamp) -> Result<(), AccessTokenError> {
    check_clear(claims, &["iss", "sub", "aud", "exp", "iat", "nbf", "azp", "client_id", "scope", "scp", "cnf"])?;
    // By these it is no other token.
    check_clear(claims, &["nonce", "at_hash", "c_hash", "s_hash", "events", "typ", "token_use"])?;
    let text = |name: &str| claims.members.get(name).and_then(Value::as_str);
    // Keycloak writes `typ` (Bearer, ID, Refresh, Offline), Cognito and Hydra `token_use` (access, id; access_token, refresh_token).
    let is_other_kind = text("typ").is_some_and(|typ| !typ.eq_ignore_ascii_case("bearer"))
        || text("token_use").is_some_and(|token_use| !matches!(token_use, "access" | "access_token"));
    if is_other_kind {
        return Err(AccessTokenError::because("it says that it is no access token"));
    }
    // Whoever presents it would have to prove that they have a key (RFC 9449 section 7.1, RFC 8705 section 3).
    if claims.members.get("cnf").is_some_and(|confirmation| !confirmation.is_null()) {
        return Err(AccessTokenError::because("it is bound to a key (cnf), and is no bearer token"));
    }
    let outside = |what| Err(AccessTokenError::Refused(VerifyError::OutsideValidity(what)));
    if optional_time(claims, "exp", "its exp is no time")?.is_some_and(|at| now >= at) {
        return outside("it has expired");
    }
    if optional_time(claims, "nbf", "its nbf is no time")?.is_some_and(|at| at > now.plus(LEEWAY)) {
        return outside("it is not good yet (nbf)");
    }
    if optional_time(claims, "iat", "its iat is no time")?.is_some_and(|at| at > now.plus(LEEWAY)) {
        return outside("it was issued in the future");
    }
    Ok(())
}

/// Where a token says that it may be used: its audiences, the client that obtained it, and its scopes.
pub(super) fn use_of(claims: &JsonObject) -> (Vec<String>, Option<String>, Vec<String>) {
    let audiences = audiences(claims).into_iter().map(str::to_owned).collect();
    (audiences, client(&claims.members), scopes(&claims.members))
}

fn client(claims: &Claims) -> Option<String> {
    let text = |name: &&str| claims.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty());
    CLIENT_CLAIMS.iter().find_map(text).map(str::to_owned)
}

/// `scope` is a text with spaces (RFC 8693 section 4.2); `scp` is one in Entra ID, and a list in Okta.
fn scopes(claims: &Claims) -> Vec<String> {
    let of = |value: &Value| match value {
        Value::String(text) => text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        Value::Array(members) => members.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).flat_map(of).collect()
}
