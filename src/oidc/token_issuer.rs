//! Issuers of tokens at which nobody logs in: a Kubernetes cluster for its service accounts, a CI system for its jobs. Their tokens are
//! JWTs, which the issuer's keys verify (RFC 7519, OpenID Connect Discovery 1.0).

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::{
    AccessToken, AccessTokenError, ClaimMapping, ProxySettings, SHORT_CALL_TIMEOUT, VerifyError,
    access_token::{check_claims, check_type, use_of},
    document::Document,
    http::HttpClient,
    id_token::{time, was_issued_before},
};
use crate::{
    clock::{Clock, Timestamp},
    identity::Identity,
    jose::{Algorithm, JoseError, JsonObject, KeySet, SignedToken, UnknownKeyIds, VerificationOptions},
    lock::Mutex,
    secret::Secret,
    telemetry::logs::causes,
};

/// Where an issuer's metadata are, which name its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerMetadata {
    /// `/.well-known/openid-configuration` (OpenID Connect Discovery section 4).
    OpenIdConnect,
    /// `/.well-known/ssf-configuration` (Shared Signals Framework section 7.2), or else that of OpenID Connect.
    SharedSignals,
}

/// Settings of one issuer (`[[token_issuer]]`).
#[derive(Clone, Debug)]
pub struct TokenIssuerSettings {
    /// The name by which routes take its tokens. Subjects are told to apps behind it, so that no issuer makes a user of another.
    pub name: String,
    /// The issuer (`iss`), exactly as the tokens have it.
    pub issuer: String,
    /// Where its keys are; `None` asks its metadata.
    pub jwks_url: Option<url::Url>,
    /// Its metadata.
    pub metadata: IssuerMetadata,
    /// A file with the token that it wants for its keys, as the API server of Kubernetes does. It is read each time.
    pub token_file: Option<PathBuf>,
    /// The subjects that may come; a star at the end stands for any end.
    pub subjects: Vec<String>,
    /// The paths of further claims, which headers and rules of routes name.
    pub claims: Vec<String>,
    /// `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: ProxySettings,
}

impl TokenIssuerSettings {
    /// The issuer of a provider's signed requests and events.
    pub(super) fn of_events(name: String, issuer: String, proxy: ProxySettings) -> Self {
        Self {
            name,
            issuer,
            jwks_url: None,
            metadata: IssuerMetadata::SharedSignals,
            token_file: None,
            subjects: Vec::new(),
            claims: Vec::new(),
            proxy,
        }
    }
}

/// One issuer.
#[derive(Debug)]
pub struct TokenIssuer {
    settings: TokenIssuerSettings,
    http: HttpClient,
    clock: Clock,
    keys: Mutex<Keys>,
    /// When keys were last asked for. Locked meanwhile, so that others wait for them.
    asked_at: tokio::sync::Mutex<Option<Timestamp>>,
}

/// The issuer's keys, as they were at one time.
#[derive(Clone, Debug, Default)]
struct Keys {
    set: Arc<KeySet>,
    fetched_at: Option<Timestamp>,
}

/// The shortest time between two fetches of keys: anybody can cause one.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// Keys that are older than this are asked for again, because one may have been withdrawn.
const KEYS_ARE_FRESH_FOR: Duration = Duration::from_secs(3600);

impl TokenIssuer {
    /// An issuer that is not called before it is needed.
    pub fn new(settings: TokenIssuerSettings, tls: rustls::ClientConfig, clock: Clock) -> Self {
        let http = HttpClient::new(tls, settings.proxy.clone());
        Self { settings, http, clock, keys: Mutex::default(), asked_at: Default::default() }
    }

    /// The name by which routes take its tokens.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether a token says that it is this issuer's.
    pub fn has_issued(&self, claims: &JsonObject) -> bool {
        claims.members.get("iss").and_then(Value::as_str) == Some(&self.settings.issuer)
    }

    /// Verifies a token of this issuer.
    ///
    /// # Errors
    /// [`AccessTokenError`].
    pub async fn verify(self: &Arc<Self>, token: &Secret) -> Result<AccessToken, AccessTokenError> {
        let parsed = SignedToken::parse(token.expose()).map_err(VerifyError::from)?;
        check_type(&parsed)?;
        if !self.has_issued(parsed.unverified()) {
            return Err(AccessTokenError::because("its iss is another issuer"));
        }
        let claims = self.verify_signature(token).await?;
        check_claims(&claims, self.clock.now())?;
        let Some(expires_at) = time(&claims, "exp") else {
            return Err(AccessTokenError::because("it has no exp that is a time"));
        };
        let mapping = ClaimMapping {
            // Whose users may be named like those of the provider, and are others.
            username: String::new(),
            name: String::new(),
            email: String::new(),
            further: self.settings.claims.clone(),
            ..ClaimMapping::default()
        };
        let (audiences, client, scopes) = use_of(&claims);
        let issued_at = time(&claims, "iat");
        let identity = mapping.identity(&claims.once());
        let identity = identity.map_err(|_| AccessTokenError::because("it has no sub that is a text"))?;
        if !self.settings.subjects.iter().any(|pattern| matches(pattern, &identity.subject)) {
            return Err(AccessTokenError::because("its sub is none of the issuer's subjects"));
        }
        let subject = format!("{}:{}", self.settings.name, identity.subject);
        let identity = Identity { subject, ..identity };
        let expires_at = Some(expires_at);
        Ok(AccessToken {
            identity,
            other_names: Vec::new(),
            audiences,
            client,
            scopes,
            issued_at,
            expires_at,
            is_self_contained: true,
        })
    }

    /// The issuer, exactly as its tokens have it.
    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Verifies the signature by the keys at hand, or else by newer ones.
    pub(super) async fn verify_signature(self: &Arc<Self>, token: &Secret) -> Result<JsonObject, AccessTokenError> {
        let Keys { set: keys, fetched_at } = self.keys();
        if fetched_at.is_some_and(|at| !self.clock.now().is_within(KEYS_ARE_FRESH_FOR, at)) {
            // Nobody waits for it: while the issuer is away, its keys are the best that is known.
            let (this, keys) = (Arc::clone(self), Arc::clone(&keys));
            tokio::spawn(async move { this.newer_keys(&keys).await.map(drop) });
        }
        match verify_with(token, &keys) {
            Err(error) if error.may_need_newer_keys() => {
                let newer = self.newer_keys(&keys).await.map_err(AccessTokenError::Unavailable)?;
                if Arc::ptr_eq(&newer, &keys) && !error.is_by_no_named_key() && !was_issued_before(token.expose(), fetched_at) {
                    // Anybody may have used up the rate limit, so that a token that may be good is not refused for good.
                    let why = format!("keys were asked for a moment ago, and by those {error}");
                    return Err(AccessTokenError::Unavailable(why));
                }
                Ok(verify_with(token, &newer).map_err(VerifyError::from)?)
            }
            judged => Ok(judged.map_err(VerifyError::from)?),
        }
    }

    fn keys(&self) -> Keys {
        self.keys.lock().clone()
    }

    /// Keys newer than `seen`, unless they were asked for a moment ago. Whoever has waited for a fetch that failed does not begin
    /// another.
    async fn newer_keys(&self, seen: &Arc<KeySet>) -> Result<Arc<KeySet>, String> {
        let mut asked_at = self.asked_at.lock().await;
        let (Keys { set: newest, fetched_at }, now) = (self.keys(), self.clock.now());
        if !Arc::ptr_eq(&newest, seen) {
            return Ok(newest);
        }
        if asked_at.is_some_and(|at| now.is_within(MIN_FETCH_INTERVAL, at)) {
            return if fetched_at.is_some() { Ok(newest) } else { Err("keys were asked for a moment ago".to_owned()) };
        }
        *asked_at = Some(now);
        let fetched = self.fetch_keys().await;
        *asked_at = Some(self.clock.now());
        let set = Arc::new(fetched.inspect_err(|error| {
            tracing::warn!(oidc.issuer = self.settings.issuer, error, "the keys of an issuer of tokens cannot be fetched");
        })?);
        let keys = Keys { set: Arc::clone(&set), fetched_at: Some(self.clock.now()) };
        *self.keys.lock() = keys;
        Ok(set)
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let address = match &self.settings.jwks_url {
            Some(address) => address.to_string(),
            None => self.discovered_jwks_url().await?,
        };
        KeySet::parse(&self.fetch(&address, Document::Keys).await?).map_err(|error| error.to_string())
    }

    /// Where the metadata say that the keys are. They must be this issuer's (OpenID Connect Discovery section 4.3).
    async fn discovered_jwks_url(&self) -> Result<String, String> {
        let metadata = self.fetch_metadata().await?;
        let metadata = JsonObject::parse(&metadata).ok_or("its metadata are no JSON object")?;
        if metadata.members.get("issuer").and_then(Value::as_str) != Some(&self.settings.issuer) {
            return Err("its metadata are another issuer's".to_owned());
        }
        let found = metadata.members.get("jwks_uri").and_then(Value::as_str).ok_or("its metadata name no jwks_uri")?;
        let address = url::Url::parse(found).map_err(|_| "its jwks_uri is no URL")?;
        let is_safe = address.scheme() == "https" || super::is_loopback(&address);
        if is_safe { Ok(address.into()) } else { Err("its jwks_uri is not https".to_owned()) }
    }

    async fn fetch_metadata(&self) -> Result<Bytes, String> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        if let (IssuerMetadata::SharedSignals, Some(address)) = (self.settings.metadata, ssf_configuration(issuer)) {
            match self.fetch(&address, Document::Metadata).await {
                Ok(found) => return Ok(found),
                Err(error) => tracing::debug!(oidc.issuer = issuer, error, "a transmitter has no metadata of shared signals"),
            }
        }
        self.fetch(&format!("{issuer}/.well-known/openid-configuration"), Document::Metadata).await
    }

    async fn fetch(&self, address: &str, document: Document) -> Result<Bytes, String> {
        let mut request = Request::get(address).header(header::ACCEPT, document.media_types());
        if let Some(path) = &self.settings.token_file {
            let token = std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let request = request.body(Full::default()).map_err(|_| "its address or its token file is malformed")?;
        let response = self.http.send(request, SHORT_CALL_TIMEOUT).await.map_err(|error| causes(&error))?;
        match response.status {
            StatusCode::OK => Ok(response.body),
            status => Err(format!("it answered status {status}")),
        }
    }
}

/// The address of a transmitter's metadata: what is well known stands before the issuer's path (Shared Signals Framework section 7.2.1).
fn ssf_configuration(issuer: &str) -> Option<String> {
    let mut address = url::Url::parse(issuer).ok()?;
    let path = address.path().trim_end_matches('/').to_owned();
    address.set_path(&format!("/.well-known/ssf-configuration{path}"));
    Some(address.into())
}

fn verify_with(token: &Secret, keys: &KeySet) -> Result<JsonObject, JoseError> {
    let options = VerificationOptions {
        algorithms: &Algorithm::ASYMMETRIC,
        keys,
        key_issuer: None,
        unknown_key_ids: UnknownKeyIds::Reject,
        secrets: &[],
    };
    SignedToken::parse(token.expose())?.verify(options).map(|(claims, _)| claims)
}

/// Whether a subject is as a pattern says, which is whole unless it ends in a star.
fn matches(pattern: &str, subject: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == subject, |start| subject.starts_with(start))
}

#[cfg(test)]
impl TokenIssuer {
    /// An issuer that nobody reaches.
    pub(crate) fn of_test() -> Self {
        let settings = TokenIssuerSettings {
            name: "test".to_owned(),
            issuer: "https://issuer.test".to_owned(),
            jwks_url: None,
            metadata: IssuerMetadata::OpenIdConnect,
            token_file: None,
            subjects: Vec::new(),
            claims: Vec::new(),
            proxy: ProxySettings::default(),
        };
        let tls = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        Self::new(settings, tls, Clock::manual())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_of_a_transmitter_are_before_its_path() {
        for (issuer, expected) in [
            ("https://tr.example", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/tenant/1", "https://tr.example/.well-known/ssf-configuration/tenant/1"),
        ] {
            assert_eq!(ssf_configuration(issuer).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_subject_is_compared_whole_unless_the_pattern_ends_in_a_star() {
        for (pattern, subject, expected) in [
            ("system:serviceaccount:ci:deployer", "system:serviceaccount:ci:deployer", true),
            ("system:serviceaccount:ci:deployer", "system:serviceaccount:ci:deployer2", false),
            ("system:serviceaccount:ci:*", "system:serviceaccount:ci:deployer", true),
            ("system:serviceaccount:ci:*", "system:serviceaccount:ci2:deployer", false),
            ("*", "anybody", true),
            ("repo:*:main", "repo:x:main", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
