//! One provider: found in the background, asked when needed.

mod asking;
mod logout;

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::Full;

use url::Url;

use super::{
    Demand, PROBE, ProviderError, SHORT_CALL, Settings,
    client_auth::{Credentials, Post},
    discovery::Known,
    http::HttpClient,
    introspection::{self, Introspection},
    keys::{Keys, Purpose},
    login::{self, Ask, CallbackProof},
    logout_token::{self, LogoutToken},
    merge::merge,
    preset::{Preset, RotationClass},
    token_call::{self, TokenAnswer, TokenFailure},
};
use crate::{
    clock::Clock,
    grant::Fingerprint,
    identity::Identity,
    jose::{Algorithm, JoseError, Token},
    secret::Secret,
};

/// The provider, and all that we know of it.
#[derive(Debug)]
pub struct Provider {
    pub(super) settings: Settings,
    pub(super) http: HttpClient,
    pub(super) clock: Clock,
    pub(super) known: RwLock<Option<Arc<Known>>>,
    /// What the provider called itself when it was last looked for, where that is another issuer than the setting's.
    pub(super) mismatch: RwLock<Option<String>>,
    pub(super) keys: Keys,
    /// What its last ID token was signed with.
    signed_with: Mutex<Option<Algorithm>>,
    credentials: Credentials,
    /// The last discovery failed by what the settings or the metadata say, and not because nobody answered.
    pub(super) misconfigured: AtomicBool,
    /// A login with `prompt=consent` brought no refresh token either.
    consent_is_in_vain: AtomicBool,
    fingerprint: Fingerprint,
}

/// Tokens of a login, with the identity that they prove.
#[derive(Debug)]
pub struct Signed {
    /// The answer of the token endpoint.
    pub answer: TokenAnswer,
    /// Who logged in.
    pub identity: Identity,
    /// The provider's name for the browser's session there (`sid`), where it tells it.
    pub provider_session: Option<String>,
}

impl Provider {
    /// A provider that is not asked before [`Provider::keep_known`] runs.
    pub fn new(settings: Settings, tls: rustls::ClientConfig, clock: Clock) -> Self {
        let asked = (&settings.issuer, &settings.client_id, &settings.scopes, &settings.auth_params);
        let read = (&settings.mapping, settings.ignore_userinfo);
        Self {
            fingerprint: Fingerprint::of(&format!("{asked:?} {read:?}")),
            http: HttpClient::new(tls),
            credentials: Credentials::new(
                settings.client_id.clone(),
                settings.client_secret.clone(),
                settings.previous_secret.clone(),
            ),
            settings,
            clock,
            known: RwLock::default(),
            mismatch: RwLock::default(),
            keys: Keys::default(),
            signed_with: Mutex::default(),
            misconfigured: AtomicBool::new(false),
            consent_is_in_vain: AtomicBool::new(false),
        }
    }

    /// Its issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The client that we are to it.
    pub fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// What is known of its habits.
    pub fn preset(&self) -> &'static Preset {
        let settings = &self.settings;
        self.known().map_or_else(|_| settings.preset.unwrap_or_else(|| Preset::of(&settings.issuer, &[])), |known| known.preset)
    }

    /// What becomes of a refresh token that was used: as the administrator knows it, or as the preset does.
    pub fn rotation(&self) -> RotationClass {
        self.settings.rotation_grace.map_or(self.preset().rotation, RotationClass::Grace)
    }

    /// How long a token call may take in all.
    pub fn token_timeout(&self) -> Duration {
        self.settings.token_timeout
    }

    /// Of the settings that decide what a login brings. Grants with another one were obtained otherwise.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Whether it has been found.
    pub fn is_ready(&self) -> bool {
        self.known().is_ok()
    }

    /// Whether it was asked for something at an address of its metadata where there is no such thing.
    pub fn is_missing_an_endpoint(&self) -> bool {
        self.http.is_missing_an_endpoint()
    }

    /// What it demands that we cannot do, so that logins fail.
    pub fn demands(&self) -> Vec<Demand> {
        self.known().map(|known| known.demands.clone()).unwrap_or_default()
    }

    /// Whether a login that was to bring a refresh token, and brought none, is worth repeating with `prompt=consent`: the
    /// provider is known for it, or leaves `offline_access` out without consent, as OIDC Core section 11 has it, and says
    /// that consent can be asked for. Not where that was of no use before: nobody is to agree at each login for nothing.
    pub fn wants_consent(&self) -> bool {
        let Ok(known) = self.known() else { return false };
        let might_help = known.asks_consent && known.plan.asks_offline_access();
        known.preset.wants_consent || (might_help && !self.consent_is_in_vain.load(Ordering::Relaxed))
    }

    /// A login with `prompt=consent` brought a refresh token, or none.
    pub fn note_consent(&self, helped: bool) {
        self.consent_is_in_vain.store(!helped, Ordering::Relaxed);
    }

    pub(super) fn known(&self) -> Result<Arc<Known>, ProviderError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.ok_or_else(|| match self.mismatch.read().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(found) => ProviderError::IssuerMismatch { expected: self.settings.issuer.clone(), found },
            None if self.is_misconfigured() => ProviderError::Misconfigured,
            None => ProviderError::NotReady,
        })
    }

    /// Whether it could not be found, the last time that it was looked for, for a reason that only an administrator can mend.
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.load(Ordering::Acquire)
    }

    pub(super) fn note_algorithm(&self, algorithm: Algorithm) {
        *self.signed_with.lock().unwrap_or_else(PoisonError::into_inner) = Some(algorithm);
    }

    /// What the provider's last ID token was signed with, if this process has seen one.
    fn signed_with(&self) -> Option<Algorithm> {
        *self.signed_with.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a login begins whose answer comes to `redirect_uri` and is held against `proof`.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn authorize(&self, redirect_uri: &str, proof: &CallbackProof, ask: Ask<'_>) -> Result<Url, ProviderError> {
        let known = self.known()?;
        Ok(login::authorization_url(&known, self.client_id(), redirect_uri, proof, ask))
    }

    /// Whether an answer may name `issuer` (RFC 9207 section 2.4): it must name ours, and must name one at all
    /// when the provider says that it does.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn is_answer_from_us(&self, issuer: Option<&str>) -> Result<bool, ProviderError> {
        let known = self.known()?;
        Ok(match issuer {
            Some(issuer) => issuer == known.issuer,
            None => !known.names_itself,
        })
    }

    /// Exchanges a code for tokens and finds out who logged in.
    ///
    /// # Errors
    /// Any [`ProviderError`] but those of discovery.
    pub async fn exchange_code(&self, code: &str, redirect_uri: &str, proof: &CallbackProof) -> Result<Signed, ProviderError> {
        let known = self.known()?;
        let parameters = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", proof.verifier.expose()),
        ];
        let answer = self.ask_for_tokens(&known, &parameters).await?;
        let mut claims = self.verify_login(&known, &answer, proof.nonce.expose()).await?.members;
        let text = |name| claims.get(name).and_then(serde_json::Value::as_str);
        let (subject, provider_session) = (text("sub").unwrap_or_default(), text("sid").map(str::to_owned));
        if let Some(more) = self.userinfo(&known, &answer.access_token, subject, Purpose::Login).await? {
            claims = merge(claims, more, &self.settings.mapping);
        }
        let identity = self.settings.mapping.identity(&claims)?;
        Ok(Signed { answer, identity, provider_session })
    }

    /// Presents a refresh token (RFC 6749 section 6).
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<TokenAnswer, TokenFailure> {
        let known = self.known().map_err(|_| TokenFailure::NotReady)?;
        let parameters = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        self.ask_for_tokens(&known, &parameters).await
    }

    /// Whether the provider is there: whether it tells of itself. Nothing is presented to it.
    pub async fn is_reachable(&self) -> bool {
        let address = format!("{}/.well-known/openid-configuration", self.issuer().trim_end_matches('/'));
        let Ok(request) = Request::get(address).body(Full::default()) else { return false };
        self.http.fetch(request, SHORT_CALL).await.is_ok_and(|answer| answer.status.is_success())
    }

    /// Presents [`PROBE`], a refresh token that is nobody's.
    ///
    /// # Errors
    /// What becomes of it; that it is refused is the best.
    pub async fn probe(&self) -> Result<(), TokenFailure> {
        self.refresh(&Secret::new(PROBE)).await.map(|_nobodys| ())
    }

    /// Asks the token endpoint.
    async fn ask_for_tokens(&self, known: &Known, parameters: &[(&str, &str)]) -> Result<TokenAnswer, TokenFailure> {
        let post = Post { url: &known.token, auth: known.auth, parameters, deadline: self.settings.token_timeout };
        let asked_at = self.clock.now();
        let answer = self.credentials.post(&self.http, post).await?;
        // The redirect URI and the grant type are no secrets, and masking them does no harm.
        token_call::read(&answer, asked_at, parameters.iter().map(|(_, value)| *value).chain(self.credentials.secrets()))
    }

    /// Whether a refresh token can be asked about without using it.
    pub fn introspects(&self) -> bool {
        self.known().is_ok_and(|known| known.introspection.is_some())
    }

    /// Asks whether a refresh token is still good, which uses nothing up (RFC 7662).
    pub async fn introspect(&self, refresh_token: &Secret) -> Introspection {
        let Ok(known) = self.known() else { return Introspection::Unavailable("the provider is not known yet".to_owned()) };
        let Some(url) = &known.introspection else { return Introspection::Inconclusive("no_introspection") };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        let post = Post { url, auth: known.auth, parameters: &parameters, deadline: SHORT_CALL };
        introspection::read(self.credentials.post(&self.http, post).await)
    }

    /// Asks for a token's revocation (RFC 7009). `false`: the provider has no such endpoint.
    ///
    /// # Errors
    /// The token may live on.
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<bool, ProviderError> {
        let known = self.known()?;
        let Some(url) = &known.revocation else { return Ok(false) };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        let post = Post { url, auth: known.auth, parameters: &parameters, deadline: SHORT_CALL };
        let answer = self.credentials.post(&self.http, post).await?;
        if answer.status.is_success() {
            return Ok(true);
        }
        let secrets = [refresh_token.expose()].into_iter().chain(self.credentials.secrets());
        Err(token_call::refusal(&answer, secrets).into())
    }

    /// Whom the provider has logged out (OIDC Back-Channel Logout 1.0).
    ///
    /// # Errors
    /// [`ProviderError::LogoutToken`] for a token that is not to be believed; any other, and it could not be judged.
    pub async fn logged_out(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let known = self.known()?;
        let refused = |error: JoseError| ProviderError::LogoutToken(error.into());
        let parsed = Token::parse(token).map_err(refused)?;
        // Anybody can send one: what it says is looked at before its signature, for which keys may be fetched.
        let logout = logout_token::judge(&parsed, &known.issuer, self.client_id(), self.clock.now())
            .map_err(ProviderError::LogoutToken)?;
        // The provider may have several keys, but it signs this client's tokens with one algorithm (section 2.6). Before one is
        // seen, no secret signs a logout token: the previous one may be in other hands already.
        let public = |algorithm: &&Algorithm| algorithm.shortest_secret().is_none();
        let algorithms: Vec<Algorithm> = match self.signed_with().filter(|algorithm| known.algorithms.contains(algorithm)) {
            Some(seen) => vec![seen],
            None => known.algorithms.iter().filter(public).copied().collect(),
        };
        let algorithms = algorithms.as_slice();
        parsed.algorithm(algorithms).map_err(refused)?;
        self.signed(&known, token, algorithms, Purpose::Logout).await?.map_err(refused)?;
        Ok(logout)
    }
}
