//! The provider's metadata (OIDC Discovery 1.0 section 3, RFC 8414): the members that we act on, each read on its own. The rest
//! is never parsed, so that what nobody needs keeps nobody out.

use serde_json::Value;
use url::Url;

use crate::{
    jose::Algorithm,
    oidc::{
        ProviderError, Settings,
        client_auth::ClientAuth,
        plan::Plan,
        preset::{Preset, RefreshIntrospection},
    },
};

/// The part of the metadata that we act on.
#[derive(Clone, Debug)]
pub(in crate::oidc) struct Known {
    pub(in crate::oidc) issuer: String,
    pub(in crate::oidc) authorization: Url,
    pub(in crate::oidc) token: String,
    pub(in crate::oidc) userinfo: Option<String>,
    pub(in crate::oidc) revocation: Option<String>,
    pub(in crate::oidc) introspection: Option<String>,
    pub(in crate::oidc) end_session: Option<Url>,
    pub(in crate::oidc) jwks: String,
    pub(in crate::oidc) names_itself: bool,
    pub(in crate::oidc) answers_silently: bool,
    /// The `prompt` with which it lets its user choose another account.
    pub(in crate::oidc) other_account: &'static str,
    /// It says that a user can be asked for consent (`prompt=consent`).
    pub(in crate::oidc) asks_consent: bool,
    pub(in crate::oidc) auth: ClientAuth,
    /// What ID tokens and logout tokens may be signed with.
    pub(in crate::oidc) algorithms: Vec<Algorithm>,
    /// What user info may be signed with, where it is signed.
    pub(in crate::oidc) userinfo_algorithms: Vec<Algorithm>,
    pub(in crate::oidc) preset: &'static Preset,
    pub(in crate::oidc) plan: Plan,
    pub(in crate::oidc) demands: Vec<Demand>,
}

impl Known {
    /// The endpoints' names in the metadata, and their addresses.
    pub(in crate::oidc) fn endpoints(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("authorization_endpoint", Some(self.authorization.as_str())),
            ("token_endpoint", Some(&self.token)),
            ("userinfo_endpoint", self.userinfo.as_deref()),
            ("revocation_endpoint", self.revocation.as_deref()),
            ("introspection_endpoint", self.introspection.as_deref()),
            ("end_session_endpoint", self.end_session.as_ref().map(Url::as_str)),
            ("jwks_uri", Some(&self.jwks)),
        ]
    }
}

/// Something that the provider demands and we cannot do, so that logins fail until its settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Demand {
    /// RFC 9126.
    #[error("it takes pushed authorization requests only; turn require_pushed_authorization_requests off for this client")]
    PushedAuthorizationRequests,
    /// RFC 9101.
    #[error("it takes signed authorization requests only; turn require_signed_request_object off for this client")]
    SignedRequests,
    /// There is no algorithm for ID tokens that we have, but some to encrypt them with.
    #[error("it encrypts ID tokens; have it sign them only, for example with RS256 or ES256")]
    EncryptedIdTokens,
    /// `id_token_signing_alg_values_supported` has nothing for us.
    #[error(
        "it signs ID tokens with no algorithm that is accepted here; choose RS256, PS256, ES256, EdDSA or a longer variant \
         (HS256 needs a client secret of 32 bytes at least)"
    )]
    SigningAlgorithm,
    /// `token_endpoint_auth_methods_supported` has nothing for us.
    #[error(
        "it knows no way to authenticate this client; allow client_secret_basic or client_secret_post (none for a public client)"
    )]
    ClientAuthentication,
    /// `response_types_supported`, `response_modes_supported` or `grant_types_supported` have nothing for us.
    #[error(
        "it does not offer the authorization code flow with the answer in the query; allow response type code and grant type authorization_code"
    )]
    CodeFlow,
}

impl Known {
    /// Reads and checks metadata.
    pub(in crate::oidc) fn read(settings: &Settings, metadata: &Metadata) -> Result<Self, ProviderError> {
        // Compared to the last character, so read as it stands.
        let issuer = metadata.0.get("issuer").and_then(Value::as_str).ok_or(ProviderError::Metadata("issuer"))?;
        if issuer != settings.issuer {
            return Err(ProviderError::IssuerMismatch { expected: settings.issuer.clone(), found: safe(issuer) });
        }
        let lenient = Url::parse(&settings.issuer).is_ok_and(|issuer| is_loopback(&issuer));
        let optional = |name: &'static str| metadata.text(name).map(|text| endpoint(name, text, lenient)).transpose();
        let required = |name: &'static str| optional(name)?.ok_or(ProviderError::Metadata(name));
        let scopes = metadata.list("scopes_supported").unwrap_or_default();
        let prompts = metadata.list("prompt_values_supported");
        let preset = settings.preset.unwrap_or_else(|| Preset::of(&settings.issuer, &scopes));
        let signing = metadata.list("id_token_signing_alg_values_supported");
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: required("authorization_endpoint")?,
            token: required("token_endpoint")?.into(),
            jwks: required("jwks_uri")?.into(),
            // What is not asked for need not be right.
            userinfo: if settings.ignore_userinfo { None } else { optional("userinfo_endpoint")?.map(Into::into) },
            revocation: optional("revocation_endpoint")?.map(Into::into),
            introspection: match &settings.introspection {
                Some(url) => Some(url.to_string()),
                None if preset.introspection == RefreshIntrospection::Misleads => None,
                None => optional("introspection_endpoint")?.map(Into::into),
            },
            end_session: optional("end_session_endpoint")?,
            names_itself: metadata.is_set("authorization_response_iss_parameter_supported"),
            answers_silently: prompts.as_ref().is_none_or(|prompts| prompts.iter().any(|prompt| prompt == "none")),
            // `login` is the one that every provider must know (OIDC Core section 15.1).
            other_account: match prompts.iter().flatten().any(|prompt| prompt == "select_account") {
                true => "select_account",
                false => "login",
            },
            asks_consent: prompts.is_some_and(|prompts| prompts.iter().any(|prompt| prompt == "consent")),
            auth: client_auth(metadata.list("token_endpoint_auth_methods_supported").as_deref()),
            algorithms: algorithms(signing.as_deref(), settings),
            userinfo_algorithms: algorithms(metadata.list("userinfo_signing_alg_values_supported").as_deref(), settings),
            preset,
            plan: Plan::new(settings, preset, &scopes),
            demands: demands(settings, metadata),
        })
    }
}

/// A document of metadata.
#[derive(Debug, Default)]
pub(in crate::oidc) struct Metadata(serde_json::Map<String, Value>);

impl Metadata {
    pub(in crate::oidc) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self)
    }

    /// A member's text. Empty counts as absent, and so does what is no text.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// A member's list. One that holds nothing counts as absent; one that is written as a text is taken for its words.
    fn list(&self, name: &str) -> Option<Vec<String>> {
        let list: Vec<String> = match self.0.get(name)? {
            Value::Array(members) => members.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Value::String(words) => words.split([' ', ',']).map(str::to_owned).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        };
        let list: Vec<String> = list.into_iter().filter(|member| !member.is_empty()).collect();
        (!list.is_empty()).then_some(list)
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_bool() == Some(true) || value.as_str() == Some("true"))
    }
}

/// A provider on this machine may speak plain http; any other would show tokens to the network.
fn endpoint(name: &'static str, text: &str, lenient: bool) -> Result<Url, ProviderError> {
    let url = Url::parse(text).map_err(|_| ProviderError::Metadata(name))?;
    let http = url.scheme() == "http" && lenient && is_loopback(&url);
    if url.scheme() == "https" || http { Ok(url) } else { Err(ProviderError::Metadata(name)) }
}

fn client_auth(methods: Option<&[String]>) -> ClientAuth {
    let has = |name: &str| methods.is_some_and(|methods| methods.iter().any(|method| method == name));
    if has("client_secret_post") && !has("client_secret_basic") { ClientAuth::Post } else { ClientAuth::Basic }
}

/// What tokens may be signed with: what the metadata list and we have; where they list nothing, whatever has public keys.
/// A shared secret serves only where it is listed and no shorter than the hash (RFC 7518 section 3.2).
fn algorithms(listed: Option<&[String]>, settings: &Settings) -> Vec<Algorithm> {
    let Some(listed) = listed else { return Algorithm::ASYMMETRIC.to_vec() };
    let secrets = [&settings.client_secret, &settings.previous_secret];
    let longest = secrets.into_iter().flatten().map(|secret| secret.expose().len()).max().unwrap_or_default();
    let usable = |algorithm: &Algorithm| algorithm.shortest_secret().is_none_or(|shortest| longest >= shortest);
    listed.iter().filter_map(|name| Algorithm::named(name)).filter(usable).collect()
}

fn demands(settings: &Settings, metadata: &Metadata) -> Vec<Demand> {
    let signing = metadata.list("id_token_signing_alg_values_supported");
    let signs = !algorithms(signing.as_deref(), settings).is_empty();
    let nothing_but_none = signing.as_ref().is_some_and(|names| names.iter().all(|name| name == "none"));
    let encrypts_alone = nothing_but_none && metadata.list("id_token_encryption_alg_values_supported").is_some();
    let lacks = |name: &str, needed: &[&str]| {
        metadata.list(name).is_some_and(|members| !members.iter().any(|member| needed.contains(&member.as_str())))
    };
    let methods: &[&str] = match settings.client_secret {
        Some(_) => &["client_secret_basic", "client_secret_post"],
        None => &["none"],
    };
    // A public client is authenticated by nothing, and few providers list that.
    let unknown_client = settings.client_secret.is_some() && lacks("token_endpoint_auth_methods_supported", methods);
    let no_code = lacks("response_types_supported", &["code"])
        || lacks("response_modes_supported", &["query"])
        || lacks("grant_types_supported", &["authorization_code"]);
    let all = [
        (metadata.is_set("require_pushed_authorization_requests"), Demand::PushedAuthorizationRequests),
        (metadata.is_set("require_signed_request_object"), Demand::SignedRequests),
        (!signs && encrypts_alone, Demand::EncryptedIdTokens),
        (!signs && !encrypts_alone, Demand::SigningAlgorithm),
        (unknown_client, Demand::ClientAuthentication),
        (no_code, Demand::CodeFlow),
    ];
    all.into_iter().filter_map(|(is_made, demand)| is_made.then_some(demand)).collect()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// What a provider calls itself, for the log and a page.
fn safe(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests;
