//! Presets: how well-known providers deviate from the standards, as data.

mod lookup;
mod table;

use std::time::Duration;

use http::StatusCode;

pub use table::PRESETS;

/// One provider's quirks.
#[derive(Debug)]
pub struct Preset {
    /// The preset's name in `CODER_OIDC_PRESET`.
    pub name: &'static str,
    /// What the provider's issuers look like.
    pub(super) issuers: &'static [IssuerPattern],
    /// What its metadata show, wherever it is hosted: all of it. Empty where they show nothing of their own.
    pub(super) metadata_signs: &'static [MetadataSign],
    /// How a login requests a refresh token.
    pub(super) offline_access: OfflineAccess,
    /// A scope that requests a refresh token as `offline_access` does.
    pub(super) further_offline_scope: Option<&'static str>,
    /// What becomes of a refresh token after its use.
    pub rotation: RefreshTokenRotation,
    /// What introspection (RFC 7662) tells about its refresh tokens.
    pub introspection: RefreshIntrospection,
    /// Whether all logins of a user at a client share one refresh token.
    pub shares_refresh_tokens: bool,
    /// Whether a revocation ends all of the user's refresh tokens at the client (an Auth0 tenant may be configured to delete the
    /// grant).
    pub revocation_ends_all_grants: bool,
    /// Whether it issues a further refresh token only after `prompt=consent`.
    pub requires_prompt_consent: bool,
    /// Whether it answers `prompt=none` by redirecting the browser back (OIDC Core section 3.1.2.1), and not with a page of its
    /// own.
    pub supports_prompt_none: bool,
    /// Whether it leaves many groups out of its tokens, and Microsoft Graph tells them.
    pub(super) tells_groups_by_graph: bool,
    /// How long a login lasts where it brings one refresh token that is never replaced: its default, if a token response does not
    /// tell.
    pub login_lifetime: Option<Duration>,
    /// The audience that it expects of the client's assertions.
    pub(super) assertion_audience: Audience,
    /// How a browser logs out.
    pub(super) logout: LogoutForm,
    /// When a refresh token that is not used expires, if the token response does not tell.
    pub(super) idle_expiry: IdleExpiry,
    /// Whether `grant_types_supported` has `refresh_token` where refresh tokens are issued.
    pub(super) lists_refresh_token_grant: bool,
    /// Error responses to a refresh whose meaning differs from RFC 6749.
    pub error_rules: &'static [ErrorRule],
}

/// A pattern of issuers.
#[derive(Clone, Copy, Debug)]
pub(super) enum IssuerPattern {
    /// This issuer, with or without a slash at its end.
    Exact(&'static str),
    /// The host begins with this.
    HostPrefix(&'static str),
    /// The host ends with this.
    HostSuffix(&'static str),
    /// The path contains this.
    PathContains(&'static str),
    /// The path ends with this.
    PathSuffix(&'static str),
}

/// Something in metadata that is a product's own.
#[derive(Clone, Copy, Debug)]
pub(super) enum MetadataSign {
    /// `scopes_supported` has this scope.
    Scope(&'static str),
    /// There is this member.
    Member(&'static str),
    /// The path of the address in this member contains this.
    PathContains(&'static str, &'static str),
    /// The path of the address in this member ends with this.
    PathSuffix(&'static str, &'static str),
}

/// What a preset was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetectedBy {
    /// `CODER_OIDC_PRESET`.
    Setting,
    /// The issuer.
    Issuer,
    /// The metadata.
    Metadata,
    /// Nothing: it is the generic one.
    Nothing,
}

/// How a browser logs out at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogoutForm {
    /// OpenID Connect RP-Initiated Logout 1.0.
    Standard,
    /// With parameters of its own only, at the end-session endpoint, or else at this path of the authorization endpoint's host.
    Own(OwnLogout),
    /// By the standard if the metadata have an end-session endpoint, else in its own form.
    OwnIfUnlisted(OwnLogout),
}

/// A logout that takes the parameters `client_id` and this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnLogout {
    pub(super) path: &'static str,
    /// The parameter for the address to which the browser returns.
    pub(super) return_to: &'static str,
}

/// How a login requests a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfflineAccess {
    /// With the scope `offline_access`.
    Scope,
    /// With that scope if the metadata list it.
    ScopeIfSupported,
    /// Not at all: every login brings one. The scope requests another kind, which is left to the administrator.
    Implicit,
    /// Not at all: every login brings one, and the scope is refused.
    ImplicitWithoutScope,
    /// With this parameter of the authorization URL; the scope is refused.
    Parameter(&'static str, &'static str),
}

impl OfflineAccess {
    /// Whether a login without the scope `offline_access` brings no refresh token.
    pub(super) fn needs_scope(self) -> bool {
        match self {
            Self::Scope | Self::ScopeIfSupported => true,
            Self::Implicit | Self::ImplicitWithoutScope | Self::Parameter(_, _) => false,
        }
    }
}

/// When a refresh token that is not used expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleExpiry {
    /// The provider's configuration decides.
    Unknown,
    /// After this duration: the provider's default.
    After(Duration),
    /// Together with the access token of the same response, so that it must be renewed before.
    WithAccessToken,
}

/// The audience (`aud`) of an assertion that authenticates the client (RFC 7523 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// The token endpoint's address, also at other endpoints (OIDC Core section 9).
    TokenEndpoint,
    /// The issuer identifier (FAPI 2.0 Security Profile section 5.3.3.1).
    Issuer,
    /// The address of the endpoint that is called.
    CalledEndpoint,
}

/// What becomes of a refresh token after its use (RFC 9700 section 4.14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshTokenRotation {
    /// It stays valid, even if each response brings a new one.
    Reusable,
    /// A new one replaces it, and it stays valid for this reuse interval.
    ReuseInterval(Duration),
    /// A new one replaces it, and a second use counts as theft, which revokes the grant.
    ReuseDetection,
    /// A new one replaces it; a second use is refused and has no other consequence.
    SingleUse,
    /// No new one is ever issued, and it stays valid.
    NonRotating,
    /// The provider's configuration decides, so the behaviour is observed at renewals.
    Observed,
}

/// What introspection tells about refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshIntrospection {
    /// A valid token is active and a used one is not; the call uses nothing up.
    Works,
    /// The provider has not been tested. An active token is believed to be valid all the same.
    Untested,
    /// Every token is called inactive, so introspection is not used.
    Unreliable,
}

/// An error response to a refresh, and its meaning.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRule {
    /// The status; `None` matches any.
    pub status: Option<StatusCode>,
    /// The `error` member; empty: a response without one.
    pub code: &'static str,
    /// The meaning.
    pub meaning: ErrorMeaning,
}

/// What an error response means by these rules.
pub fn error_meaning(rules: &[ErrorRule], status: StatusCode, code: &str) -> Option<ErrorMeaning> {
    let fits = |rule: &&ErrorRule| rule.code == code && rule.status.is_none_or(|only| only == status);
    rules.iter().find(fits).map(|rule| rule.meaning)
}

/// What an error response means for the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorMeaning {
    /// The grant has ended.
    Dead,
    /// The client's settings are wrong, here or at the provider.
    Client,
    /// This grant needs an administrator's attention; others are not affected.
    Grant,
    /// Nothing; the refresh is tried again.
    Retry,
    /// Unknown: the token may have been used.
    Ambiguous,
}

impl IdleExpiry {
    /// How long a refresh token lives unused that came with an access token of this lifetime.
    pub(super) fn lifetime(self, access: Duration) -> Option<Duration> {
        match self {
            Self::Unknown => None,
            Self::After(lifetime) => Some(lifetime),
            Self::WithAccessToken => Some(access),
        }
    }
}

impl RefreshTokenRotation {
    /// Whether a second use of a refresh token may count as theft.
    pub fn may_detect_reuse(self) -> bool {
        match self {
            Self::ReuseDetection | Self::Observed => true,
            Self::Reusable | Self::ReuseInterval(_) | Self::SingleUse | Self::NonRotating => false,
        }
    }

    /// How long a used refresh token stays valid, if that is known.
    pub fn reuse_interval(self) -> Option<Duration> {
        if let Self::ReuseInterval(grace) = self { Some(grace) } else { None }
    }
}
