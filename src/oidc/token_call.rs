//! The token endpoint (RFC 6749 sections 4.1.3, 5 and 6).

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use base64::prelude::*;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    DEFAULT_LIFETIME,
    http::{Answer, FetchError, HttpClient},
};
use crate::secret::Secret;

/// A successful answer.
#[derive(Debug)]
pub struct TokenAnswer {
    /// `access_token`.
    pub access_token: Secret,
    /// `refresh_token`, when the provider sent one.
    pub refresh_token: Option<Secret>,
    /// `id_token`, when the provider sent one.
    pub id_token: Option<Secret>,
    /// `expires_in`, or [`DEFAULT_LIFETIME`] where it is missing or absurd.
    pub expires_in: Duration,
    /// How long the refresh token lives if it is not used (`refresh_expires_in`, Keycloak; `refresh_token_expires_in`,
    /// AD FS and others), when the provider says so.
    pub refresh_life: Option<Duration>,
    /// `scope`, when it differs from what was asked.
    pub scope: Option<String>,
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
    #[error("the provider refused: status {status}{}", .code.as_deref().map(|code| format!(", error {code}")).unwrap_or_default())]
    Refused {
        /// The status.
        status: StatusCode,
        /// The `error` member (RFC 6749 section 5.2), if there is one.
        code: Option<String>,
        /// `Retry-After`, if there is one.
        retry_after: Option<Duration>,
    },
    /// A success that holds no tokens that we can use.
    #[error("the provider's token response is unusable: {0}")]
    Unusable(&'static str),
}

impl TokenFailure {
    /// Whether the provider does not know who we are, so that nothing was done with what we presented.
    pub(super) fn is_about_the_secret(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => match code.as_deref() {
                Some(code) => matches!(code, "invalid_client" | "incorrect_client_credentials"),
                None => *status == StatusCode::UNAUTHORIZED,
            },
            Self::NotReady | Self::NoAnswer(_) | Self::Unusable(_) => false,
        }
    }
}

/// A provider that asks for more is asked again all the same: what is wrong there may be mended sooner.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How a client says who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    Basic,
    Post,
}

pub(super) struct TokenEndpoint<'a> {
    pub(super) http: &'a HttpClient,
    pub(super) url: &'a str,
    pub(super) auth: ClientAuth,
    pub(super) client_id: &'a str,
    pub(super) client_secret: Option<&'a Secret>,
    pub(super) deadline: Duration,
}

impl TokenEndpoint<'_> {
    /// Presents a grant of any kind for tokens.
    pub(super) async fn request(&self, parameters: &BTreeMap<&str, &str>) -> Result<TokenAnswer, TokenFailure> {
        let request = self.form(parameters).map_err(|_| TokenFailure::Unusable("the endpoint's address is malformed"))?;
        let answer = self.http.fetch(request, self.deadline).await?;
        read(&answer)
    }

    /// A form post with this client's credentials; the revocation endpoint takes the same (RFC 7009 section 2.1).
    pub(super) fn form(&self, parameters: &BTreeMap<&str, &str>) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(parameters);
        let mut request = Request::post(self.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match (self.client_secret, self.auth) {
            (None, _) => {
                form.append_pair("client_id", self.client_id);
            }
            (Some(secret), ClientAuth::Post) => {
                form.append_pair("client_id", self.client_id).append_pair("client_secret", secret.expose());
            }
            (Some(secret), ClientAuth::Basic) => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(self.client_id), encode(secret.expose()));
                request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)));
            }
        }
        request.body(Full::from(form.finish()))
    }
}

fn read(answer: &Answer) -> Result<TokenAnswer, TokenFailure> {
    let members = serde_json::from_slice::<Map<String, Value>>(&answer.body);
    let code =
        members.as_ref().ok().and_then(|members| members.get("error")?.as_str().map(safe_code)).filter(|code| !code.is_empty());
    // GitHub answers errors with 200, so the member decides and not the status.
    if code.is_some() || !answer.status.is_success() {
        return Err(TokenFailure::Refused { status: answer.status, code, retry_after: retry_after(&answer.headers) });
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
        access_token: Secret::new(access_token),
        refresh_token: token("refresh_token"),
        id_token: token("id_token"),
        expires_in: seconds(members.get("expires_in")).unwrap_or(DEFAULT_LIFETIME),
        refresh_life: seconds(members.get("refresh_expires_in").or_else(|| members.get("refresh_token_expires_in"))),
        scope: text("scope").map(str::to_owned),
    })
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
