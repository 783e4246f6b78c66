//! Finds the preset of a name, or of an issuer.

use super::{
    IssuerPattern, Preset,
    table::{GENERIC, PRESETS},
};

impl Preset {
    /// The preset with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The preset for an issuer and the scopes in its metadata, which are empty before discovery.
    pub(in crate::oidc) fn of(issuer: &str, scopes_supported: &[String]) -> &'static Self {
        let url = url::Url::parse(issuer).ok();
        let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let path = url.as_ref().map(url::Url::path).unwrap_or_default();
        let looks = |pattern: &IssuerPattern| match pattern {
            IssuerPattern::Exact(whole) => issuer.trim_end_matches('/') == *whole,
            IssuerPattern::HostPrefix(begin) => host.starts_with(begin),
            IssuerPattern::HostSuffix(end) => host.ends_with(end),
            IssuerPattern::PathContains(part) => path.contains(part),
            IssuerPattern::PathSuffix(end) => path.trim_end_matches('/').ends_with(end),
        };
        let lists =
            |preset: &&Self| preset.distinctive_scope.is_some_and(|scope| scopes_supported.iter().any(|listed| listed == scope));
        PRESETS.iter().find(|preset| preset.issuers.iter().any(looks)).or_else(|| PRESETS.iter().find(lists)).unwrap_or(&GENERIC)
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
