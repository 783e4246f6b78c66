//! The presets, one a provider; what is not said of one is as [`GENERIC`] has it.

use std::time::Duration;

use http::StatusCode;

use super::{Answer, Issuer, Meaning, Offline, Preset, RefreshIntrospection, RotationClass};

const DAY: u64 = 86_400;

const fn days(days: u64) -> Option<Duration> {
    Some(Duration::from_secs(days * DAY))
}

const fn answer(code: &'static str, means: Meaning) -> Answer {
    Answer { status: None, code, means }
}

/// What is taken of a provider that nobody here knows.
pub(super) const GENERIC: Preset = Preset {
    name: "generic",
    issuers: &[],
    scope: None,
    offline: Offline::ScopeIfListed,
    rotation: RotationClass::Learnt,
    introspection: RefreshIntrospection::Untried,
    shares_grants: false,
    revokes_all: false,
    wants_consent: false,
    answers_prompt_none: true,
    idle: None,
    answers: &[],
};

/// Ory's answer to two requests with one token that come at once; the token is as good as before.
const ORY: &[Answer] = &[answer("invalid_request", Meaning::Retry)];

/// All presets. Where a provider's setting decides whether tokens rotate, renewals show it ([`RotationClass::Learnt`]).
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "google",
        issuers: &[Issuer::Is("https://accounts.google.com")],
        offline: Offline::Parameter("access_type", "offline"),
        rotation: RotationClass::Reusable,
        shares_grants: true,
        wants_consent: true,
        idle: days(180),
        answers: &[
            answer("invalid_rapt", Meaning::Dead),
            answer("deleted_client", Meaning::Client),
            answer("disabled_client", Meaning::Client),
            answer("org_internal", Meaning::Client),
            answer("admin_policy_enforced", Meaning::Grant),
        ],
        ..GENERIC
    },
    Preset {
        name: "entra",
        issuers: &[
            Issuer::HostBegins("login.microsoftonline."),
            Issuer::HostBegins("login.partner.microsoftonline."),
            Issuer::HostBegins("sts.windows.net"),
        ],
        offline: Offline::Scope,
        // A new token with each answer, and the old ones stay good.
        rotation: RotationClass::Reusable,
        idle: days(90),
        ..GENERIC
    },
    Preset {
        name: "okta",
        issuers: &[Issuer::HostEnds(".okta.com"), Issuer::HostEnds(".oktapreview.com"), Issuer::HostEnds(".okta-emea.com")],
        offline: Offline::Scope,
        idle: days(7),
        // A policy refuses this user now; it may not tomorrow.
        answers: &[answer("access_denied", Meaning::Grant)],
        ..GENERIC
    },
    Preset {
        name: "keycloak",
        issuers: &[Issuer::Path("/realms/")],
        offline: Offline::ByItself,
        // Keycloak 26.7.3: a fresh one is active, a used one is not, and asking uses nothing up and revokes nothing.
        introspection: RefreshIntrospection::Works,
        // "Client no longer has requested consent from user".
        answers: &[answer("invalid_scope", Meaning::Dead)],
        ..GENERIC
    },
    Preset {
        name: "auth0",
        issuers: &[Issuer::HostEnds(".auth0.com")],
        offline: Offline::Scope,
        revokes_all: true,
        idle: days(30),
        ..GENERIC
    },
    Preset {
        name: "gitlab",
        issuers: &[Issuer::Is("https://gitlab.com")],
        scope: Some("read_user"),
        offline: Offline::NeverScope,
        rotation: RotationClass::Strict,
        ..GENERIC
    },
    Preset { name: "pingfederate", idle: days(30), ..GENERIC },
    Preset {
        name: "pingone",
        issuers: &[Issuer::HostBegins("auth.pingone.")],
        offline: Offline::Scope,
        idle: days(30),
        ..GENERIC
    },
    Preset { name: "onelogin", issuers: &[Issuer::HostEnds(".onelogin.com")], offline: Offline::ByItself, ..GENERIC },
    Preset { name: "cognito", issuers: &[Issuer::HostBegins("cognito-idp.")], offline: Offline::NeverScope, ..GENERIC },
    Preset {
        name: "dex",
        issuers: &[Issuer::PathEnds("/dex")],
        offline: Offline::Scope,
        // Dex 2.45.1: an old token is 400 once `reuseInterval` is over, and its successor stays good.
        rotation: RotationClass::Unpunished,
        shares_grants: true,
        idle: days(90),
        answers: &[
            // "Refresh token is invalid or has already been claimed by another client", "Refresh token expired".
            Answer { status: Some(StatusCode::BAD_REQUEST), code: "invalid_request", means: Meaning::Dead },
            // A connector or the storage failed, before or after the token was replaced.
            Answer { status: Some(StatusCode::INTERNAL_SERVER_ERROR), code: "invalid_request", means: Meaning::Ambiguous },
        ],
        ..GENERIC
    },
    Preset {
        name: "authentik",
        issuers: &[Issuer::Path("/application/o/")],
        offline: Offline::Scope,
        rotation: RotationClass::Strict,
        idle: days(30),
        ..GENERIC
    },
    Preset {
        name: "authelia",
        offline: Offline::Scope,
        rotation: RotationClass::Strict,
        idle: Some(Duration::from_secs(90 * 60)),
        ..GENERIC
    },
    Preset {
        name: "zitadel",
        // zitadel/oidc v3.52: refresh tokens are inactive, good ones too.
        introspection: RefreshIntrospection::Misleads,
        issuers: &[Issuer::HostEnds(".zitadel.cloud")],
        offline: Offline::Scope,
        rotation: RotationClass::Strict,
        idle: days(30),
        ..GENERIC
    },
    Preset {
        name: "hydra",
        // Ory Hydra 2.3.0: on its admin port alone, which metadata do not name (`CODER_OIDC_INTROSPECTION_URL`).
        introspection: RefreshIntrospection::Works,
        issuers: &[Issuer::HostEnds(".projects.oryapis.com")],
        offline: Offline::Scope,
        rotation: RotationClass::Strict,
        idle: days(30),
        answers: ORY,
        ..GENERIC
    },
    Preset {
        name: "jumpcloud",
        issuers: &[Issuer::HostEnds(".jumpcloud.com")],
        offline: Offline::Scope,
        answers: ORY,
        ..GENERIC
    },
    Preset {
        name: "adfs",
        issuers: &[Issuer::PathEnds("/adfs")],
        offline: Offline::ByItself,
        rotation: RotationClass::Single,
        ..GENERIC
    },
    Preset {
        // Mounted at `/o/` by its documentation.
        name: "django-oauth-toolkit",
        issuers: &[Issuer::PathEnds("/o")],
        offline: Offline::ByItself,
        // Its metadata list `none`, and it answers with an internal error (500).
        answers_prompt_none: false,
        ..GENERIC
    },
    Preset {
        // Answers errors with status 200. It has no discovery, so logins need a bridge that has.
        name: "github",
        issuers: &[Issuer::Is("https://github.com")],
        offline: Offline::ByItself,
        rotation: RotationClass::Strict,
        answers: &[
            answer("bad_refresh_token", Meaning::Dead),
            answer("incorrect_client_credentials", Meaning::Client),
            answer("unverified_user_email", Meaning::Grant),
        ],
        ..GENERIC
    },
    GENERIC,
];
