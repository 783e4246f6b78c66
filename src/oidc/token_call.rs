//! Calls of the token endpoint: the code exchange (RFC 6749 section 4.1.3) and the refresh (section 6).

mod response;

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    ClaimsError, DUMMY_REFRESH_TOKEN, Provider, ProviderError, VerifyError, authorization::CallbackProof, claims::text,
    client_auth::ClientEndpoint, client_credentials::FormPost, discovery::ProviderMetadata, key_cache::KeyPurpose, merge::merge,
};
use crate::{
    clock::Stopwatch,
    identity::Identity,
    jose::{JoseError, SignedToken},
    secret::Secret,
};

pub use response::{TokenFailure, TokenResponse, safe_description};
pub(super) use response::{error_code, refusal};

/// The names of groups that are reported as long, in bytes: many servers take 8 KiB for the whole head of a request.
const LONG_GROUPS: usize = 6 * 1024;

/// The tokens of a login, with the identity that they prove.
#[derive(Debug)]
pub struct VerifiedLogin {
    /// The token endpoint's response.
    pub tokens: TokenResponse,
    /// Who logged in.
    pub identity: Identity,
    /// The identifier of the browser's session at the provider (`sid`), if the ID token has it.
    pub provider_session: Option<String>,
    /// Runs since before the code was presented.
    pub since_code: Stopwatch,
}

/// Why a code brought no login.
#[derive(Debug)]
pub struct FailedExchange {
    /// Why.
    pub error: ProviderError,
    /// The refresh token that it brought all the same, if it is known whose it is said to be.
    pub left_over: Option<Box<UnverifiedToken>>,
}

/// The refresh token of a login that could not be verified.
#[derive(Debug)]
pub struct UnverifiedToken {
    /// The refresh token.
    pub refresh_token: Secret,
    /// Whose it is said to be.
    pub subject: String,
    /// The browser's session at the provider (`sid`), as it is said to be.
    pub provider_session: Option<String>,
}

impl From<ProviderError> for FailedExchange {
    fn from(error: ProviderError) -> Self {
        Self { error, left_over: None }
    }
}

impl UnverifiedToken {
    /// What is left over of a response that cannot be verified. `None` if it has no refresh token, or does not say whose it is: then
    /// nobody can tell whom its revocation would log out.
    fn of(tokens: TokenResponse) -> Option<Self> {
        let (refresh_token, id_token) = (tokens.refresh_token?, tokens.id_token?);
        let token = SignedToken::parse(id_token.expose()).ok()?;
        let claims = &token.unverified().members;
        Some(Self { refresh_token, subject: text(claims, "sub")?, provider_session: text(claims, "sid") })
    }
}

impl Provider {
    /// How long the refresh token of this response lives unused: as the response says, or as is usual of this provider.
    pub fn refresh_lifetime(&self, tokens: &TokenResponse) -> Option<Duration> {
        tokens.refresh_expires_in.or_else(|| self.preset().idle_expiry.lifetime(tokens.expires_in))
    }

    /// Exchanges a code for tokens, verifies them and reads who logged in.
    ///
    /// # Errors
    /// [`FailedExchange`], with any [`ProviderError`] except those of discovery.
    pub async fn exchange_code(
        &self,
        code: &str,
        redirect_uri: &str,
        proof: &CallbackProof,
    ) -> Result<VerifiedLogin, FailedExchange> {
        let login = self.try_exchange_code(code, redirect_uri, proof).await;
        if login.as_ref().is_err_and(|failed| failed.error.casts_doubt_on_metadata()) {
            self.doubt_metadata();
        }
        login
    }

    async fn try_exchange_code(
        &self,
        code: &str,
        redirect_uri: &str,
        proof: &CallbackProof,
    ) -> Result<VerifiedLogin, FailedExchange> {
        let metadata = self.metadata()?;
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", proof.verifier.expose()),
        ];
        let since_code = Stopwatch::start();
        let tokens = self.request_tokens(&metadata, &parameters, None).await.map_err(ProviderError::from)?;
        let mut read = self.read_login(&metadata, &tokens, proof).await;
        // The provider may have begun to sign otherwise since its metadata were read, and the code is good once.
        if let Err(ProviderError::IdToken(VerifyError::Signature(JoseError::Algorithm(_)))) = &read
            && let Some(newer) = self.newer_metadata(&metadata).await
        {
            read = self.read_login(&newer, &tokens, proof).await;
        }
        match read {
            Ok((identity, provider_session)) => Ok(VerifiedLogin { tokens, identity, provider_session, since_code }),
            Err(error) => Err(FailedExchange { error, left_over: UnverifiedToken::of(tokens).map(Box::new) }),
        }
    }

    /// Verifies a login's tokens, and reads who logged in, and the `sid`.
    async fn read_login(
        &self,
        metadata: &ProviderMetadata,
        tokens: &TokenResponse,
        proof: &CallbackProof,
    ) -> Result<(Identity, Option<String>), ProviderError> {
        let mut claims = self.verify_login(metadata, tokens, proof.nonce.expose()).await?.once();
        let subject = text(&claims, "sub").ok_or(ClaimsError::NoSubject)?;
        let provider_session = text(&claims, "sid");
        let tenant = metadata.issuer.tenant(&claims).map(str::to_owned);
        claims = self.with_access_token_claims(metadata, claims, &tokens.access_token, KeyPurpose::Login).await?;
        if let Some(userinfo) = self.fetch_userinfo(metadata, &tokens.access_token, &subject, KeyPurpose::Login).await? {
            claims = merge(claims, userinfo, &self.settings.mapping);
        }
        claims = self.with_groups_of_graph(metadata, claims, &tokens.access_token).await;
        let reader = Some(self.claim_reader().clone());
        let identity = Identity { tenant, reader, ..self.settings.mapping.identity(&claims)? };
        for claim in self.settings.mapping.too_large(&claims) {
            tracing::warn!(
                oidc.issuer = self.issuer(),
                claim,
                "a claim is too large for a header or a rule, and counts as absent"
            );
        }
        let groups: usize = identity.group_names().iter().map(|group| group.len() + 1).sum();
        if groups > LONG_GROUPS {
            tracing::warn!(
                oidc.issuer = self.issuer(),
                groups = identity.group_names().len(),
                bytes = groups,
                "a user is in so many groups that an app or an ingress may refuse the header that names them (431); \
                 CODER_OIDC_GROUP_REGEX_FILTER leaves out what no app asks for"
            );
        }
        Ok((identity, provider_session))
    }

    /// Presents a refresh token.
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<TokenResponse, TokenFailure> {
        self.refresh_if_sent_within(refresh_token, None).await
    }

    /// Presents a refresh token, or fails without having sent it if there is no connection in this time.
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn refresh_if_sent_within(
        &self,
        refresh_token: &Secret,
        sent_within: Option<Duration>,
    ) -> Result<TokenResponse, TokenFailure> {
        let metadata = self.metadata().map_err(|_| TokenFailure::NotReady)?;
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        self.refresh_calls.fetch_add(1, Ordering::Relaxed);
        self.request_tokens(&metadata, &parameters, sent_within).await
    }

    /// Presents [`DUMMY_REFRESH_TOKEN`], to learn whether the token endpoint works and accepts this client.
    ///
    /// # Errors
    /// The failure; a refusal of the token is the expected one.
    pub async fn probe(&self) -> Result<(), TokenFailure> {
        self.refresh(&Secret::new(DUMMY_REFRESH_TOKEN)).await.map(drop)
    }

    pub(super) async fn request_tokens(
        &self,
        metadata: &ProviderMetadata,
        parameters: &[(&str, &str)],
        sent_within: Option<Duration>,
    ) -> Result<TokenResponse, TokenFailure> {
        let post = FormPost {
            endpoint: ClientEndpoint::Token,
            url: &metadata.token_endpoint,
            metadata,
            parameters,
            deadline: self.settings.token_timeout,
            sent_within,
        };
        let requested_at = self.clock.now();
        let response = self.credentials.post(&self.http, post).await?;
        // The redirect URI and the grant type are no secrets; masking them in a description does no harm.
        let presented = parameters.iter().map(|(_, value)| *value).chain(self.credentials.secrets());
        response::read(&response, requested_at, presented)
    }
}
