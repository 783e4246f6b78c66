//! The presets, one per provider. Members that a preset does not set are as in [`GENERIC`].

use std::time::Duration;

use http::StatusCode;

use super::{
    Audience, ErrorMeaning, ErrorRule, IssuerPattern, OfflineAccess, Preset, RefreshIntrospection, RefreshTokenRotation,
};

const DAY: u64 = 86_400;

const fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * DAY))
}

const fn rule(code: &'static str, meaning: ErrorMeaning) -> ErrorRule {
    ErrorRule { status: None, code, meaning }
}

/// The preset of unknown providers.
pub(super) const GENERIC: Preset = Preset {
    name: "generic",
    issuers: &[],
    distinctive_scope: None,
    offline_access: OfflineAccess::ScopeIfSupported,
    rotation: RefreshTokenRotation::Observed,
    introspection: RefreshIntrospection::Untested,
    shares_refresh_tokens: false,
    revocation_ends_all_grants: false,
    requires_prompt_consent: false,
    supports_prompt_none: true,
    assertion_audience: Audience::TokenEndpoint,
    idle_expiry: None,
    error_rules: &[],
};

/// Ory Hydra sends this when two requests present one token concurrently; the token stays valid.
const ORY: &[ErrorRule] = &[rule("invalid_request", ErrorMeaning::Retry)];

/// All presets. If the provider's configuration decides whether tokens rotate, that is observed at renewals ([`RefreshTokenRotation::Observed`]).
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "google",
        issuers: &[IssuerPattern::Exact("https://accounts.google.com")],
        offline_access: OfflineAccess::Parameter("access_type", "offline"),
        rotation: RefreshTokenRotation::Reusable,
        shares_refresh_tokens: true,
        requires_prompt_consent: true,
        idle_expiry: days(180),
        error_rules: &[
            rule("invalid_rapt", ErrorMeaning::Dead),
            rule("deleted_client", ErrorMeaning::Client),
            rule("disabled_client", ErrorMeaning::Client),
            rule("org_internal", ErrorMeaning::Client),
            rule("admin_policy_enforced", ErrorMeaning::Grant),
        ],
        ..GENERIC
    },
    Preset {
        name: "entra",
        issuers: &[
            IssuerPattern::HostPrefix("login.microsoftonline."),
            IssuerPattern::HostPrefix("login.partner.microsoftonline."),
            IssuerPattern::HostPrefix("sts.windows.net"),
        ],
        offline_access: OfflineAccess::Scope,
        // Each response brings a new token, and the old ones stay valid.
        rotation: RefreshTokenRotation::Reusable,
        idle_expiry: days(90),
        ..GENERIC
    },
    Preset {
        name: "okta",
        issuers: &[
            IssuerPattern::HostSuffix(".okta.com"),
            IssuerPattern::HostSuffix(".oktapreview.com"),
            IssuerPattern::HostSuffix(".okta-emea.com"),
        ],
        offline_access: OfflineAccess::Scope,
        idle_expiry: days(7),
        // Its documentation names "the full URL of the resource".
        assertion_audience: Audience::CalledEndpoint,
        // A policy refuses this user now, and may not do so later.
        error_rules: &[rule("access_denied", ErrorMeaning::Grant)],
        ..GENERIC
    },
    Preset {
        name: "keycloak",
        issuers: &[IssuerPattern::PathContains("/realms/")],
        offline_access: OfflineAccess::Implicit,
        // Keycloak 26.7.3: a valid token is active and a used one is not; the call uses nothing up and revokes nothing.
        introspection: RefreshIntrospection::Works,
        // "Client no longer has requested consent from user".
        error_rules: &[rule("invalid_scope", ErrorMeaning::Dead)],
        ..GENERIC
    },
    Preset {
        name: "auth0",
        issuers: &[IssuerPattern::HostSuffix(".auth0.com")],
        offline_access: OfflineAccess::Scope,
        revocation_ends_all_grants: true,
        assertion_audience: Audience::Issuer,
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "gitlab",
        issuers: &[IssuerPattern::Exact("https://gitlab.com")],
        distinctive_scope: Some("read_user"),
        offline_access: OfflineAccess::ImplicitWithoutScope,
        rotation: RefreshTokenRotation::ReuseDetection,
        ..GENERIC
    },
    Preset { name: "pingfederate", idle_expiry: days(30), ..GENERIC },
    Preset {
        name: "pingone",
        issuers: &[IssuerPattern::HostPrefix("auth.pingone.")],
        offline_access: OfflineAccess::Scope,
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "onelogin",
        issuers: &[IssuerPattern::HostSuffix(".onelogin.com")],
        offline_access: OfflineAccess::Implicit,
        ..GENERIC
    },
    Preset {
        name: "cognito",
        issuers: &[IssuerPattern::HostPrefix("cognito-idp.")],
        offline_access: OfflineAccess::ImplicitWithoutScope,
        ..GENERIC
    },
    Preset {
        name: "dex",
        issuers: &[IssuerPattern::PathSuffix("/dex")],
        offline_access: OfflineAccess::Scope,
        // Dex 2.45.1: an old token is refused (400) after `reuseInterval`, and its successor stays valid.
        rotation: RefreshTokenRotation::SingleUse,
        shares_refresh_tokens: true,
        idle_expiry: days(90),
        error_rules: &[
            // "Refresh token is invalid or has already been claimed by another client", "Refresh token expired".
            ErrorRule { status: Some(StatusCode::BAD_REQUEST), code: "invalid_request", meaning: ErrorMeaning::Dead },
            // A connector or the storage failed, before or after the token was replaced.
            ErrorRule {
                status: Some(StatusCode::INTERNAL_SERVER_ERROR),
                code: "invalid_request",
                meaning: ErrorMeaning::Ambiguous,
            },
        ],
        ..GENERIC
    },
    Preset {
        name: "authentik",
        issuers: &[IssuerPattern::PathContains("/application/o/")],
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "authelia",
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: Some(Duration::from_secs(90 * 60)),
        ..GENERIC
    },
    Preset {
        name: "zitadel",
        // zitadel/oidc v3.52: all refresh tokens are called inactive.
        introspection: RefreshIntrospection::Unreliable,
        issuers: &[IssuerPattern::HostSuffix(".zitadel.cloud")],
        // zitadel/oidc's VerifyJWTAssertion looks for the issuer.
        assertion_audience: Audience::Issuer,
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "hydra",
        // Ory Hydra 2.3.0: on its admin port only, which the metadata do not name (`CODER_OIDC_INTROSPECTION_URL`).
        introspection: RefreshIntrospection::Works,
        issuers: &[IssuerPattern::HostSuffix(".projects.oryapis.com")],
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: days(30),
        error_rules: ORY,
        ..GENERIC
    },
    Preset {
        name: "jumpcloud",
        issuers: &[IssuerPattern::HostSuffix(".jumpcloud.com")],
        offline_access: OfflineAccess::Scope,
        error_rules: ORY,
        ..GENERIC
    },
    Preset {
        name: "adfs",
        issuers: &[IssuerPattern::PathSuffix("/adfs")],
        offline_access: OfflineAccess::Implicit,
        rotation: RefreshTokenRotation::NonRotating,
        ..GENERIC
    },
    Preset {
        // Its documentation mounts it at `/o/`.
        name: "django-oauth-toolkit",
        issuers: &[IssuerPattern::PathSuffix("/o")],
        offline_access: OfflineAccess::Implicit,
        // Its metadata list `none`, and it responds with an internal error (500).
        supports_prompt_none: false,
        ..GENERIC
    },
    Preset {
        // It sends errors with status 200. It has no discovery, so logins need a bridge that has.
        name: "github",
        issuers: &[IssuerPattern::Exact("https://github.com")],
        offline_access: OfflineAccess::Implicit,
        rotation: RefreshTokenRotation::ReuseDetection,
        error_rules: &[
            rule("bad_refresh_token", ErrorMeaning::Dead),
            rule("incorrect_client_credentials", ErrorMeaning::Client),
            rule("unverified_user_email", ErrorMeaning::Grant),
        ],
        ..GENERIC
    },
    GENERIC,
];
