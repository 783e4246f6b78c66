//! How this client proves to the provider who it is (RFC 6749 section 2.3.1), the same way on every kind of call: token
//! requests, revocation (RFC 7009 section 2.1) and introspection (RFC 7662 section 2.1).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::prelude::*;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use url::form_urlencoded;

use super::{
    http::{Answer, FetchError, HttpClient},
    token_call::error_code,
};
use crate::secret::Secret;

/// How a client says who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    Basic,
    Post,
}

/// What this client proves itself with: a secret, and the other one while secrets are being rotated.
#[derive(Debug)]
pub(super) struct Credentials {
    client_id: String,
    secret: Option<Secret>,
    previous: Option<Secret>,
    /// The provider takes the previous secret still, or takes it again.
    uses_previous: AtomicBool,
}

/// With less time than this left, the other secret is not tried: a clear refusal is worth more than a call that was cut off.
const SHORTEST_TRY: Duration = Duration::from_secs(1);

/// One authenticated form post.
#[derive(Clone, Copy)]
pub(super) struct Post<'a> {
    pub(super) url: &'a str,
    pub(super) auth: ClientAuth,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) deadline: Duration,
}

impl Credentials {
    pub(super) fn new(client_id: String, secret: Option<Secret>, previous: Option<Secret>) -> Self {
        Self { client_id, secret, previous, uses_previous: AtomicBool::new(false) }
    }

    /// All secrets of this client, which nothing that the provider says may repeat in a log.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.previous).map(Secret::expose)
    }

    /// Posts a form, and once more with the other secret if there is one and this one is refused: a client that is not
    /// recognised has presented nothing. Both posts share one deadline.
    #[expect(clippy::disallowed_methods, reason = "what is left of a deadline has nothing to do with tokens' times")]
    pub(super) async fn post(&self, http: &HttpClient, post: Post<'_>) -> Result<Answer, FetchError> {
        let started = std::time::Instant::now();
        let with_previous = self.uses_previous.load(Ordering::Acquire);
        let first = http.ask(self.form(post, with_previous)?, post.deadline).await?;
        if self.previous.is_none() || !is_about_credentials(&first) {
            return Ok(first);
        }
        let left = post.deadline.saturating_sub(started.elapsed());
        if left < SHORTEST_TRY {
            return Ok(first);
        }
        let second = http.ask(self.form(post, !with_previous)?, left).await?;
        if is_about_credentials(&second) {
            return Ok(first);
        }
        // A server that fails says nothing of either secret.
        if !second.status.is_server_error() && self.uses_previous.swap(!with_previous, Ordering::AcqRel) == with_previous {
            let secret = if with_previous { "new" } else { "previous" };
            tracing::info!("the provider takes the {secret} client secret");
        }
        Ok(second)
    }

    fn form(&self, post: Post<'_>, with_previous: bool) -> Result<Request<Full<Bytes>>, FetchError> {
        let secret = if with_previous { &self.previous } else { &self.secret };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(BTreeMap::from_iter(post.parameters.iter().copied()));
        let mut request = Request::post(post.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match (secret, post.auth) {
            (None, _) => {
                form.append_pair("client_id", &self.client_id);
            }
            (Some(secret), ClientAuth::Post) => {
                form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret.expose());
            }
            (Some(secret), ClientAuth::Basic) => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.client_id), encode(secret.expose()));
                request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)));
            }
        }
        request.body(Full::from(form.finish())).map_err(|error| FetchError::NotSent(Arc::new(error)))
    }
}

/// Whether an answer says that the provider does not take this client for who it says it is, so that nothing was done with
/// what it presented. Keycloak says `unauthorized_client`, with 401, where RFC 6749 section 5.2 has `invalid_client`.
fn is_about_credentials(answer: &Answer) -> bool {
    if answer.status.is_success() && error_code(&answer.body).is_none() {
        return false;
    }
    answer.status == StatusCode::UNAUTHORIZED
        || error_code(&answer.body).is_some_and(|code| {
            matches!(code.as_str(), "invalid_client" | "unauthorized_client" | "incorrect_client_credentials")
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn any_401_and_both_codes_are_about_the_credentials() {
        let judged = |status: u16, body: &'static str| {
            is_about_credentials(&Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from(body),
            })
        };
        assert!(judged(401, r#"{"error":"unauthorized_client"}"#) && judged(401, "") && judged(401, "<html>"));
        assert!(judged(400, r#"{"error":"invalid_client"}"#) && judged(400, r#"{"error":"unauthorized_client"}"#));
        assert!(judged(200, r#"{"error":"incorrect_client_credentials"}"#));
        for (status, body) in [
            (400, r#"{"error":"invalid_grant"}"#),
            (200, r#"{"access_token":"a"}"#),
            (500, ""),
            (403, ""),
            (200, r#"{"active":false}"#),
        ] {
            assert!(!judged(status, body), "{status} {body}");
        }
    }
}
