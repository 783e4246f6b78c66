//! What the provider says of itself (OIDC Discovery 1.0, RFC 8414), checked once and kept.

use openidconnect::{
    AdditionalProviderMetadata, IssuerUrl, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    ProviderError, Settings,
    client_auth::ClientAuth,
    plan::Plan,
    preset::{Preset, RefreshIntrospection},
};

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Extras {
    #[serde(default)]
    end_session_endpoint: Option<String>,
    #[serde(default)]
    revocation_endpoint: Option<String>,
    #[serde(default)]
    introspection_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    prompt_values_supported: Option<Vec<String>>,
}

impl AdditionalProviderMetadata for Extras {}

pub(super) type Metadata = ProviderMetadata<
    Extras,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// The part of the metadata that we act on.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) issuer: IssuerUrl,
    pub(super) authorization: Url,
    pub(super) token: String,
    pub(super) userinfo: Option<String>,
    pub(super) revocation: Option<String>,
    pub(super) introspection: Option<String>,
    pub(super) end_session: Option<Url>,
    pub(super) jwks: openidconnect::JsonWebKeySetUrl,
    pub(super) names_itself: bool,
    pub(super) answers_silently: bool,
    /// The `prompt` with which it lets its user choose another account.
    pub(super) other_account: &'static str,
    pub(super) auth: ClientAuth,
    pub(super) preset: &'static Preset,
    pub(super) plan: Plan,
}

/// Checks the metadata; the issuer was compared when it was fetched.
pub(super) fn accept(settings: &Settings, metadata: &Metadata) -> Result<(Known, CoreJsonWebKeySet), ProviderError> {
    let extras = metadata.additional_metadata();
    let lenient = Url::parse(&settings.issuer).is_ok_and(|issuer| is_loopback(&issuer));
    let safe = |name: &'static str, url: Url| {
        // A provider on this machine may speak plain http; any other would show tokens to the network.
        let http = url.scheme() == "http" && lenient && is_loopback(&url);
        if url.scheme() == "https" || http { Ok(url) } else { Err(ProviderError::Metadata(name)) }
    };
    let optional = |name, text: &Option<String>| match text {
        Some(text) => safe(name, Url::parse(text).map_err(|_| ProviderError::Metadata(name))?).map(Some),
        None => Ok(None),
    };
    let token = metadata.token_endpoint().ok_or(ProviderError::Metadata("token_endpoint"))?.url().clone();
    let userinfo = metadata.userinfo_endpoint().map(|url| safe("userinfo_endpoint", url.url().clone())).transpose()?;
    let basic = metadata.token_endpoint_auth_methods_supported().is_none_or(|methods| {
        methods.contains(&CoreClientAuthMethod::ClientSecretBasic) || !methods.contains(&CoreClientAuthMethod::ClientSecretPost)
    });
    let scopes: Vec<String> = metadata.scopes_supported().into_iter().flatten().map(|scope| scope.as_str().to_owned()).collect();
    let preset = settings.preset.unwrap_or_else(|| Preset::of(&settings.issuer, &scopes));
    let known = Known {
        issuer: metadata.issuer().clone(),
        authorization: safe("authorization_endpoint", metadata.authorization_endpoint().url().clone())?,
        token: safe("token_endpoint", token)?.into(),
        userinfo: userinfo.map(Into::into),
        revocation: optional("revocation_endpoint", &extras.revocation_endpoint)?.map(Into::into),
        introspection: match &settings.introspection {
            Some(url) => Some(url.to_string()),
            None if preset.introspection == RefreshIntrospection::Misleads => None,
            None => optional("introspection_endpoint", &extras.introspection_endpoint)?.map(Into::into),
        },
        end_session: optional("end_session_endpoint", &extras.end_session_endpoint)?,
        jwks: metadata.jwks_uri().clone(),
        names_itself: extras.authorization_response_iss_parameter_supported,
        answers_silently: extras.prompt_values_supported.as_ref().is_none_or(|values| values.iter().any(|value| value == "none")),
        other_account: if extras.prompt_values_supported.iter().flatten().any(|value| value == "select_account") {
            "select_account"
        } else {
            // The one that every provider must know (OIDC Core section 15.1).
            "login"
        },
        auth: if basic { ClientAuth::Basic } else { ClientAuth::Post },
        preset,
        plan: Plan::new(settings, preset, &scopes),
    };
    safe("jwks_uri", known.jwks.url().clone())?;
    Ok((known, metadata.jwks().clone()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
