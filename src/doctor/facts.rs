//! What an examination of the provider has found out, without any token, secret or name of a person.

use std::time::Duration;

/// Everything that was found out.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// `CODER_OIDC_ISSUER_URL`.
    pub(super) issuer: String,
    /// The preset in effect.
    pub(super) preset: &'static str,
    /// The redirect URI of the login.
    pub(super) redirect_uri: String,
    /// The scopes that were requested.
    pub(super) requested_scopes: Vec<String>,
    /// By which parameter a refresh token was requested, if one was.
    pub(super) requested_by: Option<&'static str>,
    /// `CODER_OIDC_GROUP_FIELD`.
    pub(super) group_field: Option<String>,
    /// `CODER_SESSION_DURATION`.
    pub(super) session_idle: Duration,
    /// How long a login lasts by the provider's default, where its refresh token is never replaced.
    pub(super) login_lifetime: Option<Duration>,
    /// What the login brought, or why it failed.
    pub(super) login: Result<LoginFacts, String>,
    /// The renewals that were tried, in order. One that fails is the last.
    pub(super) renewals: Vec<RenewalFacts>,
    /// The renewal storm, if one was asked for and there was a refresh token.
    pub(super) storm: Option<Result<StormFacts, String>>,
    /// What costs the grant to find out, if that was asked for.
    pub(super) destructive: Option<DestructiveFacts>,
    /// What became of the tokens in the end.
    pub(super) cleanup: Cleanup,
}

/// What a login brought.
#[derive(Clone, Debug)]
pub(super) struct LoginFacts {
    /// Whether it brought a refresh token.
    pub(super) has_refresh_token: bool,
    /// Whether it brought one only after the user's consent was requested once more (`prompt=consent`).
    pub(super) needed_consent: bool,
    /// The scopes that the response lists; `None` if it lists none, which means those that were requested (RFC 6749 section 5.1).
    pub(super) granted_scopes: Option<Vec<String>>,
    /// The access token's lifetime.
    pub(super) access_lifetime: Duration,
    /// How long the refresh token lives unused.
    pub(super) refresh_lifetime: Option<RefreshLifetime>,
    /// How many groups the user has.
    pub(super) groups: usize,
    /// Whether the provider left the groups out, and they could not be asked for.
    pub(super) groups_unknown: bool,
}

/// How long a refresh token lives unused, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshLifetime {
    /// The token response says so.
    Response(Duration),
    /// The preset says so: it is the provider's default, which its administrator may have changed.
    Preset(Duration),
}

impl RefreshLifetime {
    /// The duration.
    pub(super) fn duration(self) -> Duration {
        match self {
            Self::Response(duration) | Self::Preset(duration) => duration,
        }
    }
}

/// One renewal.
#[derive(Clone, Debug)]
pub(super) struct RenewalFacts {
    /// What it brought, or why it failed.
    pub(super) result: Result<Renewed, String>,
}

/// What a renewal brought.
#[derive(Clone, Debug)]
pub(super) struct Renewed {
    /// Whether it brought a new refresh token.
    pub(super) rotated: bool,
    /// Whether it brought an ID token.
    pub(super) has_id_token: bool,
    /// Whom it is about.
    pub(super) subject: Subject,
    /// How many groups the user has; `None` if the identity could not be verified.
    pub(super) groups: Option<usize>,
}

/// Whom a renewal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The user who logged in.
    Same,
    /// Somebody else, which is proven.
    Other(String),
    /// That could not be verified, for this reason.
    Unverified(String),
}

/// What a renewal storm came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct StormFacts {
    /// How many requests were made at once.
    pub(super) requests: usize,
    /// How many of them were answered with fresh tokens.
    pub(super) answered: usize,
    /// How often the provider was called for them.
    pub(super) calls: u64,
    /// How long the request waited that waited longest.
    pub(super) longest_wait: Duration,
}

/// What costs the grant to find out.
#[derive(Clone, Debug)]
pub(super) struct DestructiveFacts {
    /// What a second use of a spent refresh token led to.
    pub(super) reuse: Reuse,
    /// What a logout at the provider led to.
    pub(super) logout: Logout,
    /// What a revocation led to.
    pub(super) revocation: Revocation,
}

/// What a second use of a spent refresh token led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reuse {
    /// No refresh token is ever spent, because none is replaced.
    NotRotated,
    /// It was accepted.
    Accepted,
    /// It was refused, and its successor stays valid.
    Refused,
    /// It was refused, and its successor with it.
    EndsGrant,
    /// That could not be found out, for this reason.
    Unknown(String),
}

impl Reuse {
    /// The word in JSON.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NotRotated => "not_rotated",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::EndsGrant => "ends_grant",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What a logout at the provider led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Logout {
    /// The provider has no end-session endpoint.
    NoEndpoint,
    /// The refresh token is still accepted.
    Survived,
    /// The refresh token is refused.
    Ended,
    /// That could not be found out, for this reason.
    Unknown(String),
}

impl Logout {
    /// The word in JSON.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Survived => "survived",
            Self::Ended => "ended",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What a revocation led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Revocation {
    /// The provider has no revocation endpoint.
    NoEndpoint,
    /// The refresh token is refused.
    Works,
    /// The provider confirmed the revocation, and the refresh token is still accepted.
    HasNoEffect,
    /// That could not be found out, for this reason.
    Unknown(String),
}

impl Revocation {
    /// The word in JSON.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Works => "works",
            Self::HasNoEffect => "has_no_effect",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What became of the tokens in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// There is no refresh token that is known to be valid.
    NothingLeft,
    /// The refresh token is revoked.
    Revoked,
    /// The provider has no revocation endpoint, so the refresh token lives on until it expires.
    NoEndpoint,
    /// The revocation failed, for this reason.
    Failed(String),
}

impl Cleanup {
    /// The word in JSON.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::NothingLeft => "nothing_left",
            Self::Revoked => "revoked",
            Self::NoEndpoint => "no_endpoint",
            Self::Failed(_) => "failed",
        }
    }
}
