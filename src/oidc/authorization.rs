//! The authorization request and what its response must prove (OIDC Core section 3.1.2, RFC 7636, RFC 9207).

mod params;

use std::sync::atomic::Ordering;

use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use url::Url;

use super::{Provider, ProviderError, discovery::ProviderMetadata};
use crate::secret::Secret;

pub(super) use params::AuthorizationParams;

/// What one authorization request asks for beyond the settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizationOptions<'a> {
    /// `prompt` (OIDC Core section 3.1.2.1): with `none` the provider must not show its user anything.
    pub prompt: Option<&'static str>,
    /// `login_hint`: who the browser's user was, for a provider that knows several.
    pub login_hint: Option<&'a str>,
    /// `id_token_hint` (OIDC Core section 3.1.2.1): an ID token of that user's, which may have expired. It is recommended with
    /// `prompt=none`, and some providers demand it.
    pub id_token_hint: Option<&'a Secret>,
}

/// What the response to one authorization request is checked against. The caller draws nonce and verifier with 256 random bits
/// each.
#[derive(Clone, Debug)]
pub struct CallbackProof {
    /// `state`: returned with the response.
    pub state: Secret,
    /// `nonce`: returned inside the ID token.
    pub nonce: Secret,
    /// PKCE's `code_verifier`: sent with the code.
    pub verifier: Secret,
}

/// The parameters that every login sends itself. They protect it, and replace any of the same name.
pub const LOGIN_PARAMETERS: [&str; 8] =
    ["response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method"];

/// Servers and proxies accept URLs of this length at least (RFC 9110 section 4.1 names it for a whole request line).
const MAX_URL_LEN: usize = 8 * 1024;

impl Provider {
    /// The URL that starts a login whose response comes to `redirect_uri` and is checked against `proof`. Where authorization
    /// requests are pushed, this calls the provider.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`], and what can go wrong with the call.
    pub async fn authorization_url(
        &self,
        redirect_uri: &str,
        proof: &CallbackProof,
        options: AuthorizationOptions<'_>,
    ) -> Result<Url, ProviderError> {
        let url = self.try_authorization_url(redirect_uri, proof, options).await;
        if url.as_ref().is_err_and(ProviderError::casts_doubt_on_metadata) {
            self.doubt_metadata();
        }
        url
    }

    async fn try_authorization_url(
        &self,
        redirect_uri: &str,
        proof: &CallbackProof,
        options: AuthorizationOptions<'_>,
    ) -> Result<Url, ProviderError> {
        let metadata = self.metadata()?;
        let challenge = code_challenge(proof);
        let scope = metadata.authorization_params.scopes.join(" ");
        let own = [
            "code",
            self.client_id(),
            redirect_uri,
            &scope,
            proof.state.expose(),
            proof.nonce.expose(),
            challenge.as_str(),
            challenge.method().as_str(),
        ];
        let required: Vec<_> = LOGIN_PARAMETERS.into_iter().zip(own).collect();
        let mut parameters = parameters(&metadata, &required, options);
        let hint = options.id_token_hint.map(|hint| ("id_token_hint", hint.expose()));
        match &metadata.pushed_authorization_request_endpoint {
            Some(endpoint) => {
                parameters.extend(hint);
                self.push_authorization_request(&metadata, endpoint, &parameters).await
            }
            None if metadata.lacks_pushed_authorization() => {
                Err(ProviderError::Metadata("pushed_authorization_request_endpoint"))
            }
            None => {
                let mut url = metadata.authorization_endpoint.clone();
                url.query_pairs_mut().extend_pairs(&parameters);
                Ok(with_hint(url, hint))
            }
        }
    }

    /// The scopes that logins ask for.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub fn requested_scopes(&self) -> Result<Vec<String>, ProviderError> {
        Ok(self.metadata()?.authorization_params.scopes.clone())
    }

    /// Whether an authorization response may come from this provider by its `iss` (RFC 9207 section 2.4): it must be this
    /// issuer, and must not be missing if the provider says that it sends one.
    ///
    /// # Errors
    /// [`ProviderError::NotReady`].
    pub async fn is_response_issuer(&self, iss: Option<&str>) -> Result<bool, ProviderError> {
        let metadata = self.metadata()?;
        match iss {
            Some(iss) => Ok(metadata.issuer.is_of_response(iss)),
            None if !metadata.sends_iss => Ok(true),
            // It may have ceased to send one since its metadata were read, and says so by newer ones.
            None => Ok(self.newer_metadata(&metadata).await.is_some_and(|newer| !newer.sends_iss)),
        }
    }

    /// Whether the provider answers `prompt=none`, as far as is known: as the administrator says, or else as OIDC Core requires
    /// unless its metadata or its preset deny it.
    pub fn supports_prompt_none(&self) -> bool {
        let configured = self.settings.silent_login;
        self.metadata()
            .is_ok_and(|metadata| configured.unwrap_or(metadata.supports_prompt_none && metadata.preset.supports_prompt_none))
    }

    /// The `prompt` that lets the user choose another account than that of the provider's own session.
    pub fn account_selection_prompt(&self) -> &'static str {
        self.metadata().map_or("login", |metadata| metadata.account_selection_prompt)
    }

    /// By which parameter logins request a refresh token, if they do.
    pub fn offline_access_request(&self) -> Option<&'static str> {
        let metadata = self.metadata().ok()?;
        let params = &metadata.authorization_params;
        let by_parameter = params.extra.get("access_type").is_some_and(|value| value == "offline");
        params.asks_by_scope.then_some("the scope offline_access").or_else(|| by_parameter.then_some("access_type=offline"))
    }

    /// Whether every login requests its user's consent already, by the administrator's parameters.
    pub fn always_prompts_for_consent(&self) -> bool {
        self.settings.auth_params.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|value| value == "consent"))
    }

    /// Whether a login that requested a refresh token and got none is worth repeating with `prompt=consent`: the preset says so,
    /// or the provider may withhold `offline_access` without consent (OIDC Core section 11) and lists that prompt. It is not
    /// repeated once consent has not helped, so that nobody has to agree at each login for nothing.
    pub fn should_prompt_for_consent(&self) -> bool {
        let Ok(metadata) = self.metadata() else { return false };
        let might_help = metadata.supports_prompt_consent && metadata.authorization_params.asks_by_scope;
        metadata.preset.requires_prompt_consent || (might_help && !self.consent_did_not_help.load(Ordering::Relaxed))
    }

    /// Records whether a login with `prompt=consent` brought a refresh token.
    pub fn record_consent_outcome(&self, helped: bool) {
        self.consent_did_not_help.store(!helped, Ordering::Relaxed);
    }
}

/// PKCE's challenge (RFC 7636 section 4.2).
fn code_challenge(proof: &CallbackProof) -> PkceCodeChallenge {
    PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(proof.verifier.expose().to_owned()))
}

/// The parameters of the request but for `id_token_hint`. The `required` ones, which protect the login, come last and replace the
/// administrator's of the same name.
fn parameters<'a>(
    metadata: &'a ProviderMetadata,
    required: &[(&'a str, &'a str)],
    options: AuthorizationOptions<'a>,
) -> Vec<(&'a str, &'a str)> {
    let is_replaced = |name: &str| {
        (name == "prompt" && options.prompt.is_some())
            || (name == "login_hint" && options.login_hint.is_some())
            || (name == "id_token_hint" && options.id_token_hint.is_some())
            || required.iter().any(|(own, _)| *own == name)
    };
    let extra = metadata.authorization_params.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut parameters: Vec<_> = extra.filter(|(name, _)| !is_replaced(name)).collect();
    parameters.extend(options.prompt.map(|prompt| ("prompt", prompt)));
    parameters.extend(options.login_hint.map(|hint| ("login_hint", hint)));
    parameters.extend(required);
    parameters
}

/// The URL with a hint, which is left out where it would make the URL too long: an ID token may name a thousand groups.
pub(super) fn with_hint(url: Url, hint: Option<(&str, &str)>) -> Url {
    let Some((name, value)) = hint else { return url };
    let mut with_hint = url.clone();
    with_hint.query_pairs_mut().append_pair(name, value);
    if with_hint.as_str().len() > MAX_URL_LEN { url } else { with_hint }
}
