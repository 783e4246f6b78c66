//! The client's identifier and secrets, and the form posts that present them. While a secret is being rotated there are two.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use url::form_urlencoded::Serializer;

use super::{
    client_auth::{ClientAuth, is_client_auth_error},
    http::{FetchError, HttpClient, HttpResponse},
};
use crate::secret::Secret;

/// The client's identifier, its secret, and the previous secret while secrets are being rotated.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    client_id: String,
    secret: Option<Secret>,
    previous: Option<Secret>,
    /// The provider accepts the previous secret still, or again.
    uses_previous_secret: AtomicBool,
}

/// With less time left than this the other secret is not tried: a clear refusal is worth more than a call that is cut off.
const MIN_RETRY_TIME: Duration = Duration::from_secs(1);

/// One authenticated form post.
#[derive(Clone, Copy)]
pub(super) struct FormPost<'a> {
    pub(super) url: &'a str,
    pub(super) auth: ClientAuth,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) deadline: Duration,
}

impl ClientCredentials {
    pub(super) fn new(client_id: String, secret: Option<Secret>, previous: Option<Secret>) -> Self {
        Self { client_id, secret, previous, uses_previous_secret: AtomicBool::new(false) }
    }

    /// All secrets of this client, which must not be repeated in a log.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.previous).map(Secret::expose)
    }

    /// Posts a form, and once more with the other secret if there is one and the first is refused: a client that fails to
    /// authenticate has presented nothing. Both posts share one deadline.
    #[expect(clippy::disallowed_methods, reason = "the rest of a deadline has nothing to do with tokens' times")]
    pub(super) async fn post(&self, http: &HttpClient, post: FormPost<'_>) -> Result<HttpResponse, FetchError> {
        let started = std::time::Instant::now();
        let with_previous = self.uses_previous_secret.load(Ordering::Acquire);
        let first = http.call_endpoint(self.request(post, with_previous)?, post.deadline).await?;
        if self.previous.is_none() || !is_client_auth_error(&first) {
            return Ok(first);
        }
        let left = post.deadline.saturating_sub(started.elapsed());
        if left < MIN_RETRY_TIME {
            return Ok(first);
        }
        let second = http.call_endpoint(self.request(post, !with_previous)?, left).await?;
        if is_client_auth_error(&second) {
            return Ok(first);
        }
        // A server error says nothing about either secret.
        if !second.status.is_server_error() && self.uses_previous_secret.swap(!with_previous, Ordering::AcqRel) == with_previous {
            let secret = if with_previous { "new" } else { "previous" };
            tracing::info!("provider accepts the {secret} client secret");
        }
        Ok(second)
    }

    fn request(&self, post: FormPost<'_>, with_previous: bool) -> Result<Request<Full<Bytes>>, FetchError> {
        let secret = if with_previous { &self.previous } else { &self.secret };
        let mut form = Serializer::new(String::new());
        form.extend_pairs(BTreeMap::from_iter(post.parameters.iter().copied()));
        let request = Request::post(post.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        let request = post.auth.apply(&self.client_id, secret.as_ref(), &mut form, request);
        request.body(Full::from(form.finish())).map_err(|error| FetchError::NotSent(Arc::new(error)))
    }
}
