//! The token endpoint (RFC 6749 sections 4.1.3, 5 and 6).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::{
    DEFAULT_LIFETIME,
    http::{Answer, FetchError},
};
use crate::{clock::Timestamp, secret::Secret};

/// A successful answer.
#[derive(Debug)]
pub struct TokenAnswer {
    /// `access_token`.
    pub access_token: Secret,
    /// `refresh_token`, when the provider sent one.
    pub refresh_token: Option<Secret>,
    /// `id_token`, when the provider sent one.
    pub id_token: Option<Secret>,
    /// When it was asked for, from which its times count: a slow answer's token must not be believed for too long.
    pub asked_at: Timestamp,
    /// `expires_in`, or [`DEFAULT_LIFETIME`] where it is missing or absurd.
    pub expires_in: Duration,
    /// How long the refresh token lives if it is not used (`refresh_expires_in`, Keycloak; `refresh_token_expires_in`,
    /// AD FS and others), when the provider says so.
    pub refresh_life: Option<Duration>,
    /// `scope`, when it differs from what was asked.
    pub scope: Option<String>,
}

impl TokenAnswer {
    /// Until when the access token may be used.
    pub fn expires_at(&self) -> Timestamp {
        self.asked_at.plus(self.expires_in)
    }
}

/// Why a token call brought no tokens. Says what is known of the request's effect; what that means is for
/// `renewal::classify` to decide.
#[derive(Debug, thiserror::Error)]
pub enum TokenFailure {
    /// The provider has not been found yet, so nothing was sent.
    #[error("the provider has not been reached yet")]
    NotReady,
    /// There was no answer.
    #[error(transparent)]
    NoAnswer(#[from] FetchError),
    /// The provider answered with an error, or with a status that is one.
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
    },
    /// A success that holds no tokens that we can use.
    #[error("the provider's token response is unusable: {0}")]
    Unusable(&'static str),
}

/// A provider that asks for more is asked again all the same: what is wrong there may be mended sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Reads the answer to a token request. `secrets` are what was presented, which nothing that the provider says of it may
/// repeat in a log.
pub(super) fn read<'a>(
    answer: &Answer,
    asked_at: Timestamp,
    secrets: impl Iterator<Item = &'a str>,
) -> Result<TokenAnswer, TokenFailure> {
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body);
    // GitHub answers errors with 200, so the member decides and not the status.
    if error_code(&answer.body).is_some() || !answer.status.is_success() {
        return Err(refusal(answer, secrets));
    }
    let members = members.map_err(|_| TokenFailure::Unusable("it is not a JSON object"))?;
    let text = |name| members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = |name| text(name).map(Secret::new);
    let access_token = text("access_token").ok_or(TokenFailure::Unusable("it has no access_token"))?;
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFailure::Unusable("its access_token has characters that no token has"));
    }
    if !text("token_type").is_none_or(|kind| kind.trim().eq_ignore_ascii_case("bearer")) {
        return Err(TokenFailure::Unusable("its token_type is not Bearer"));
    }
    Ok(TokenAnswer {
        asked_at,
        access_token: Secret::new(access_token),
        refresh_token: token("refresh_token"),
        id_token: token("id_token"),
        expires_in: seconds(members.get("expires_in")).unwrap_or(DEFAULT_LIFETIME),
        refresh_life: seconds(members.get("refresh_expires_in").or_else(|| members.get("refresh_token_expires_in"))),
        scope: text("scope").map(str::to_owned),
    })
}

/// What an answer that is an error says.
pub(super) fn refusal<'a>(answer: &Answer, secrets: impl Iterator<Item = &'a str>) -> TokenFailure {
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body).unwrap_or_default();
    let said = members.get("error_description").and_then(Value::as_str);
    TokenFailure::Refused {
        status: answer.status,
        code: error_code(&answer.body),
        description: said.and_then(|said| safe_description(said, secrets)),
        retry_after: retry_after(&answer.headers),
    }
}

/// A number of seconds; Entra has written it as a string. An absurd figure is none, and an access token without one gets
/// [`DEFAULT_LIFETIME`], so that it is neither renewed at every request nor believed for ever. Keycloak's 0 for a refresh
/// token means that it has no limit.
fn seconds(value: Option<&Value>) -> Option<Duration> {
    const YEAR: f64 = 365.0 * 86_400.0;
    let seconds = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    seconds.filter(|seconds| *seconds >= 1.0).map(|seconds| Duration::from_secs_f64(seconds.min(YEAR)))
}

/// The `error` member of an answer, if it has one. An empty one is none.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let members = serde_json::from_slice::<Map<String, Value>>(body).ok()?;
    members.get("error")?.as_str().map(safe_code).filter(|code| !code.is_empty())
}

/// The longest description that is kept. Ory Hydra's longest ones have some 450 characters.
const LONGEST_DESCRIPTION: usize = 600;
/// Whatever looks like a token is none of a log's business: so many characters in a row as tokens are made of.
const TOKEN_LENGTH: usize = 40;

/// What a provider says of an error in words of its own, for logs and the history: on one line, bounded, and without secrets.
/// `None` if nothing is left.
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
        words.push(if longest >= TOKEN_LENGTH { "[masked]" } else { word });
    }
    let said: String = words.join(" ").chars().take(LONGEST_DESCRIPTION).collect();
    (!said.is_empty()).then_some(said)
}

/// An error code is for logs and metrics: RFC 6749 allows it printable ASCII, and we some length of it.
fn safe_code(code: &str) -> String {
    code.chars().filter(|character| character.is_ascii_graphic()).take(64).collect()
}

/// `Retry-After` in either of its forms (RFC 9110 section 10.2.3), [`LONGEST_WAIT`] at most.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(date(headers)?).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// A date is read against the provider's own clock, which may differ from ours.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;
