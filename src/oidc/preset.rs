//! What we know of providers' habits where they differ from the standards', as data.

mod table;

use std::time::Duration;

use http::StatusCode;

pub use table::PRESETS;

/// One provider's habits.
#[derive(Debug)]
pub struct Preset {
    /// Its name in `CODER_OIDC_PRESET`.
    pub name: &'static str,
    /// How its issuers look.
    pub(super) issuers: &'static [Issuer],
    /// A scope that only it lists in its metadata.
    pub(super) scope: Option<&'static str>,
    /// How it is asked for refresh tokens.
    pub(super) offline: Offline,
    /// What becomes of a refresh token that was used.
    pub rotation: RotationClass,
    /// What introspection (RFC 7662) is known to tell of its refresh tokens.
    pub introspection: RefreshIntrospection,
    /// Whether it keeps one refresh token for a user and client, whatever the number of logins.
    pub shares_grants: bool,
    /// Whether a revocation ends all of a user's refresh tokens for the client (Auth0 deletes the grant where the tenant has it so).
    pub revokes_all: bool,
    /// Whether it gives a refresh token again only to who asks with `prompt=consent`.
    pub wants_consent: bool,
    /// Whether it answers `prompt=none` (OIDC Core section 3.1.2.1) by sending the browser back, and not with a page of its own.
    pub answers_prompt_none: bool,
    /// How long a refresh token lives unused where its answers do not tell.
    pub idle: Option<Duration>,
    /// Answers to a renewal that mean something else than RFC 6749 has it.
    pub answers: &'static [Answer],
}

/// How an issuer is recognised.
#[derive(Clone, Copy, Debug)]
pub(super) enum Issuer {
    /// This one, with or without a slash at its end.
    Is(&'static str),
    /// Its host begins so.
    HostBegins(&'static str),
    /// Its host ends so.
    HostEnds(&'static str),
    /// Its path holds this.
    Path(&'static str),
    /// Its path ends so.
    PathEnds(&'static str),
}

/// How a refresh token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offline {
    /// With the scope `offline_access`.
    Scope,
    /// With that scope if the provider lists it.
    ScopeIfListed,
    /// It comes by itself; the scope asks for another kind, and only the administrator does so.
    ByItself,
    /// It comes by itself, and the scope is refused.
    NeverScope,
    /// With this parameter of the authorization URL, and the scope is refused.
    Parameter(&'static str, &'static str),
}

/// What becomes of a refresh token that was used (classes A to D).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationClass {
    /// A: it stays good, whether or not a new one comes with each answer.
    Reusable,
    /// B: a new one replaces it, and it stays good for this long.
    Grace(Duration),
    /// C: a new one replaces it; whoever presents it again is taken for a thief.
    Strict,
    /// A new one replaces it; presenting it again is refused, and nothing else comes of it.
    Unpunished,
    /// D: there is one ever, and it stays good.
    Single,
    /// A setting of the provider's decides; what renewals show is what counts.
    Learnt,
}

/// What introspection tells of refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshIntrospection {
    /// A good one is active and a used one is not; asking uses nothing up.
    Works,
    /// Nobody here has tried. That a token is active is believed all the same.
    Untried,
    /// Every one is called inactive, so that it is not worth asking.
    Misleads,
}

/// An answer to a renewal, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// With this status, or any.
    pub status: Option<StatusCode>,
    /// With this `error`.
    pub code: &'static str,
    /// It means this.
    pub means: Meaning,
}

/// What an answer says of the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It has ended.
    Dead,
    /// The client's settings are wrong.
    Client,
    /// Something about this grant needs a person; others are not concerned.
    Grant,
    /// Nothing; try again.
    Retry,
    /// Unknown: it may have been renewed.
    Ambiguous,
}

impl RotationClass {
    /// Whether presenting a used refresh token again may be taken for theft.
    pub fn may_be_strict(self) -> bool {
        match self {
            Self::Strict | Self::Learnt => true,
            Self::Reusable | Self::Grace(_) | Self::Unpunished | Self::Single => false,
        }
    }

    /// How long a used refresh token stays good, where that is known.
    pub fn grace(self) -> Option<Duration> {
        if let Self::Grace(grace) = self { Some(grace) } else { None }
    }
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The preset for an issuer and the scopes that its metadata list, if they are known yet.
    pub(super) fn of(issuer: &str, scopes_supported: &[String]) -> &'static Self {
        let url = url::Url::parse(issuer).ok();
        let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let path = url.as_ref().map(url::Url::path).unwrap_or_default();
        let looks = |pattern: &Issuer| match pattern {
            Issuer::Is(whole) => issuer.trim_end_matches('/') == *whole,
            Issuer::HostBegins(begin) => host.starts_with(begin),
            Issuer::HostEnds(end) => host.ends_with(end),
            Issuer::Path(part) => path.contains(part),
            Issuer::PathEnds(end) => path.trim_end_matches('/').ends_with(end),
        };
        let lists = |preset: &&Self| preset.scope.is_some_and(|scope| scopes_supported.iter().any(|listed| listed == scope));
        PRESETS
            .iter()
            .find(|preset| preset.issuers.iter().any(looks))
            .or_else(|| PRESETS.iter().find(lists))
            .unwrap_or(&table::GENERIC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_recognised_by_their_issuer() {
        let cases = [
            ("https://accounts.google.com", "google"),
            ("https://login.microsoftonline.com/0000/v2.0", "entra"),
            ("https://login.microsoftonline.us/0000/v2.0", "entra"),
            ("https://acme.okta.com/oauth2/default", "okta"),
            ("https://id.example/realms/acme", "keycloak"),
            ("https://id.example/auth/realms/acme", "keycloak"),
            ("https://acme.eu.auth0.com/", "auth0"),
            ("https://gitlab.com", "gitlab"),
            ("https://auth.pingone.eu/0000/as", "pingone"),
            ("https://acme.onelogin.com/oidc/2", "onelogin"),
            ("https://cognito-idp.eu-west-1.amazonaws.com/pool", "cognito"),
            ("https://id.example/dex", "dex"),
            ("https://id.example/application/o/app/", "authentik"),
            ("https://acme.zitadel.cloud", "zitadel"),
            ("https://acme.projects.oryapis.com", "hydra"),
            ("https://oauth.id.jumpcloud.com/", "jumpcloud"),
            ("https://sts.example/adfs", "adfs"),
            ("https://id.example/o", "django-oauth-toolkit"),
            ("https://id.example/o/", "django-oauth-toolkit"),
            ("https://id.example/foo", "generic"),
            ("https://github.com", "github"),
            ("https://id.example", "generic"),
            ("https://accounts.google.com.evil.example", "generic"),
            ("https://notokta.com.example", "generic"),
        ];
        for (issuer, name) in cases {
            assert_eq!(Preset::of(issuer, &[]).name, name, "{issuer}");
        }
        assert_eq!(Preset::of("https://git.example", &["read_user".to_owned()]).name, "gitlab");
    }

    #[test]
    fn every_preset_has_a_name_of_its_own() {
        for preset in PRESETS {
            assert_eq!(PRESETS.iter().filter(|other| other.name == preset.name).count(), 1, "{}", preset.name);
        }
        assert!(Preset::named("auto").is_none());
    }
}
