//! One provider: found in the background, asked when needed.

mod asking;
mod logout;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use openidconnect::{DiscoveryError, IssuerUrl, core::CoreJsonWebKeySet};

use super::{
    Claims, Nonce, PROBE, ProviderError, SHORT_CALL, Settings, VerifyError,
    discovery::{self, Known, Metadata},
    http::HttpClient,
    login::{self, Ask, AuthorizationRequest, CallbackProof},
    logout_token::{self, LogoutToken},
    plan::Plan,
    preset::{Preset, RotationClass},
    token_call::{TokenAnswer, TokenEndpoint, TokenFailure},
    verify,
};
use crate::{
    clock::{Clock, Timestamp},
    grant::Fingerprint,
    identity::Identity,
    secret::Secret,
    telemetry::logs::causes,
};

/// The provider, and all that we know of it.
#[derive(Debug)]
pub struct Provider {
    settings: Settings,
    http: HttpClient,
    clock: Clock,
    known: RwLock<Option<Arc<Known>>>,
    keys: Mutex<Keys>,
    fetching_keys: tokio::sync::Mutex<()>,
    /// The last discovery failed by what the settings or the metadata say, and not because nobody answered.
    misconfigured: AtomicBool,
    /// The provider takes the previous client secret still, or takes it again.
    takes_previous: AtomicBool,
    fingerprint: Fingerprint,
}

#[derive(Debug, Default)]
struct Keys {
    set: Arc<CoreJsonWebKeySet>,
    refetched_at: Option<Timestamp>,
    /// When they were last looked for at a logout.
    looked_at: Option<Timestamp>,
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

/// Not more often than this are keys fetched again for a token that names an unknown one (HP, CV-29).
const KEY_REFETCH: Duration = Duration::from_secs(60);
const DISCOVERY_RETRY: Duration = Duration::from_secs(30);
const DISCOVERY_REFRESH: Duration = Duration::from_secs(86_400);

impl Provider {
    /// A provider that is not asked before [`Provider::keep_known`] runs.
    pub fn new(settings: Settings, tls: rustls::ClientConfig, clock: Clock) -> Self {
        let asked = (&settings.issuer, &settings.client_id, &settings.scopes, &settings.auth_params);
        let read = (&settings.mapping, settings.ignore_userinfo);
        Self {
            fingerprint: Fingerprint::of(&format!("{asked:?} {read:?}")),
            http: HttpClient::new(tls),
            settings,
            clock,
            known: RwLock::default(),
            keys: Mutex::default(),
            fetching_keys: tokio::sync::Mutex::default(),
            misconfigured: AtomicBool::new(false),
            takes_previous: AtomicBool::new(false),
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

    fn known(&self) -> Result<Arc<Known>, ProviderError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.ok_or_else(|| if self.is_misconfigured() { ProviderError::Misconfigured } else { ProviderError::NotReady })
    }

    /// Whether it could not be found, the last time that it was looked for, for a reason that only an administrator can mend.
    pub fn is_misconfigured(&self) -> bool {
        self.misconfigured.load(Ordering::Acquire)
    }

    /// Finds the provider, tries again while it is away, and looks anew once a day. Never ends.
    pub async fn keep_known(&self) {
        let mut wait = Duration::from_millis(250);
        loop {
            match self.discover().await {
                Ok(plan) => {
                    let scopes = plan.scopes.join(" ");
                    let parameters = plan.params.keys().cloned().collect::<Vec<_>>().join(" ");
                    tracing::info!(
                        oidc.issuer = self.issuer(),
                        oidc.scopes = scopes,
                        oidc.parameters = parameters,
                        oidc.preset = self.preset().name,
                        "found the provider; {}",
                        plan.note
                    );
                    tokio::time::sleep(DISCOVERY_REFRESH).await;
                    wait = Duration::from_millis(250);
                }
                Err(error) => {
                    tracing::warn!(
                        oidc.issuer = self.issuer(), error = %error, retry.seconds = wait.as_secs_f64(),
                        "cannot find the provider: sessions are served, logins and renewals wait"
                    );
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(DISCOVERY_RETRY);
                }
            }
        }
    }

    /// Finds the provider now.
    ///
    /// # Errors
    /// Why it cannot be found.
    pub async fn find(&self) -> Result<(), ProviderError> {
        self.discover().await.map(|_plan| ())
    }

    async fn discover(&self) -> Result<Plan, ProviderError> {
        let found = self.try_discover().await;
        self.misconfigured.store(found.as_ref().is_err_and(ProviderError::is_configuration), Ordering::Release);
        found
    }

    async fn try_discover(&self) -> Result<Plan, ProviderError> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|_| ProviderError::Issuer)?;
        let metadata = Metadata::discover_async(issuer, &self.http).await.map_err(|error| {
            let cause = causes(&error);
            if let DiscoveryError::Validation(_) = error {
                // The library validates one thing: whose metadata they are.
                ProviderError::OtherIssuer(cause)
            } else if let DiscoveryError::Response(status, ..) = error
                && matches!(status.as_u16(), 400..=404 | 410)
            {
                ProviderError::NoMetadata(cause)
            } else {
                ProviderError::Discovery(cause)
            }
        })?;
        let (known, keys) = discovery::accept(&self.settings, &metadata)?;
        let plan = known.plan.clone();
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).set = Arc::new(keys);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(plan)
    }

    /// Begins a login whose answer comes to `redirect_uri`.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn authorize(&self, redirect_uri: &str, state_prefix: &str, ask: Ask<'_>) -> Result<AuthorizationRequest, ProviderError> {
        let known = self.known()?;
        let proof = CallbackProof::fresh(state_prefix);
        Ok(AuthorizationRequest { url: login::authorization_url(&known, self.client_id(), redirect_uri, &proof, ask), proof })
    }

    /// Whether an answer may name `issuer` (RFC 9207 section 2.4): it must name ours, and must name one at all
    /// when the provider says that it does.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn is_answer_from_us(&self, issuer: Option<&str>) -> Result<bool, ProviderError> {
        let known = self.known()?;
        Ok(match issuer {
            Some(issuer) => issuer == known.issuer.as_str(),
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
        let answer = self.ask_for_tokens(&known, &BTreeMap::from(parameters)).await?;
        let token = answer.id_token.as_ref().ok_or(ProviderError::NoIdToken)?;
        let mut claims = self.verify(&known, token, Nonce::Is(proof.nonce.expose())).await?;
        let provider_session = claims.get("sid").and_then(serde_json::Value::as_str).map(str::to_owned);
        if let Some(more) = self.userinfo(&known, &answer.access_token, subject(&claims)).await? {
            claims.extend(more);
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
        self.ask_for_tokens(&known, &BTreeMap::from(parameters)).await
    }

    /// Presents [`PROBE`], a refresh token that is nobody's.
    ///
    /// # Errors
    /// What becomes of it; that it is refused is the best.
    pub async fn probe(&self) -> Result<(), TokenFailure> {
        self.refresh(&Secret::new(PROBE)).await.map(|_nobodys| ())
    }

    /// Asks the token endpoint, and once more with the other client secret if there is one and this one is refused: a
    /// client that is not recognised has presented nothing. Both calls share one deadline.
    #[expect(clippy::disallowed_methods, reason = "what is left of a deadline has nothing to do with tokens' times")]
    async fn ask_for_tokens(&self, known: &Known, parameters: &BTreeMap<&str, &str>) -> Result<TokenAnswer, TokenFailure> {
        let started = std::time::Instant::now();
        let previous = self.takes_previous.load(Ordering::Acquire);
        let first = self.endpoint(known, &known.token, previous).request(parameters).await;
        let refused = first.as_ref().is_err_and(TokenFailure::is_about_the_secret);
        if !refused || self.settings.previous_secret.is_none() {
            return first;
        }
        let deadline = self.settings.token_timeout.saturating_sub(started.elapsed());
        let second = TokenEndpoint { deadline, ..self.endpoint(known, &known.token, !previous) }.request(parameters).await;
        // Only an answer tells which secret it was for.
        let answered = matches!(&second, Ok(_) | Err(TokenFailure::Refused { .. } | TokenFailure::Unusable(_)));
        if second.as_ref().is_err_and(TokenFailure::is_about_the_secret) {
            return first;
        }
        if answered && self.takes_previous.swap(!previous, Ordering::AcqRel) == previous {
            let secret = if previous { "new" } else { "previous" };
            tracing::info!(oidc.issuer = self.issuer(), "the provider takes the {secret} client secret");
        }
        second
    }

    /// Who the answer of a renewal speaks for, `before` being who it was. `Ok(None)`: it could not be found out
    /// now (keys or user info are away), so nothing changes.
    ///
    /// # Errors
    /// The answer is not this user's or not this provider's; its tokens must not be used.
    pub async fn identity_after_renewal(
        &self,
        answer: &TokenAnswer,
        before: &Identity,
    ) -> Result<Option<Identity>, ProviderError> {
        let known = self.known()?;
        let signed = match &answer.id_token {
            Some(token) => match self.verify(&known, token, Nonce::NotAsked).await {
                Ok(claims) => Some(claims),
                Err(ProviderError::IdToken(VerifyError::Refused(why))) => return Err(VerifyError::Refused(why).into()),
                Err(error) => {
                    tracing::warn!(%error, "an ID token could not be judged after a renewal; the identity stays as it was");
                    return Ok(None);
                }
            },
            None => None,
        };
        if signed.as_ref().is_some_and(|claims| subject(claims) != before.subject) {
            return Err(ProviderError::OtherSubject);
        }
        let more = match self.userinfo(&known, &answer.access_token, &before.subject).await {
            Ok(more) => more,
            Err(ProviderError::OtherSubject) => return Err(ProviderError::OtherSubject),
            Err(error) => {
                tracing::debug!(%error, "user info could not be read after a renewal; the identity stays as it was");
                return Ok(None);
            }
        };
        // Claims are replaced only as a whole: a half of them would take away what only the other half has.
        let expects_userinfo = known.userinfo.is_some() && !self.settings.ignore_userinfo;
        let claims = match (signed, more) {
            (Some(mut signed), Some(more)) => {
                signed.extend(more);
                signed
            }
            (Some(signed), None) if !expects_userinfo => signed,
            (Some(_) | None, _) => return Ok(None),
        };
        Ok(Some(self.settings.mapping.identity(&claims)?))
    }

    /// Asks for a token's revocation (RFC 7009). `false`: the provider has no such endpoint.
    ///
    /// # Errors
    /// The token may live on.
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<bool, ProviderError> {
        let known = self.known()?;
        let Some(url) = &known.revocation else { return Ok(false) };
        let parameters = [("token", refresh_token.expose()), ("token_type_hint", "refresh_token")];
        let previous = self.takes_previous.load(Ordering::Acquire);
        let request = self
            .endpoint(&known, url, previous)
            .form(&BTreeMap::from(parameters))
            .map_err(|_| ProviderError::Metadata("revocation_endpoint"))?;
        let answer = self.http.fetch(request, SHORT_CALL).await?;
        if answer.status.is_success() {
            return Ok(true);
        }
        let refused = TokenFailure::Refused { status: answer.status, code: None, retry_after: None };
        if refused.is_about_the_secret() && self.settings.previous_secret.is_some() {
            // Whoever tries again does so with the other secret.
            self.takes_previous.store(!previous, Ordering::Release);
        }
        Err(refused.into())
    }

    /// Whom the provider has logged out (OIDC Back-Channel Logout 1.0).
    ///
    /// # Errors
    /// [`ProviderError::IdToken`] for a token that is not to be believed; any other, and it could not be judged.
    pub async fn logged_out(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let known = self.known()?;
        let keys = self.keys();
        let attempt = |keys| logout_token::verify(token, &known.issuer, self.client_id(), keys, self.clock.now());
        match attempt(&keys) {
            Err(VerifyError::Unverifiable) => Ok(attempt(&self.newer_keys(&known, &keys).await?)?),
            judged => Ok(judged?),
        }
    }

    fn endpoint<'a>(&'a self, known: &'a Known, url: &'a str, with_previous: bool) -> TokenEndpoint<'a> {
        TokenEndpoint {
            http: &self.http,
            url,
            auth: known.auth,
            client_id: &self.settings.client_id,
            client_secret: if with_previous { &self.settings.previous_secret } else { &self.settings.client_secret }.as_ref(),
            deadline: self.settings.token_timeout,
        }
    }

    async fn verify(&self, known: &Known, token: &Secret, nonce: Nonce<'_>) -> Result<Claims, ProviderError> {
        let keys = self.keys();
        let attempt = |keys| verify::verify(token.expose(), &known.issuer, self.client_id(), keys, nonce, self.clock.now());
        match attempt(&keys) {
            Err(VerifyError::Unverifiable) => {
                let newer = self.newer_keys(known, &keys).await?;
                Ok(attempt(&newer)?)
            }
            Ok(claims) => Ok(claims),
            Err(refused) => Err(refused.into()),
        }
    }

    fn keys(&self) -> Arc<CoreJsonWebKeySet> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner).set)
    }

    /// Keys newer than `seen`: those that somebody else has just fetched, or by one fetch, at most one a
    /// minute, counted before the fetch so that a failing endpoint is not hammered.
    async fn newer_keys(&self, known: &Known, seen: &Arc<CoreJsonWebKeySet>) -> Result<Arc<CoreJsonWebKeySet>, ProviderError> {
        let _one_at_a_time = self.fetching_keys.lock().await;
        {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            let too_soon = keys.refetched_at.is_some_and(|at| now.since(at) < KEY_REFETCH);
            if !Arc::ptr_eq(&keys.set, seen) || too_soon {
                return Ok(Arc::clone(&keys.set));
            }
            keys.refetched_at = Some(now);
        }
        let fetched =
            CoreJsonWebKeySet::fetch_async(&known.jwks, &self.http).await.map_err(|error| ProviderError::Keys(causes(&error)));
        let set = Arc::new(fetched?);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).set = Arc::clone(&set);
        Ok(set)
    }

    /// User info for `subject`; `None` where it is not asked for. Claims that would name another token's
    /// subject are refused; distributed claims are never followed.
    async fn userinfo(&self, known: &Known, access_token: &Secret, subject: &str) -> Result<Option<Claims>, ProviderError> {
        let Some(url) = known.userinfo.as_ref().filter(|_| !self.settings.ignore_userinfo) else { return Ok(None) };
        let request = Request::get(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", access_token.expose()))
            .header(header::ACCEPT, "application/json")
            .body(Full::<Bytes>::default())
            .map_err(|_| ProviderError::UserInfo("its address or the access token is malformed"))?;
        let answer = self.http.fetch(request, SHORT_CALL).await?;
        if !answer.status.is_success() {
            return Err(ProviderError::UserInfo("the provider refused it"));
        }
        let claims: Claims = serde_json::from_slice(&answer.body).map_err(|_| {
            ProviderError::UserInfo(
                "it is not a JSON object (a signed answer is not supported; CODER_OIDC_IGNORE_USERINFO turns it off)",
            )
        })?;
        match claims.get("sub").and_then(serde_json::Value::as_str) {
            Some(found) if found == subject => {}
            Some(_) => return Err(ProviderError::OtherSubject),
            None => return Err(ProviderError::UserInfo("it has no sub")),
        }
        Ok(Some(claims))
    }
}

fn subject(claims: &Claims) -> &str {
    claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default()
}
