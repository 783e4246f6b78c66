//! Issuers of tokens at which nobody logs in: a Kubernetes cluster for its service accounts, a CI system for its jobs. Their tokens are
//! JWTs, which the issuer's keys verify (RFC 7519, OpenID Connect Discovery 1.0).

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::{
    AccessToken, AccessTokenError, ClaimMapping, OtherNames, ProxySettings, SHORT_CALL_TIMEOUT, VerifyError,
    access_token::{check_claims, check_type, use_of},
    document::{Document, NO_KEY, read_keys},
    http::HttpClient,
    id_token::time,
    issuer::is_same_issuer,
    key_cache::{KeyCache, KeyPurpose},
};
use crate::{
    clock::Clock,
    identity::Identity,
    jose::{Algorithm, JoseError, JsonObject, KeySet, SignedToken, VerificationOptions},
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
    keys: KeyCache,
}

impl TokenIssuer {
    /// An issuer that is not called before it is needed.
    pub fn new(settings: TokenIssuerSettings, tls: rustls::ClientConfig, clock: Clock) -> Self {
        let http = HttpClient::new(tls, settings.proxy.clone());
        Self { settings, http, keys: KeyCache::new(clock.clone()), clock }
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
        let claims = self.verify_signature(token.expose(), KeyPurpose::AccessToken).await?;
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
            other_names: OtherNames::default(),
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

    /// Verifies the signature by the keys at hand, or else by newer ones (`KeyCache::verify`).
    pub(super) async fn verify_signature(
        self: &Arc<Self>,
        token: &str,
        purpose: KeyPurpose,
    ) -> Result<JsonObject, AccessTokenError> {
        if self.keys.begin_refresh() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.keys.keep(this.request_keys()).await.map(drop) });
        }
        let verified = self.keys.verify(token, purpose, |keys| verify_with(token, keys, purpose), self.request_keys()).await;
        let why = |error| format!("the keys of its issuer could not be fetched: {error}");
        Ok(verified.map_err(|error| AccessTokenError::Unavailable(why(error)))?.map_err(VerifyError::from)?)
    }

    /// The keys as they are published now. Why there are none is logged.
    async fn request_keys(&self) -> Result<KeySet, String> {
        self.published_keys().await.inspect_err(|error| {
            tracing::warn!(oidc.issuer = self.settings.issuer, error, "the keys of an issuer of tokens cannot be fetched");
        })
    }

    async fn published_keys(&self) -> Result<KeySet, String> {
        let address = match &self.settings.jwks_url {
            Some(address) => address.to_string(),
            None => self.discovered_jwks_url().await?,
        };
        let keys = read_keys(&self.settings.issuer, &self.fetch(&address, Document::Keys).await?)?;
        if keys.is_empty() { Err(NO_KEY.to_owned()) } else { Ok(keys) }
    }

    /// Where the metadata say that the keys are. They must be this issuer's (OpenID Connect Discovery section 4.3); as in events, a
    /// transmitter's may have a slash more at the end.
    async fn discovered_jwks_url(&self) -> Result<String, String> {
        let metadata = self.fetch_metadata().await?;
        let metadata = JsonObject::parse(&metadata).ok_or("its metadata are no JSON object")?;
        let is_own = |name: &str| match self.settings.metadata {
            IssuerMetadata::OpenIdConnect => name == self.settings.issuer,
            IssuerMetadata::SharedSignals => is_same_issuer(name, &self.settings.issuer),
        };
        if !metadata.members.get("issuer").and_then(Value::as_str).is_some_and(is_own) {
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

fn verify_with(token: &str, keys: &KeySet, purpose: KeyPurpose) -> Result<JsonObject, JoseError> {
    let options = VerificationOptions {
        algorithms: &Algorithm::ASYMMETRIC,
        keys,
        key_issuer: None,
        unknown_key_ids: purpose.unknown_key_ids(),
        secrets: &[],
    };
    SignedToken::parse(token)?.verify(options).map(|(claims, _)| claims)
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
