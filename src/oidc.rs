//! The provider: what it says of itself, the calls we make to it, and what we believe of its answers.
//!
//! The issuer's and PKCE's forms are the `openidconnect` crate's. The token call is our own: whether a request
//! took effect, which status came with which error, and how long to wait are what renewal decides by, and the
//! crate's errors do not carry them. So are metadata and tokens' claims: the crate reads all of them into types, and what
//! nobody needs must keep nobody out. Signatures are checked in [`jose`](crate::jose).

mod claims;
mod client_auth;
mod discovery;
mod error;
mod http;
mod introspection;
mod judgement;
mod keys;
mod login;
mod logout_token;
mod merge;
mod plan;
mod preset;
mod provider;
mod token_call;
mod user_info;
mod verify;

use std::{collections::BTreeMap, time::Duration};

use crate::secret::Secret;

pub use claims::{Claims, ClaimsError, Mapping};
pub use discovery::Demand;
pub use error::ProviderError;
pub use http::FetchError;
pub use introspection::Introspection;
pub use judgement::{FirstLook, Judgement};
pub use login::{Ask, CallbackProof};
pub use logout_token::LogoutToken;
pub use preset::{Answer, Meaning, PRESETS, Preset, RotationClass};
pub use provider::{Provider, Signed};
pub use token_call::{TokenAnswer, TokenFailure, safe_description};
pub use verify::{Nonce, VerifyError};

/// What the administrator says of the provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_OIDC_ISSUER_URL`, exactly as the provider writes it.
    pub issuer: String,
    /// `CODER_OIDC_PRESET`; `None` recognises the provider by its issuer.
    pub preset: Option<&'static Preset>,
    /// `CODER_OIDC_CLIENT_ID`.
    pub client_id: String,
    /// `CODER_OIDC_CLIENT_SECRET`; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// `CODER_OIDC_CLIENT_SECRET_PREVIOUS`: the other one while a secret is being rotated.
    pub previous_secret: Option<Secret>,
    /// `CODER_OIDC_SCOPES`; `None` lets the preset choose.
    pub scopes: Option<Vec<String>>,
    /// `CODER_OIDC_AUTH_URL_PARAMS`.
    pub auth_params: BTreeMap<String, String>,
    /// `CODER_OIDC_SILENT_LOGIN`: whether `prompt=none` is asked; `None` leaves it to the preset and the metadata.
    pub silent_login: Option<bool>,
    /// `CODER_OIDC_IGNORE_USERINFO`.
    pub ignore_userinfo: bool,
    /// Which claims say who somebody is.
    pub mapping: Mapping,
    /// `CODER_OIDC_REFRESH_TOKEN_GRACE`: how long a used refresh token may be presented again; `None` leaves it to the preset.
    pub rotation_grace: Option<Duration>,
    /// `CODER_OIDC_INTROSPECTION_URL`: where refresh tokens can be asked about; `None` leaves it to the metadata and the preset.
    pub introspection: Option<url::Url>,
    /// `CODER_OIDC_TOKEN_TIMEOUT`: how long a token call may take in all.
    pub token_timeout: Duration,
}

/// An access token whose life the provider does not tell is taken to live this long.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

/// Presented to see whether the token endpoint works and knows this client: nobody's refresh token, so that whatever
/// becomes of it costs nobody anything.
pub const PROBE: &str = "evergate-asks-whether-this-endpoint-answers";

/// Clocks may differ by this much before a token is refused for its times.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// How long the small calls (discovery, keys, user info, revocation) may take.
const SHORT_CALL: Duration = Duration::from_secs(10);
