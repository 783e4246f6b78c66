//! The OpenID provider: its metadata, the calls to it, and the verification of what it returns.
//!
//! The issuer URL and PKCE are the `openidconnect` crate's. The token call is Evergate's own: renewal decides by whether a
//! request took effect, which status came with which error and how long to wait, which the crate's errors do not carry.
//! Metadata and claims are read here too: the crate parses all of them into types, so that a member that nobody needs could
//! make logins fail. Signatures are verified in [`jose`](crate::jose).

mod access_token;
mod access_token_claims;
mod access_token_verification;
mod authorization;
mod back_channel_logout;
mod claims;
mod client_assertion;
mod client_auth;
mod client_auth_method;
mod client_credentials;
mod client_key;
mod discovery;
mod document;
mod error;
mod event_poll;
mod event_signature;
mod examination;
mod front_channel_logout;
mod group_names;
mod groups_overage;
mod http;
mod id_token;
mod introspection;
mod issuer;
mod key_cache;
mod keys;
mod learnt_auth;
mod logout;
mod logout_token;
mod loopback;
mod merge;
mod preset;
mod provider;
mod providers;
mod proxy;
mod proxy_connector;
mod pushed_authorization;
mod refresh_verification;
mod revocation;
mod revocation_assertion;
mod roles;
mod security_event_token;
mod token_call;
mod token_exchange;
mod token_issuer;
mod userinfo;

use std::{collections::BTreeMap, time::Duration};

use crate::secret::Secret;

pub use access_token::{AccessToken, AccessTokenError, OtherNames};
pub use authorization::{AuthorizationOptions, CallbackProof, LOGIN_PARAMETERS};
pub use claims::{ClaimMapping, Claims, ClaimsError, is_name};
pub use client_auth_method::ClientAuthMethod;
pub use client_key::{ClientKeyError, ClientKeyFiles};
pub use error::ProviderError;
pub use event_poll::{PollError, PollReport, PollRequest, Polled};
pub use event_signature::EventError;
pub use examination::{ClientProbe, Examination, RedirectProbe};
pub use group_names::GroupNames;
pub use http::FetchError;
pub use id_token::VerifyError;
pub use introspection::Introspection;
pub use keys::PublishedKey;
pub use logout_token::LogoutToken;
pub use loopback::is_loopback;
pub use preset::{ErrorMeaning, ErrorRule, PRESETS, Preset, RefreshTokenRotation, error_meaning};
pub use provider::Provider;
pub use providers::Providers;
pub use proxy::ProxySettings;
pub use refresh_verification::{LocalVerdict, RefreshVerdict};
pub use roles::Roles;
pub use security_event_token::{EventDelivery, SecurityEventRefusal, SecurityEventToken};
pub use token_call::{FailedExchange, TokenFailure, TokenResponse, UnverifiedToken, VerifiedLogin, safe_description};
pub use token_issuer::{IssuerMetadata, TokenIssuer, TokenIssuerSettings};

/// The administrator's settings of the provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name by which logins and routes name the provider: that of its `[[provider]]` table, or [`DEFAULT_NAME`].
    pub name: String,
    /// `CODER_OIDC_ISSUER_URL`, exactly as the provider writes it.
    pub issuer: String,
    /// `CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS`.
    pub skip_issuer_checks: bool,
    /// `CODER_OIDC_PRESET`; `None` recognises the provider by its issuer.
    pub preset: Option<&'static Preset>,
    /// `CODER_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `CODER_OIDC_CLIENT_SECRET`; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// `CODER_OIDC_CLIENT_SECRET_PREVIOUS`: the other secret while one is being rotated.
    pub previous_secret: Option<Secret>,
    /// The private key, instead of a secret.
    pub client_key: Option<ClientKeyFiles>,
    /// `CODER_OIDC_CLIENT_AUTH_METHOD`; `None` leaves it to the metadata, and to what is learnt from refusals.
    pub client_auth_method: Option<ClientAuthMethod>,
    /// `CODER_OIDC_SCOPES`; `None` leaves them to the preset and the metadata.
    pub scopes: Option<Vec<String>>,
    /// `CODER_OIDC_AUTH_URL_PARAMS`.
    pub auth_params: BTreeMap<String, String>,
    /// `CODER_OIDC_PAR`: whether authorization requests are pushed; `None` pushes them where the metadata require it.
    pub pushed_authorization: Option<bool>,
    /// `CODER_OIDC_SILENT_LOGIN`: whether `prompt=none` is used; `None` leaves it to the preset and the metadata.
    pub silent_login: Option<bool>,
    /// `CODER_OIDC_IGNORE_USERINFO`.
    pub ignore_userinfo: bool,
    /// `CODER_OIDC_ACCESS_TOKEN_CLAIMS`: whether the access token, a JWT, has claims that the ID token has not.
    pub access_token_claims: bool,
    /// Which claims hold the identity.
    pub mapping: ClaimMapping,
    /// `CODER_OIDC_REFRESH_TOKEN_GRACE`: how long a used refresh token may be presented again; `None` leaves it to the preset.
    pub refresh_token_reuse_interval: Option<Duration>,
    /// `CODER_OIDC_INTROSPECTION_URL`; `None` leaves it to the metadata and the preset.
    pub introspection_url: Option<url::Url>,
    /// `CODER_OIDC_GRAPH_URL`; `None` leaves it to the metadata.
    pub graph_url: Option<url::Url>,
    /// `CODER_OIDC_EVENT_ISSUER_URL`: who signs the provider's requests to revoke and its security events; `None` if that is the issuer.
    pub event_issuer: Option<String>,
    /// `CODER_OIDC_EVENT_SECRET`: what the transmitter of security events brings besides its signature.
    pub event_secret: Option<Secret>,
    /// `CODER_OIDC_EVENT_AUDIENCE`: further audiences of security events.
    pub event_audiences: Vec<String>,
    /// `CODER_OIDC_EVENT_POLL_URL`: where security events are polled for; `None` polls for none.
    pub event_poll: Option<EventPollSettings>,
    /// `CODER_OIDC_REVOCATION_SECRET`: what security tools bring to have users ended.
    pub revocation_secret: Option<Secret>,
    /// `CODER_SCIM_AUTH_HEADER`: what a SCIM client brings that provisions the provider's users.
    pub scim_secret: Option<Secret>,
    /// `CODER_OIDC_TOKEN_TIMEOUT`: the deadline of a whole token call.
    pub token_timeout: Duration,
    /// `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: ProxySettings,
}

/// Where security events are polled for.
#[derive(Clone, Debug)]
pub struct EventPollSettings {
    /// `CODER_OIDC_EVENT_POLL_URL`.
    pub url: url::Url,
    /// `CODER_OIDC_EVENT_POLL_TOKEN`.
    pub token: Option<Secret>,
}

/// The name of the provider of the environment.
pub const DEFAULT_NAME: &str = "default";

/// The assumed life of an access token whose response does not tell it.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

/// The refresh token of a health probe, which shows whether the token endpoint works and accepts this client. It was never
/// issued, so whatever becomes of it affects no grant.
pub const DUMMY_REFRESH_TOKEN: &str = "evergate-asks-whether-this-endpoint-answers";

/// How far clocks may differ before a token is refused for its times.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// How far ahead of this machine's clock whoever tells of an end may have signed it: few send it again, so that one which is refused for a
/// clock is lost.
pub const END_LEEWAY: Duration = Duration::from_secs(300);

/// The deadline of calls other than token calls: discovery, keys, user info, revocation, introspection.
const SHORT_CALL_TIMEOUT: Duration = Duration::from_secs(10);

impl Settings {
    /// How long ago a user may have authenticated at the provider, by `max_age` among the parameters of the authorization request.
    fn max_age(&self) -> Option<Duration> {
        self.auth_params.get("max_age")?.parse().ok().map(Duration::from_secs)
    }
}

#[cfg(test)]
impl Settings {
    /// A public client's settings, all others at their defaults.
    fn of_test(issuer: &str) -> Self {
        Self {
            name: DEFAULT_NAME.into(),
            issuer: issuer.into(),
            skip_issuer_checks: false,
            preset: None,
            client_id: "c".into(),
            client_secret: None,
            previous_secret: None,
            client_key: None,
            client_auth_method: None,
            scopes: None,
            auth_params: BTreeMap::new(),
            pushed_authorization: None,
            silent_login: None,
            ignore_userinfo: false,
            access_token_claims: false,
            mapping: ClaimMapping::default(),
            refresh_token_reuse_interval: None,
            introspection_url: None,
            graph_url: None,
            event_issuer: None,
            event_secret: None,
            event_audiences: Vec::new(),
            event_poll: None,
            revocation_secret: None,
            scim_secret: None,
            token_timeout: Duration::from_secs(1),
            proxy: ProxySettings::default(),
        }
    }
}

#[cfg(test)]
mod fuzz;
