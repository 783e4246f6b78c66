//! Reads the token endpoint's responses (RFC 6749 section 5).

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    clock::Timestamp,
    jose::{has_member, raw_members},
    oidc::{
        DEFAULT_LIFETIME,
        http::{FetchError, HttpResponse},
    },
    secret::Secret,
};

/// A successful response.
#[derive(Debug)]
pub struct TokenResponse {
    /// `access_token`.
    pub access_token: Secret,
    /// `refresh_token`, when the provider sent one.
    pub refresh_token: Option<Secret>,
    /// `id_token`, when the provider sent one.
    pub id_token: Option<Secret>,
    /// When the request was sent, from which its times count, so that a slow response's token is not used for too long.
    pub requested_at: Timestamp,
    /// `expires_in`, or [`DEFAULT_LIFETIME`] if it is missing or absurd.
    pub expires_in: Duration,
    /// How long the refresh token lives unused (`refresh_expires_in`, Keycloak; `refresh_token_expires_in`, AD FS and others),
    /// if the provider tells.
    pub refresh_expires_in: Option<Duration>,
    /// `scope`, if it differs from the requested one.
    pub scope: Option<String>,
}

impl TokenResponse {
    /// Until when the access token may be used.
    pub fn expires_at(&self) -> Timestamp {
        self.requested_at.plus(self.expires_in)
    }
}

/// Why a token call brought no tokens. It tells what is known about the request's effect; `renewal::classify` decides what that
/// means.
#[derive(Debug, thiserror::Error)]
pub enum TokenFailure {
    /// The provider has not been found yet, so nothing was sent.
    #[error("the provider has not been reached yet")]
    NotReady,
    /// There was no response.
    #[error(transparent)]
    NoResponse(#[from] FetchError),
    /// An error response, or a status that is one.
    #[error(
        "the provider refused: status {status}{}{}",
        .code.as_deref().map(|code| format!(", error {code}")).unwrap_or_default(),
        .description.as_deref().map(|said| format!(": {said}")).unwrap_or_default()
    )]
    Refused {
        /// The status.
        status: StatusCode,
        /// The `error` member (RFC 6749 section 5.2), if there is one.
        code: Option<String>,
        /// The `error_description` member, cut to a bounded length and cleaned of control characters and secrets.
        description: Option<String>,
        /// `Retry-After`, if there is one.
        retry_after: Option<Duration>,
        /// Whether a proxy before the provider has answered by itself, and may have lost the provider's answer.
        may_hide_an_answer: bool,
    },
    /// A success without usable tokens.
    #[error("the provider's token response is unusable: {0}")]
    Unusable(&'static str),
}

/// The longest lifetime of an access token that is believed. The longest usual ones have 30 days (the most that Auth0
/// can be set to) and 60 (LinkedIn); a thousand years come from hand-made servers, for tokens that have no end.
const LONGEST_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// The members that are read.
const READ: [&str; 10] = [
    "access_token",
    "token_type",
    "refresh_token",
    "id_token",
    "expires_in",
    "refresh_expires_in",
    "refresh_token_expires_in",
    "scope",
    "error",
    "error_description",
];

/// Those of them that are tokens.
const TOKENS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

/// The members of a response that are read, each on its own: what is wrong with another one (half of a surrogate pair in a name, a byte
/// that is not UTF-8, lists without end) must not cost a refresh token that works once. `None` if it is no object, or a token of it
/// cannot be read: a new refresh token that passed for none would have the old one, which is spent, presented again.
fn members(body: &[u8]) -> Option<Map<String, Value>> {
    let text = String::from_utf8_lossy(body);
    let all: BTreeMap<String, &RawValue> =
        raw_members(&text)?.into_iter().filter_map(|(name, raw)| Some((name.ok()?, raw))).collect();
    let mut members = Map::new();
    for name in READ {
        match all.get(name).map(|raw| serde_json::from_str(raw.get())) {
            Some(Ok(value)) if name == "refresh_token" && !may_be_token(&value) => return None,
            Some(Ok(value)) => {
                members.insert(name.to_owned(), value);
            }
            Some(Err(_)) if TOKENS.contains(&name) => return None,
            Some(Err(_)) | None => {}
        }
    }
    Some(members)
}

/// Whether a value is a token, or says that there is none.
fn may_be_token(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Null | Value::Bool(false))
}

/// Whether `error` says that there is one: what is null, empty or false does not.
fn is_error(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_error) => *is_error,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(members) => !members.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// A longer `Retry-After` is cut to this, because the provider may recover sooner.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Reads the response to a token request. `secrets` are what was presented, which must not be repeated in a log by way of the
/// provider's description.
pub(in crate::oidc) fn read<'a>(
    response: &HttpResponse,
    requested_at: Timestamp,
    secrets: impl Iterator<Item = &'a str>,
) -> Result<TokenResponse, TokenFailure> {
    // GitHub sends errors with status 200, so the member decides and not the status.
    if error_code(&response.body).is_some() || !response.status.is_success() {
        return Err(refusal(response, secrets));
    }
    let members =
        members(&response.body).ok_or(TokenFailure::Unusable("it is not a JSON object with tokens that can be read"))?;
    // It may have used what was presented all the same.
    if members.get("error").is_some_and(is_error) {
        return Err(TokenFailure::Unusable("it has an error that is no code"));
    }
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = |name| text(name).map(Secret::new);
    let access_token = text("access_token").ok_or(TokenFailure::Unusable("it has no access_token"))?;
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFailure::Unusable("its access_token has characters that no token has"));
    }
    // A byte that is not UTF-8 stood there, and what is kept would be another token.
    if ["refresh_token", "id_token"].into_iter().filter_map(text).any(|token| token.contains(char::REPLACEMENT_CHARACTER)) {
        return Err(TokenFailure::Unusable("one of its tokens is not text"));
    }
    if !text("token_type").is_none_or(|kind| kind.trim().eq_ignore_ascii_case("bearer")) {
        return Err(TokenFailure::Unusable("its token_type is not Bearer"));
    }
    Ok(TokenResponse {
        requested_at,
        access_token: Secret::new(access_token),
        refresh_token: token("refresh_token"),
        id_token: token("id_token"),
        expires_in: access_token_lifetime(members.get("expires_in")),
        refresh_expires_in: ["refresh_expires_in", "refresh_token_expires_in"]
            .into_iter()
            .find(|name| has_member(&members, name))
            .and_then(|name| seconds(members.get(name))),
        // What cannot be stored must not cost the tokens.
        scope: text("scope").filter(|scope| !scope.contains(char::is_control)).map(str::to_owned),
    })
}

/// Reads an error response.
pub(in crate::oidc) fn refusal<'a>(response: &HttpResponse, secrets: impl Iterator<Item = &'a str>) -> TokenFailure {
    let members = members(&response.body).unwrap_or_default();
    let said = members.get("error_description").and_then(Value::as_str);
    TokenFailure::Refused {
        status: response.status,
        code: error_code(&response.body),
        description: said.and_then(|said| safe_description(said, secrets)),
        retry_after: retry_after(&response.headers),
        may_hide_an_answer: response.status == StatusCode::SERVICE_UNAVAILABLE && is_envoys_own(&response.headers),
    }
}

/// Whether Envoy (Istio, Contour, Emissary) has answered by itself: it times what comes from behind it. Its 503 is also that of a
/// connection that broke after the request was sent, for which other proxies have 502.
fn is_envoys_own(headers: &HeaderMap) -> bool {
    let is_envoy = headers.get(header::SERVER).is_some_and(|server| ["envoy", "istio-envoy"].iter().any(|name| server == name));
    is_envoy && headers.get("x-envoy-upstream-service-time").is_none()
}

/// The lifetime of an access token. One without, or with an absurd one, gets [`DEFAULT_LIFETIME`], so that it is neither renewed at
/// every request nor used forever: with a longer life than any provider means, its identity would not be verified again for as long.
fn access_token_lifetime(expires_in: Option<&Value>) -> Duration {
    seconds(expires_in).filter(|lifetime| *lifetime <= LONGEST_LIFETIME).unwrap_or(DEFAULT_LIFETIME)
}

/// A number of seconds, a year at most; Entra has written it as a string. What is no number of seconds counts as absent, as does
/// Keycloak's 0 for a refresh token, which means that it has no limit.
fn seconds(value: Option<&Value>) -> Option<Duration> {
    const YEAR: f64 = 365.0 * 86_400.0;
    let seconds = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    seconds.filter(|seconds| *seconds >= 1.0).map(|seconds| Duration::from_secs_f64(seconds.min(YEAR)))
}

/// The `error` member of a response, if it has one that is not empty.
pub(in crate::oidc) fn error_code(body: &[u8]) -> Option<String> {
    members(body)?.get("error")?.as_str().map(safe_code).filter(|code| !code.is_empty())
}

/// The longest description that is kept. Ory Hydra's longest ones have some 450 characters.
const MAX_DESCRIPTION_CHARS: usize = 600;
/// So many consecutive characters that tokens consist of are masked, because they may be a token.
const MIN_TOKEN_CHARS: usize = 40;

/// A provider's own description of an error, made safe for logs and the history: on one line, bounded, without secrets. `None`
/// if nothing is left.
pub fn safe_description<'a>(text: &str, secrets: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut said = text.to_owned();
    for secret in secrets.filter(|secret| !secret.is_empty()) {
        said = said.replace(secret, "[secret]");
    }
    let is_token_like = |character: char| character.is_ascii_alphanumeric() || "-._~+/=".contains(character);
    let mut words = Vec::new();
    for word in said.split(|character: char| character.is_control() || character.is_whitespace()).filter(|word| !word.is_empty())
    {
        let longest = word.split(|character| !is_token_like(character)).map(str::len).max().unwrap_or(0);
        words.push(if longest >= MIN_TOKEN_CHARS { "[masked]" } else { word });
    }
    let said: String = words.join(" ").chars().take(MAX_DESCRIPTION_CHARS).collect();
    (!said.is_empty()).then_some(said)
}

/// An error code made safe for logs and metrics: printable ASCII as in RFC 6749 section 5.2, bounded.
fn safe_code(code: &str) -> String {
    code.chars().filter(|character| character.is_ascii_graphic()).take(64).collect()
}

/// `Retry-After` in either of its forms (RFC 9110 section 10.2.3), [`MAX_RETRY_AFTER`] at most. None and a moment that has passed name no
/// time at all: a provider that says so in an outage must not be asked without a pause.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(date(headers)?).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER)).filter(|wait| !wait.is_zero())
}

/// The response's `Date`: an HTTP date is compared to the provider's own clock, which may differ from this machine's.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
