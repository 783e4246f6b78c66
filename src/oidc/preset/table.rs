//! The presets, one per provider. Members that a preset does not set are as in [`GENERIC`].
//!
//! A comment names the source of a fact and its date. Where none stands, it is the
//! provider's documentation and its public metadata, as gathered in 2026-11.

use std::time::Duration;

use http::StatusCode;

use super::{
    Audience, ErrorMeaning, ErrorRule, IdleExpiry, IssuerPattern, LogoutForm, MetadataSign, OfflineAccess, OwnLogout, Preset,
    RefreshIntrospection, RefreshTokenRotation,
};

const DAY: u64 = 86_400;

const fn days(days: u64) -> IdleExpiry {
    IdleExpiry::After(Duration::from_secs(days * DAY))
}

const fn rule(code: &'static str, meaning: ErrorMeaning) -> ErrorRule {
    ErrorRule { status: None, code, meaning }
}

/// The preset of unknown providers.
pub(super) const GENERIC: Preset = Preset {
    name: "generic",
    issuers: &[],
    metadata_signs: &[],
    offline_access: OfflineAccess::ScopeIfSupported,
    further_offline_scope: None,
    rotation: RefreshTokenRotation::Observed,
    introspection: RefreshIntrospection::Untested,
    shares_refresh_tokens: false,
    revocation_ends_all_grants: false,
    requires_prompt_consent: false,
    supports_prompt_none: true,
    tells_groups_by_graph: false,
    login_lifetime: None,
    assertion_audience: Audience::TokenEndpoint,
    logout: LogoutForm::Standard,
    idle_expiry: IdleExpiry::Unknown,
    lists_refresh_token_grant: true,
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
        // entra/identity-platform, "id-token-claims-reference" and "access-token-claims-reference": groups overage claim.
        tells_groups_by_graph: true,
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
        // A custom domain shows the product by its paths: `/oauth2/v1/...` or `/oauth2/<server>/v1/...`.
        metadata_signs: &[
            MetadataSign::PathContains("authorization_endpoint", "/oauth2/"),
            MetadataSign::PathSuffix("authorization_endpoint", "/v1/authorize"),
            MetadataSign::PathSuffix("jwks_uri", "/v1/keys"),
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
        // Behind a proxy that rewrites the issuer, its paths still show it.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/protocol/openid-connect/auth"),
            MetadataSign::PathSuffix("token_endpoint", "/protocol/openid-connect/token"),
        ],
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
        // A custom domain shows the product by this member.
        metadata_signs: &[MetadataSign::Member("mfa_challenge_endpoint")],
        offline_access: OfflineAccess::Scope,
        revocation_ends_all_grants: true,
        assertion_audience: Audience::Issuer,
        idle_expiry: days(30),
        // Older tenants do not list their end-session endpoint, and have this one.
        logout: LogoutForm::OwnIfUnlisted(OwnLogout { path: "/v2/logout", return_to: "returnTo" }),
        ..GENERIC
    },
    Preset {
        name: "gitlab",
        issuers: &[IssuerPattern::Exact("https://gitlab.com")],
        // A scope of its API (doc/integration/oauth_provider.md, 2026).
        metadata_signs: &[MetadataSign::Scope("read_user")],
        offline_access: OfflineAccess::ImplicitWithoutScope,
        rotation: RefreshTokenRotation::ReuseDetection,
        ..GENERIC
    },
    Preset {
        name: "pingfederate",
        // A member of its own, in the metadata of several versions.
        metadata_signs: &[MetadataSign::Member("ping_end_session_endpoint")],
        // Its refresh tokens come with the grant type. `require_offline_access_scope_to_issue_refresh_tokens` is off by default
        // (version 12.1), so that the scope is requested where it is listed.
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "pingone",
        issuers: &[IssuerPattern::HostPrefix("auth.pingone.")],
        // A custom domain shows the product by its paths.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/as/authorize"),
            MetadataSign::PathSuffix("end_session_endpoint", "/as/signoff"),
        ],
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
        // Its developer guide: the logout endpoint takes no `id_token_hint` and no `post_logout_redirect_uri`.
        logout: LogoutForm::Own(OwnLogout { path: "/logout", return_to: "logout_uri" }),
        ..GENERIC
    },
    Preset {
        name: "dex",
        issuers: &[IssuerPattern::PathSuffix("/dex")],
        // server/handlers.go (`discoveryHandler`), 2.45: these paths under whatever issuer is configured.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/auth"),
            MetadataSign::PathSuffix("token_endpoint", "/token"),
            MetadataSign::PathSuffix("jwks_uri", "/keys"),
            MetadataSign::PathSuffix("device_authorization_endpoint", "/device/code"),
        ],
        offline_access: OfflineAccess::Scope,
        // It shows its login form all the same. Releases that keep sessions of their own (`DEX_SESSIONS_ENABLED`, July 2026) may
        // answer it; `CODER_OIDC_SILENT_LOGIN` says so.
        supports_prompt_none: false,
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
        // With one issuer for all its providers, its paths still show it.
        metadata_signs: &[MetadataSign::PathSuffix("authorization_endpoint", "/application/o/authorize/")],
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: days(30),
        ..GENERIC
    },
    Preset {
        name: "authelia",
        // Its documentation (integration/openid-connect/introduction), 4.39.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/api/oidc/authorization"),
            MetadataSign::PathSuffix("token_endpoint", "/api/oidc/token"),
        ],
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: IdleExpiry::After(Duration::from_secs(90 * 60)),
        ..GENERIC
    },
    Preset {
        name: "zitadel",
        // zitadel/oidc v3.52: all refresh tokens are called inactive.
        introspection: RefreshIntrospection::Unreliable,
        issuers: &[IssuerPattern::HostSuffix(".zitadel.cloud")],
        // zitadel/oidc's VerifyJWTAssertion looks for the issuer.
        assertion_audience: Audience::Issuer,
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/oauth/v2/authorize"),
            MetadataSign::PathSuffix("userinfo_endpoint", "/oidc/v1/userinfo"),
        ],
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
        // It lists this scope beside `offline_access`, at these paths. Without verifiable credentials it does not list
        // `credentials_endpoint_draft_00`, so that is no part of it.
        metadata_signs: &[
            MetadataSign::Scope("offline"),
            MetadataSign::PathSuffix("authorization_endpoint", "/oauth2/auth"),
            MetadataSign::PathSuffix("token_endpoint", "/oauth2/token"),
        ],
        offline_access: OfflineAccess::Scope,
        rotation: RefreshTokenRotation::ReuseDetection,
        idle_expiry: days(30),
        further_offline_scope: Some("offline"),
        error_rules: ORY,
        ..GENERIC
    },
    Preset {
        name: "jumpcloud",
        issuers: &[IssuerPattern::HostSuffix(".jumpcloud.com")],
        offline_access: OfflineAccess::Scope,
        further_offline_scope: Some("offline"),
        error_rules: ORY,
        ..GENERIC
    },
    Preset {
        name: "adfs",
        issuers: &[IssuerPattern::PathSuffix("/adfs")],
        offline_access: OfflineAccess::Implicit,
        rotation: RefreshTokenRotation::NonRotating,
        // `SsoLifetime`, 480 minutes by default, of devices that are not registered.
        login_lifetime: Some(Duration::from_secs(8 * 3600)),
        ..GENERIC
    },
    Preset {
        // Its documentation mounts it at `/o/`.
        name: "django-oauth-toolkit",
        issuers: &[IssuerPattern::PathSuffix("/o")],
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/authorize/"),
            MetadataSign::PathSuffix("token_endpoint", "/token/"),
            MetadataSign::PathSuffix("jwks_uri", "/.well-known/jwks.json"),
        ],
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
    Preset {
        name: "spring",
        // Spring Authorization Server, OidcProviderConfigurationEndpointFilter, 1.4 (2024): its default paths.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/oauth2/authorize"),
            MetadataSign::PathSuffix("jwks_uri", "/oauth2/jwks"),
            MetadataSign::PathSuffix("end_session_endpoint", "/connect/logout"),
        ],
        // By the client's grant types. A scope that is not registered for the client is refused (`invalid_scope`).
        offline_access: OfflineAccess::Implicit,
        // `TokenSettings.reuseRefreshTokens` decides (true by default), so it is observed.
        ..GENERIC
    },
    Preset {
        name: "lemonldap",
        // LemonLDAP::NG 2.16.1 as of Debian 12, and 2.18 (2023) and later. Without session management it has no
        // `check_session_iframe`.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/oauth2/authorize"),
            MetadataSign::PathSuffix("userinfo_endpoint", "/oauth2/userinfo"),
            MetadataSign::PathSuffix("end_session_endpoint", "/oauth2/logout"),
        ],
        offline_access: OfflineAccess::Scope,
        // 2.16.1 shows its login page to whoever is not logged in.
        supports_prompt_none: false,
        // It looks for access tokens only.
        introspection: RefreshIntrospection::Unreliable,
        // A refresh token that it does not find is `invalid_request` (400), and so is one that it cannot read, because its session
        // store fails: it tells the two apart nowhere. So that refusal ends no grant. It pauses this one, and after the grace the
        // browser goes through the provider, silently if it can.
        error_rules: &[rule("invalid_request", ErrorMeaning::Grant)],
        ..GENERIC
    },
    Preset {
        name: "canaille",
        // Canaille, oidc/oauth.py and its endpoints, 2025.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/oauth/authorize"),
            MetadataSign::PathSuffix("jwks_uri", "/oauth/jwks.json"),
        ],
        // By the client's grant types. Its metadata list no `offline_access`.
        offline_access: OfflineAccess::Implicit,
        // 0.3: a used token is refused (400), and its successor stays valid.
        rotation: RefreshTokenRotation::SingleUse,
        // 0.3.6, oidc/models.py (`Token.is_refresh_token_active`): one lifetime for both.
        idle_expiry: IdleExpiry::WithAccessToken,
        ..GENERIC
    },
    Preset {
        name: "glewlwyd",
        // Its plugin's documentation (docs/OIDC.md, 2.7): `/api/<plugin>/...`, and the plugin is called `oidc`.
        metadata_signs: &[
            MetadataSign::PathSuffix("authorization_endpoint", "/api/oidc/auth"),
            MetadataSign::PathSuffix("token_endpoint", "/api/oidc/token"),
        ],
        offline_access: OfflineAccess::Implicit,
        // 2.7.5 lists it among the response types.
        lists_refresh_token_grant: false,
        // It refuses a token with 400 and no body, which says nothing about why: it pauses the grant and ends none. A used token
        // revokes the others.
        error_rules: &[ErrorRule { status: Some(StatusCode::BAD_REQUEST), code: "", meaning: ErrorMeaning::Grant }],
        ..GENERIC
    },
    GENERIC,
];
