//! Client authentication (RFC 6749 section 2.3, RFC 7523, OIDC Core section 9): the methods, and which of them an endpoint may
//! accept.

use http::StatusCode;
use url::form_urlencoded;

use super::{
    Settings,
    client_auth_method::ClientAuthMethod,
    http::HttpResponse,
    preset::{Audience, Preset},
    token_call::error_code,
};
use crate::{jose::Algorithm, secret::Secret};

/// One form of a method. Providers differ in how they compare a Basic header, and in the audience that an assertion must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuthVariant {
    /// Identifier and secret are form-encoded in the header (RFC 6749 section 2.3.1).
    Basic,
    /// They are in the header as they are, for providers that do not decode them.
    BasicUnencoded,
    Post,
    SecretJwt(Audience),
    PrivateKeyJwt(Audience),
    None,
}

/// An endpoint that authenticates clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientEndpoint {
    Token,
    Revocation,
    Introspection,
}

impl ClientEndpoint {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Token, Self::Revocation, Self::Introspection];

    /// What the names of the endpoint's members in the metadata begin with.
    pub(super) fn metadata_prefix(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Introspection => "introspection",
        }
    }
}

/// What the metadata tell of one endpoint's client authentication (RFC 8414 section 2). `None` is an absent list.
#[derive(Clone, Debug, Default)]
pub(super) struct SupportedAuth {
    /// `…_endpoint_auth_methods_supported`.
    pub(super) methods: Option<Vec<String>>,
    /// `…_endpoint_auth_signing_alg_values_supported`.
    pub(super) algorithms: Option<Vec<String>>,
}

impl ClientAuthVariant {
    /// The method, and the form where it is not the usual one.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::BasicUnencoded => "client_secret_basic without form encoding",
            Self::Post => "client_secret_post",
            Self::SecretJwt(Audience::TokenEndpoint) => "client_secret_jwt",
            Self::SecretJwt(Audience::Issuer) => "client_secret_jwt with the issuer as its audience",
            Self::SecretJwt(Audience::CalledEndpoint) => "client_secret_jwt with the called endpoint as its audience",
            Self::PrivateKeyJwt(Audience::TokenEndpoint) => "private_key_jwt",
            Self::PrivateKeyJwt(Audience::Issuer) => "private_key_jwt with the issuer as its audience",
            Self::PrivateKeyJwt(Audience::CalledEndpoint) => "private_key_jwt with the called endpoint as its audience",
            Self::None => "none",
        }
    }
}

impl SupportedAuth {
    /// Whether a method is listed, if there is a list.
    fn lists(&self, method: ClientAuthMethod) -> Option<bool> {
        self.methods.as_ref().map(|methods| methods.iter().any(|name| name == method.name()))
    }

    /// Whether assertions may be signed with this algorithm.
    pub(super) fn signs_with(&self, algorithm: Algorithm) -> bool {
        self.algorithms.as_ref().is_none_or(|names| names.iter().any(|name| name == algorithm.name()))
    }
}

/// The forms in which this client may authenticate at an endpoint, in the order in which they are tried; never empty. The
/// administrator's method alone counts where it is set. The first form is the usual one, and the others are tried when it is
/// refused.
pub(super) fn variants(
    settings: &Settings,
    preset: &Preset,
    endpoint: ClientEndpoint,
    supported: &SupportedAuth,
) -> Vec<ClientAuthVariant> {
    let mut methods = settings.client_auth_method.map_or_else(|| usable_methods(settings, supported), |method| vec![method]);
    if methods.is_empty() {
        methods.push(if settings.client_key.is_some() { ClientAuthMethod::PrivateKeyJwt } else { ClientAuthMethod::SecretBasic });
    }
    methods.into_iter().flat_map(|method| method.variants(settings, preset, endpoint)).collect()
}

/// The methods that the metadata leave to this client, the usual one first. Without a list these are `client_secret_basic`, which
/// every provider supports then (RFC 8414 section 2), and `client_secret_post`, which most support. Few providers list `none`, the
/// method of public clients.
pub(super) fn usable_methods(settings: &Settings, supported: &SupportedAuth) -> Vec<ClientAuthMethod> {
    use ClientAuthMethod::{None as NoMethod, PrivateKeyJwt, SecretBasic, SecretJwt, SecretPost};
    if settings.client_key.is_some() {
        return if supported.lists(PrivateKeyJwt) == Some(false) { Vec::new() } else { vec![PrivateKeyJwt] };
    }
    let Some(secret) = &settings.client_secret else { return vec![NoMethod] };
    // What is shorter than the hash is no key for an HMAC (RFC 7518 section 3.2).
    let is_key = Algorithm::Hs256.min_secret_len().is_none_or(|shortest| secret.expose().len() >= shortest);
    let mut methods = vec![SecretBasic, SecretPost];
    methods.retain(|method| supported.lists(*method) != Some(false));
    if supported.lists(SecretJwt) == Some(true) && supported.signs_with(Algorithm::Hs256) && is_key {
        methods.push(SecretJwt);
    }
    methods
}

impl ClientAuthMethod {
    /// The forms of this method, the usual one first.
    fn variants(self, settings: &Settings, preset: &Preset, endpoint: ClientEndpoint) -> Vec<ClientAuthVariant> {
        match self {
            Self::SecretBasic if has_unencoded_form(settings) => {
                vec![ClientAuthVariant::Basic, ClientAuthVariant::BasicUnencoded]
            }
            Self::SecretBasic => vec![ClientAuthVariant::Basic],
            Self::SecretPost => vec![ClientAuthVariant::Post],
            Self::SecretJwt => audiences(preset, endpoint).map(ClientAuthVariant::SecretJwt).collect(),
            Self::PrivateKeyJwt => audiences(preset, endpoint).map(ClientAuthVariant::PrivateKeyJwt).collect(),
            Self::None => vec![ClientAuthVariant::None],
        }
    }
}

/// Whether form encoding changes the identifier or a secret, so that it matters whether the provider decodes them. An identifier
/// with a colon cannot be sent without it (RFC 7617 section 2).
fn has_unencoded_form(settings: &Settings) -> bool {
    let secrets = settings.client_secret.iter().chain(&settings.previous_secret).map(Secret::expose);
    let mut texts = secrets.chain([settings.client_id.as_str()]);
    !settings.client_id.contains(':') && texts.any(|text| form_encoded(text) != text)
}

/// A text in the form encoding (RFC 6749 appendix B).
pub(super) fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The audiences that an assertion may name at an endpoint: the preset's first.
fn audiences(preset: &Preset, endpoint: ClientEndpoint) -> impl Iterator<Item = Audience> {
    let usual = match (preset.assertion_audience, endpoint) {
        (Audience::CalledEndpoint, ClientEndpoint::Token) => Audience::TokenEndpoint,
        (audience, _) => audience,
    };
    let others = [Audience::TokenEndpoint, Audience::Issuer].into_iter().filter(move |audience| *audience != usual);
    [usual].into_iter().chain(others)
}

/// Whether the provider refused to authenticate the client, so that it did nothing with what was presented. Keycloak sends
/// `unauthorized_client`, with 401, where RFC 6749 section 5.2 has `invalid_client`.
pub(super) fn is_client_auth_error(response: &HttpResponse) -> bool {
    if response.status.is_success() && error_code(&response.body).is_none() {
        return false;
    }
    response.status == StatusCode::UNAUTHORIZED
        || error_code(&response.body).is_some_and(|code| {
            matches!(code.as_str(), "invalid_client" | "unauthorized_client" | "incorrect_client_credentials")
        })
}

/// Whether the response shows that the provider has authenticated the client: it succeeds, or judges what was presented.
pub(super) fn proves_client_auth(response: &HttpResponse) -> bool {
    match error_code(&response.body) {
        None => response.status.is_success(),
        Some(code) => response.status != StatusCode::UNAUTHORIZED && code == "invalid_grant",
    }
}

/// Whether the provider calls the request malformed, as it may if it does not support the method of authentication. It has not
/// done anything then.
pub(super) fn is_malformed_request(response: &HttpResponse) -> bool {
    response.status == StatusCode::BAD_REQUEST && !proves_client_auth(response)
}

#[cfg(test)]
mod tests;
