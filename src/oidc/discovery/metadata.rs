//! The provider's metadata (OIDC Discovery 1.0 section 3, RFC 8414): the members that Evergate uses, each read on its own. The
//! others are ignored, so that a malformed one makes no login fail.

use serde_json::Value;
use url::Url;

use crate::{
    jose::{Algorithm, JsonObject},
    oidc::{
        ProviderError, Settings,
        authorization::AuthorizationParams,
        client_auth::{ClientAuthVariant, ClientEndpoint, SupportedAuth, usable_methods, variants},
        issuer::ExpectedIssuer,
        loopback::is_loopback,
        preset::{DetectedBy, LogoutForm, OwnLogout, Preset, RefreshIntrospection},
    },
};

/// The metadata that Evergate uses, with what follows from them and the settings.
#[derive(Clone, Debug)]
pub(in crate::oidc) struct ProviderMetadata {
    pub(in crate::oidc) issuer: ExpectedIssuer,
    pub(in crate::oidc) authorization_endpoint: Url,
    pub(in crate::oidc) token_endpoint: String,
    /// Where authorization requests are pushed (RFC 9126 section 5); `None` if they are not.
    pub(in crate::oidc) pushed_authorization_request_endpoint: Option<String>,
    pub(in crate::oidc) userinfo_endpoint: Option<String>,
    pub(in crate::oidc) revocation_endpoint: Option<String>,
    pub(in crate::oidc) introspection_endpoint: Option<String>,
    /// Whether introspection tells a valid refresh token from a used one.
    pub(in crate::oidc) introspects_refresh_tokens: bool,
    /// Microsoft Graph, which tells groups that are left out of tokens.
    pub(in crate::oidc) graph_url: Option<Url>,
    pub(in crate::oidc) end_session_endpoint: Option<Url>,
    /// The form of the end-session endpoint, where it is not the standard's.
    pub(in crate::oidc) own_logout: Option<OwnLogout>,
    pub(in crate::oidc) jwks_uri: String,
    /// Authorization responses have `iss` (RFC 9207 section 3).
    pub(in crate::oidc) sends_iss: bool,
    /// The prompts that it lists do not exclude `none`.
    pub(in crate::oidc) supports_prompt_none: bool,
    /// The `prompt` that lets the user choose another account.
    pub(in crate::oidc) account_selection_prompt: &'static str,
    /// It lists `prompt=consent`.
    pub(in crate::oidc) supports_prompt_consent: bool,
    client_auth: [Vec<ClientAuthVariant>; 3],
    supported_auth: [SupportedAuth; 3],
    /// The algorithms that are accepted for ID tokens and logout tokens.
    pub(in crate::oidc) algorithms: Vec<Algorithm>,
    /// The algorithms that are accepted for signed user info.
    pub(in crate::oidc) userinfo_algorithms: Vec<Algorithm>,
    pub(in crate::oidc) preset: &'static Preset,
    pub(in crate::oidc) detected_by: DetectedBy,
    pub(in crate::oidc) authorization_params: AuthorizationParams,
    pub(in crate::oidc) unsupported_requirements: Vec<UnsupportedRequirement>,
    /// `require_pushed_authorization_requests` (RFC 9126 section 5).
    pub(in crate::oidc) requires_pushed_authorization: bool,
}

impl ProviderMetadata {
    /// The forms in which the client may authenticate at an endpoint, in the order in which they are tried.
    pub(in crate::oidc) fn client_auth(&self, endpoint: ClientEndpoint) -> &[ClientAuthVariant] {
        of_endpoint::<Vec<_>>(&self.client_auth, endpoint)
    }

    /// Whether an endpoint accepts assertions that are signed with this algorithm.
    pub(in crate::oidc) fn signs_client_assertions_with(&self, endpoint: ClientEndpoint, algorithm: Algorithm) -> bool {
        of_endpoint(&self.supported_auth, endpoint).signs_with(algorithm)
    }

    /// Whether authorization requests are to be pushed, and there is no endpoint for that: none goes through the browser instead.
    pub(in crate::oidc) fn lacks_pushed_authorization(&self) -> bool {
        self.unsupported_requirements.contains(&UnsupportedRequirement::NoPushedAuthorizationEndpoint)
    }

    /// The endpoints' names in the metadata, and their addresses.
    pub(in crate::oidc) fn endpoints(&self) -> [(&'static str, Option<&str>); 8] {
        [
            ("authorization_endpoint", Some(self.authorization_endpoint.as_str())),
            ("token_endpoint", Some(&self.token_endpoint)),
            ("userinfo_endpoint", self.userinfo_endpoint.as_deref()),
            ("revocation_endpoint", self.revocation_endpoint.as_deref()),
            ("introspection_endpoint", self.introspection_endpoint.as_deref()),
            ("pushed_authorization_request_endpoint", self.pushed_authorization_request_endpoint.as_deref()),
            ("end_session_endpoint", self.end_session_endpoint.as_ref().map(Url::as_str)),
            ("jwks_uri", Some(&self.jwks_uri)),
        ]
    }
}

/// Something that the provider requires and Evergate does not support, so that logins fail until its settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::oidc) enum UnsupportedRequirement {
    /// Pushed authorization requests (RFC 9126), which a setting forbids.
    #[error("it takes pushed authorization requests only, and CODER_OIDC_PAR is false; leave that out")]
    PushedAuthorizationRequests,
    /// Pushed authorization requests, for which it has no endpoint.
    #[error(
        "its metadata have no pushed_authorization_request_endpoint, and authorization requests are to be pushed; turn \
         require_pushed_authorization_requests off there, or leave CODER_OIDC_PAR out"
    )]
    NoPushedAuthorizationEndpoint,
    /// Signed authorization requests (RFC 9101).
    #[error("it takes signed authorization requests only; turn require_signed_request_object off for this client")]
    SignedRequests,
    /// Encrypted ID tokens: no supported signature algorithm is listed, but an encryption algorithm is.
    #[error("it encrypts ID tokens; have it sign them only, for example with RS256 or ES256")]
    EncryptedIdTokens,
    /// `id_token_signing_alg_values_supported` lists no supported algorithm.
    #[error(
        "it signs ID tokens with no algorithm that is accepted here; choose RS256, PS256, ES256, EdDSA or a longer variant \
         (HS256 needs a client secret of 32 bytes at least)"
    )]
    SigningAlgorithm,
    /// `token_endpoint_auth_methods_supported` lists no supported method.
    #[error(
        "it lists no way to authenticate this client; allow client_secret_basic or client_secret_post, or private_key_jwt for \
         CODER_OIDC_CLIENT_KEY_FILE, or set CODER_OIDC_CLIENT_AUTH_METHOD (client_secret_jwt needs a client secret of 32 bytes \
         at least)"
    )]
    ClientAuthentication,
    /// `response_types_supported`, `response_modes_supported` or `grant_types_supported` exclude the code flow.
    #[error(
        "it does not offer the authorization code flow with the answer in the query; allow response type code and grant type authorization_code"
    )]
    CodeFlow,
}

impl ProviderMetadata {
    /// Reads and checks metadata.
    pub(in crate::oidc) fn read(settings: &Settings, document: &MetadataDocument) -> Result<Self, ProviderError> {
        // The issuer must match exactly, so it is not trimmed.
        let issuer = document.0.get("issuer").and_then(Value::as_str).ok_or(ProviderError::Metadata("issuer"))?;
        let issuer = ExpectedIssuer::of_metadata(settings, issuer)
            .map_err(|found| ProviderError::IssuerMismatch { expected: settings.issuer.clone(), found })?;
        let lenient = Url::parse(&settings.issuer).is_ok_and(|issuer| is_loopback(&issuer));
        let optional = |name: &'static str| document.text(name).map(|text| endpoint(name, text, lenient)).transpose();
        let required = |name: &'static str| optional(name)?.ok_or(ProviderError::Metadata(name));
        let scopes = document.list("scopes_supported").unwrap_or_default();
        let prompts = document.list("prompt_values_supported");
        let (preset, detected_by) = match settings.preset {
            Some(preset) => (preset, DetectedBy::Setting),
            None => Preset::detect(&settings.issuer, &scopes, &document.0),
        };
        let signing = document.list("id_token_signing_alg_values_supported");
        let authorization_endpoint = required("authorization_endpoint")?;
        let (end_session_endpoint, own_logout) =
            logout(preset.logout, &authorization_endpoint, optional("end_session_endpoint")?);
        Ok(Self {
            issuer,
            authorization_endpoint,
            token_endpoint: required("token_endpoint")?.into(),
            pushed_authorization_request_endpoint: match pushes_requests(settings, document) {
                true => optional(PUSHED_AUTHORIZATION)?.map(Into::into),
                false => None,
            },
            jwks_uri: required("jwks_uri")?.into(),
            // An endpoint that is not called need not be valid.
            userinfo_endpoint: if settings.ignore_userinfo { None } else { optional("userinfo_endpoint")?.map(Into::into) },
            revocation_endpoint: optional("revocation_endpoint")?.map(Into::into),
            introspection_endpoint: match &settings.introspection_url {
                Some(url) => Some(url.to_string()),
                None => optional("introspection_endpoint")?.map(Into::into),
            },
            introspects_refresh_tokens: settings.introspection_url.is_some()
                || preset.introspection != RefreshIntrospection::Unreliable,
            graph_url: match &settings.graph_url {
                Some(url) => Some(url.clone()),
                None if preset.tells_groups_by_graph => graph_of_cloud(document),
                None => None,
            },
            end_session_endpoint,
            own_logout,
            sends_iss: document.is_set("authorization_response_iss_parameter_supported"),
            supports_prompt_none: prompts.as_ref().is_none_or(|prompts| prompts.iter().any(|prompt| prompt == "none")),
            // Every provider must support `login` (OIDC Core section 15.1).
            account_selection_prompt: match prompts.iter().flatten().any(|prompt| prompt == "select_account") {
                true => "select_account",
                false => "login",
            },
            supports_prompt_consent: prompts.is_some_and(|prompts| prompts.iter().any(|prompt| prompt == "consent")),
            client_auth: ClientEndpoint::ALL
                .map(|endpoint| variants(settings, preset, endpoint, &document.supported_auth(endpoint))),
            supported_auth: ClientEndpoint::ALL.map(|endpoint| document.supported_auth(endpoint)),
            algorithms: algorithms(signing.as_deref(), settings),
            userinfo_algorithms: algorithms(document.list("userinfo_signing_alg_values_supported").as_deref(), settings),
            preset,
            detected_by,
            authorization_params: AuthorizationParams::new(settings, preset, &scopes),
            unsupported_requirements: unsupported_requirements(settings, document),
            requires_pushed_authorization: requires_pushing(document),
        })
    }
}

/// One endpoint's member of those in the order of [`ClientEndpoint::ALL`].
fn of_endpoint<T>(all: &[T; 3], endpoint: ClientEndpoint) -> &T {
    let [token, revocation, introspection] = all;
    match endpoint {
        ClientEndpoint::Token => token,
        ClientEndpoint::Revocation => revocation,
        ClientEndpoint::Introspection => introspection,
    }
}

/// The metadata document as it was fetched.
#[derive(Debug, Default)]
pub(in crate::oidc) struct MetadataDocument(serde_json::Map<String, Value>);

impl MetadataDocument {
    pub(in crate::oidc) fn parse(text: &[u8]) -> Option<Self> {
        JsonObject::parse(text).map(|object| Self(object.members))
    }

    /// A member's text. An empty text and any other type count as absent.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A member's list. An empty list counts as absent; a text is read as a list of its words.
    pub(in crate::oidc) fn list(&self, name: &str) -> Option<Vec<String>> {
        let list: Vec<String> = match self.0.get(name)? {
            Value::Array(members) => members.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(words) => words.split([' ', ',']).map(str::to_owned).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        };
        let list: Vec<String> = list.into_iter().filter(|member| !member.is_empty()).collect();
        (!list.is_empty()).then_some(list)
    }

    /// What is supported at an endpoint. Where the metadata do not say it, it is what the token endpoint supports.
    fn supported_auth(&self, endpoint: ClientEndpoint) -> SupportedAuth {
        let of = |endpoint: &str| SupportedAuth {
            methods: self.list(&format!("{endpoint}_endpoint_auth_methods_supported")),
            algorithms: self.list(&format!("{endpoint}_endpoint_auth_signing_alg_values_supported")),
        };
        let (token, own) = (of("token"), of(endpoint.metadata_prefix()));
        SupportedAuth { methods: own.methods.or(token.methods), algorithms: own.algorithms.or(token.algorithms) }
    }

    pub(in crate::oidc) fn is_set(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"))
    }
}

/// The endpoint's name in the metadata (RFC 9126 section 5).
const PUSHED_AUTHORIZATION: &str = "pushed_authorization_request_endpoint";

/// Whether the metadata demand pushed authorization requests of every client.
fn requires_pushing(document: &MetadataDocument) -> bool {
    document.is_set("require_pushed_authorization_requests")
}

/// Whether authorization requests are to be pushed.
fn pushes_requests(settings: &Settings, document: &MetadataDocument) -> bool {
    settings.pushed_authorization.unwrap_or_else(|| requires_pushing(document))
}

/// Reads an endpoint's URL. Plain http is accepted only of a provider on this machine, because tokens would cross the network.
fn endpoint(name: &'static str, text: &str, lenient: bool) -> Result<Url, ProviderError> {
    let url = Url::parse(text).map_err(|_| ProviderError::Metadata(name))?;
    let http = url.scheme() == "http" && lenient && is_loopback(&url);
    if url.scheme() == "https" || http { Ok(url) } else { Err(ProviderError::Metadata(name)) }
}

/// Microsoft Graph of the cloud that the provider is in, which its metadata name (`msgraph_host`).
fn graph_of_cloud(document: &MetadataDocument) -> Option<Url> {
    let url = Url::parse(&format!("https://{}/", document.text("msgraph_host")?)).ok()?;
    (url.path() == "/" && url.username().is_empty()).then_some(url)
}

/// The end-session endpoint, and its form where that is not the standard's.
fn logout(form: LogoutForm, authorization_endpoint: &Url, listed: Option<Url>) -> (Option<Url>, Option<OwnLogout>) {
    let own = match (form, &listed) {
        (LogoutForm::Standard, _) | (LogoutForm::OwnIfUnlisted(_), Some(_)) => return (listed, None),
        (LogoutForm::Own(own), _) | (LogoutForm::OwnIfUnlisted(own), None) => own,
    };
    let beside = || authorization_endpoint.join(own.path).ok();
    (listed.or_else(beside), Some(own))
}

/// The accepted signature algorithms: the listed ones that are supported; without a list, all that use public keys. HMAC is
/// accepted only if it is listed and a client secret is as long as the hash (RFC 7518 section 3.2).
fn algorithms(listed: Option<&[String]>, settings: &Settings) -> Vec<Algorithm> {
    let Some(listed) = listed else { return Algorithm::ASYMMETRIC.to_vec() };
    let secrets = [&settings.client_secret, &settings.previous_secret];
    let longest = secrets.into_iter().flatten().map(|secret| secret.expose().len()).max().unwrap_or_default();
    let usable = |algorithm: &Algorithm| algorithm.min_secret_len().is_none_or(|shortest| longest >= shortest);
    listed.iter().filter_map(|name| Algorithm::from_name(name)).filter(usable).collect()
}

fn unsupported_requirements(settings: &Settings, document: &MetadataDocument) -> Vec<UnsupportedRequirement> {
    let signing = document.list("id_token_signing_alg_values_supported");
    let signs = !algorithms(signing.as_deref(), settings).is_empty();
    let nothing_but_none = signing.as_ref().is_some_and(|names| names.iter().all(|name| name == "none"));
    let encrypts_alone = nothing_but_none && document.list("id_token_encryption_alg_values_supported").is_some();
    let lacks = |name: &str, needed: &[&str]| {
        document.list(name).is_some_and(|members| !members.iter().any(|member| needed.contains(&member.as_str())))
    };
    // Whoever chooses a method knows that the provider accepts it.
    let unknown_client = settings.client_auth_method.is_none()
        && usable_methods(settings, &document.supported_auth(ClientEndpoint::Token)).is_empty();
    let pushes = pushes_requests(settings, document);
    let no_code = lacks("response_types_supported", &["code"])
        || lacks("response_modes_supported", &["query"])
        || lacks("grant_types_supported", &["authorization_code"]);
    let all = [
        (requires_pushing(document) && !pushes, UnsupportedRequirement::PushedAuthorizationRequests),
        (pushes && document.text(PUSHED_AUTHORIZATION).is_none(), UnsupportedRequirement::NoPushedAuthorizationEndpoint),
        (document.is_set("require_signed_request_object"), UnsupportedRequirement::SignedRequests),
        (!signs && encrypts_alone, UnsupportedRequirement::EncryptedIdTokens),
        (!signs && !encrypts_alone, UnsupportedRequirement::SigningAlgorithm),
        (unknown_client, UnsupportedRequirement::ClientAuthentication),
        (no_code, UnsupportedRequirement::CodeFlow),
    ];
    all.into_iter().filter_map(|(is_required, requirement)| is_required.then_some(requirement)).collect()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
