//! The client's identifier, and its secrets or its key, and the form posts that present them. While a secret is being rotated there
//! are two.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::prelude::*;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use url::form_urlencoded::Serializer;

use super::{
    Settings,
    client_assertion::{self, ASSERTION_TYPE},
    client_auth::{
        ClientAuthVariant, ClientEndpoint, form_encoded, is_client_auth_error, is_malformed_request, proves_client_auth,
    },
    client_key::{ClientKey, ClientKeyError},
    discovery::ProviderMetadata,
    http::{Deadlines, FetchError, HttpClient, HttpResponse},
    learnt_auth::LearntAuth,
    preset::Audience,
};
use crate::{
    clock::{Clock, Stopwatch},
    jose::SigningKey,
    secret::Secret,
};

/// The client's identifier, its secret or its private key, and the previous secret while secrets are being rotated.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    issuer: String,
    client_id: String,
    secret: Option<Secret>,
    previous: Option<Secret>,
    key: Option<ClientKey>,
    /// The provider accepts the previous secret still, or again.
    uses_previous_secret: AtomicBool,
    learnt: LearntAuth,
    /// Held while another form of authentication is tried, so that concurrent calls learn from one.
    learning: tokio::sync::Mutex<()>,
    clock: Clock,
}

/// With less time left than this nothing else is tried: a clear refusal is worth more than a call that is cut off.
const MIN_RETRY_TIME: Duration = Duration::from_secs(1);

/// One authenticated form post.
#[derive(Clone, Copy)]
pub(super) struct FormPost<'a> {
    pub(super) endpoint: ClientEndpoint,
    pub(super) url: &'a str,
    pub(super) metadata: &'a ProviderMetadata,
    pub(super) parameters: &'a [(&'a str, &'a str)],
    pub(super) deadline: Duration,
    /// How long after its beginning it may still be sent, if that is limited.
    pub(super) sent_within: Option<Duration>,
}

/// How one attempt of a post authenticates.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Attempt {
    variant: ClientAuthVariant,
    with_previous: bool,
}

impl Attempt {
    fn with_other_secret(self) -> Self {
        Self { with_previous: !self.with_previous, ..self }
    }
}

/// A post that is under way.
struct Call<'a> {
    http: &'a HttpClient,
    post: FormPost<'a>,
    started: Stopwatch,
}

impl Call<'_> {
    /// What is left of the deadline, if that is worth another attempt.
    fn time_left(&self) -> Option<Duration> {
        Some(self.post.deadline.saturating_sub(self.started.elapsed())).filter(|left| *left >= MIN_RETRY_TIME)
    }

    /// The deadlines of an attempt of it that has `left` to be answered.
    fn deadlines(&self, left: Duration) -> Deadlines {
        let deadlines = Deadlines::from(left);
        let connecting = self.post.sent_within.map(|within| within.saturating_sub(self.started.elapsed()));
        Deadlines { connecting: connecting.map_or(deadlines.connecting, |within| within.min(deadlines.connecting)), ..deadlines }
    }
}

impl ClientCredentials {
    /// The credentials of the settings, for which the key is read.
    ///
    /// # Errors
    /// [`ClientKeyError`].
    pub(super) fn new(settings: &Settings, clock: Clock) -> Result<Self, ClientKeyError> {
        Ok(Self {
            issuer: settings.issuer.clone(),
            client_id: settings.client_id.clone(),
            secret: settings.client_secret.clone(),
            previous: settings.previous_secret.clone(),
            key: settings.client_key.clone().map(ClientKey::load).transpose()?,
            uses_previous_secret: AtomicBool::new(false),
            learnt: LearntAuth::default(),
            learning: tokio::sync::Mutex::default(),
            clock,
        })
    }

    /// All secrets of this client, which must not be repeated in a log.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.previous).map(Secret::expose)
    }

    /// Posts a form. If the provider refuses to authenticate the client, the form is posted again with the other secret, if there
    /// is one, and then in one other form of authentication, if one is to be tried: a client that fails to authenticate has
    /// presented nothing. All posts share one deadline.
    pub(super) async fn post(&self, http: &HttpClient, post: FormPost<'_>) -> Result<HttpResponse, FetchError> {
        let call = Call { http, post, started: Stopwatch::start() };
        let first = Attempt { variant: self.variant(post), with_previous: self.uses_previous_secret.load(Ordering::Acquire) };
        let response = http.call_endpoint(self.request(post, first)?, call.deadlines(post.deadline)).await?;
        if !is_client_auth_error(&response) {
            if proves_client_auth(&response) {
                self.learnt.confirm(post.endpoint);
            }
            return Ok(response);
        }
        if self.previous.is_some()
            && let Some(accepted) = self.try_again(&call, first, first.with_other_secret()).await?
        {
            return Ok(accepted);
        }
        Ok(self.try_another_variant(&call, first).await?.unwrap_or(response))
    }

    fn variant(&self, post: FormPost<'_>) -> ClientAuthVariant {
        self.learnt.current(post.endpoint, post.metadata.client_auth(post.endpoint)).unwrap_or(ClientAuthVariant::None)
    }

    /// Tries another form of authentication, unless there is none or none is to be tried now. `None`: the refusal stands.
    async fn try_another_variant(&self, call: &Call<'_>, refused: Attempt) -> Result<Option<HttpResponse>, FetchError> {
        let (endpoint, variants) = (call.post.endpoint, call.post.metadata.client_auth(call.post.endpoint));
        let (true, Some(left)) = (variants.len() > 1, call.time_left()) else { return Ok(None) };
        let Ok(learning) = tokio::time::timeout(left, self.learning.lock()).await else { return Ok(None) };
        let learnt_meanwhile = Some(self.variant(call.post)).filter(|variant| *variant != refused.variant);
        let _learning = learnt_meanwhile.is_none().then_some(learning);
        let next = learnt_meanwhile.or_else(|| self.learnt.next(endpoint, variants, refused.variant, self.clock.now()));
        let Some(variant) = next else { return Ok(None) };
        let other = Attempt { variant, with_previous: self.uses_previous_secret.load(Ordering::Acquire) };
        match self.try_again(call, refused, other).await? {
            None if self.previous.is_some() => self.try_again(call, refused, other.with_other_secret()).await,
            response => Ok(response),
        }
    }

    /// Posts once more, authenticating as in `other`. `None` if there is no time left, or if that is refused too.
    async fn try_again(&self, call: &Call<'_>, first: Attempt, other: Attempt) -> Result<Option<HttpResponse>, FetchError> {
        let Some(left) = call.time_left() else { return Ok(None) };
        let response = call.http.call_endpoint(self.request(call.post, other)?, call.deadlines(left)).await?;
        if is_client_auth_error(&response) || (other.variant != first.variant && is_malformed_request(&response)) {
            return Ok(None);
        }
        self.learn(call.post, first, other, &response);
        Ok(Some(response))
    }

    /// Remembers what the provider has accepted after a refusal.
    fn learn(&self, post: FormPost<'_>, refused: Attempt, accepted: Attempt, response: &HttpResponse) {
        if accepted.variant != refused.variant && proves_client_auth(response) && self.variant(post) != accepted.variant {
            self.learnt.accept(post.endpoint, accepted.variant, self.clock.now());
            tracing::info!(
                "provider accepts this client with {}, not with {}; CODER_OIDC_CLIENT_AUTH_METHOD can say so",
                accepted.variant.name(),
                refused.variant.name()
            );
        }
        // A server error says nothing about either secret.
        let with_previous = accepted.with_previous;
        if !response.status.is_server_error() && self.uses_previous_secret.swap(with_previous, Ordering::AcqRel) != with_previous
        {
            let secret = if with_previous { "previous" } else { "new" };
            tracing::info!("provider accepts the {secret} client secret");
        }
    }

    fn request(&self, post: FormPost<'_>, attempt: Attempt) -> Result<Request<Full<Bytes>>, FetchError> {
        let secret = if attempt.with_previous { &self.previous } else { &self.secret };
        let secret = secret.as_ref().map(Secret::expose).unwrap_or_default();
        let mut form: BTreeMap<&str, Cow<'_, str>> =
            post.parameters.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let mut basic = None;
        match attempt.variant {
            ClientAuthVariant::Basic => basic = Some(format!("{}:{}", form_encoded(&self.client_id), form_encoded(secret))),
            ClientAuthVariant::BasicUnencoded => basic = Some(format!("{}:{secret}", self.client_id)),
            ClientAuthVariant::Post => {
                form.extend([("client_id", self.client_id.as_str().into()), ("client_secret", secret.into())]);
            }
            ClientAuthVariant::SecretJwt(audience) => {
                let key = SigningKey::from_secret(&Secret::new(secret));
                form.extend(self.assertion(post, &key, audience)?);
            }
            ClientAuthVariant::PrivateKeyJwt(audience) => {
                let key = self.key.as_ref().map(ClientKey::current).ok_or_else(|| not_sent(NoKey))?;
                form.extend(self.assertion(post, &key, audience)?);
            }
            ClientAuthVariant::None => drop(form.insert("client_id", self.client_id.as_str().into())),
        }
        let mut request = Request::post(post.url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(pair) = basic {
            request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)));
        }
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        request.body(Full::from(body)).map_err(not_sent)
    }

    /// The parameters of an assertion (RFC 7521 section 4.2), signed with the first of the key's algorithms that the endpoint
    /// lists. The client's identifier is optional there, and Entra ID wants it.
    fn assertion(
        &self,
        post: FormPost<'_>,
        key: &SigningKey,
        audience: Audience,
    ) -> Result<[(&'static str, Cow<'_, str>); 3], FetchError> {
        let audience = match audience {
            Audience::TokenEndpoint => &post.metadata.token_endpoint,
            Audience::Issuer => &self.issuer,
            Audience::CalledEndpoint => post.url,
        };
        let algorithms = key.algorithms();
        let listed = algorithms.iter().find(|algorithm| post.metadata.signs_client_assertions_with(post.endpoint, **algorithm));
        let algorithm = *listed.or(algorithms.first()).ok_or_else(|| not_sent(NoKey))?;
        let assertion = key.sign(algorithm, &client_assertion::claims(&self.client_id, audience, self.clock.now()));
        Ok([
            ("client_id", self.client_id.as_str().into()),
            ("client_assertion_type", ASSERTION_TYPE.into()),
            ("client_assertion", assertion.map_err(not_sent)?.into()),
        ])
    }
}

/// The client is to sign, and has nothing to sign with. The settings are checked, so that this does not happen.
#[derive(Debug, thiserror::Error)]
#[error("there is no key to sign the client's assertion with")]
struct NoKey;

/// The request could not be made.
fn not_sent(error: impl std::error::Error + Send + Sync + 'static) -> FetchError {
    FetchError::NotSent(Arc::new(error))
}
