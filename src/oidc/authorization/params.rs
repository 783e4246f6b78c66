//! The scopes and extra parameters of authorization requests, by the settings, the metadata and the preset.

use std::collections::BTreeMap;

use crate::oidc::{
    Settings,
    preset::{OfflineAccess, Preset},
};

/// The scopes and extra parameters of every authorization request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::oidc) struct AuthorizationParams {
    /// The scopes, in order.
    pub(in crate::oidc) scopes: Vec<String>,
    /// Parameters of the authorization URL that no login needs: the administrator's and the preset's.
    pub(in crate::oidc) extra: BTreeMap<String, String>,
    /// Whether a scope requests a refresh token.
    pub(in crate::oidc) asks_by_scope: bool,
    /// Whether the administrator's parameters say otherwise than the provider's parameter that requests a refresh token.
    pub(in crate::oidc) is_parameter_overridden: bool,
    /// How refresh tokens are requested, as a clause for the log line of discovery.
    pub(in crate::oidc) note: &'static str,
}

/// The scope that requests a refresh token (OIDC Core section 11).
pub(in crate::oidc) const OFFLINE_ACCESS: &str = "offline_access";

impl AuthorizationParams {
    /// Decides what to request, by the settings, the preset and the metadata's `scopes_supported`.
    pub(in crate::oidc) fn new(settings: &Settings, preset: &Preset, scopes_supported: &[String]) -> Self {
        let mut extra = settings.auth_params.clone();
        // A provider may refuse every login for a scope that it does not support. Configured scopes are not filtered.
        let usual = ["profile", "email"]
            .into_iter()
            .filter(|scope| scopes_supported.is_empty() || scopes_supported.iter().any(|listed| listed == scope));
        let usual = || ["openid"].into_iter().chain(usual).map(str::to_owned).collect();
        let mut scopes: Vec<String> = settings.scopes.clone().unwrap_or_else(usual);
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        let is_for_offline_access =
            |scope: &String| scope == OFFLINE_ACCESS || Some(scope.as_str()) == preset.further_offline_scope;
        let asked = scopes.iter().any(is_for_offline_access);
        let mut is_parameter_overridden = false;
        let listed = scopes_supported.iter().any(|scope| scope == OFFLINE_ACCESS);
        let note = match preset.offline_access {
            OfflineAccess::Parameter(name, value) => {
                is_parameter_overridden = extra.entry(name.to_owned()).or_insert_with(|| value.to_owned()) != value;
                scopes.retain(|scope| scope != OFFLINE_ACCESS);
                if is_parameter_overridden {
                    "CODER_OIDC_AUTH_URL_PARAMS sets the parameter that asks for the refresh token to another value; users log in again when their access token expires"
                } else if asked {
                    "offline_access was left out, because this provider refuses it; a parameter asks for the refresh token instead"
                } else {
                    "a parameter asks for the refresh token, because this provider has no offline_access"
                }
            }
            OfflineAccess::ImplicitWithoutScope => {
                scopes.retain(|scope| scope != OFFLINE_ACCESS);
                if asked {
                    "offline_access was left out, because this provider refuses it; its refresh tokens come by themselves"
                } else {
                    "this provider's refresh tokens come by themselves"
                }
            }
            OfflineAccess::Scope | OfflineAccess::ScopeIfSupported | OfflineAccess::Implicit if asked => {
                "offline_access is asked for, as configured"
            }
            OfflineAccess::Implicit => "this provider's refresh tokens come by themselves",
            OfflineAccess::Scope | OfflineAccess::ScopeIfSupported if settings.scopes.is_some() => {
                "offline_access is not among the configured scopes; unless the provider gives refresh tokens without it, users log in again when their access token expires"
            }
            OfflineAccess::Scope => {
                scopes.push(OFFLINE_ACCESS.to_owned());
                "offline_access is asked for, because this provider gives refresh tokens for it"
            }
            OfflineAccess::ScopeIfSupported if listed => {
                scopes.push(OFFLINE_ACCESS.to_owned());
                "offline_access is asked for, because the provider lists it"
            }
            OfflineAccess::ScopeIfSupported => {
                "the provider does not list offline_access; set CODER_OIDC_SCOPES if it gives refresh tokens for it all the same"
            }
        };
        let asks_by_scope = scopes.iter().any(is_for_offline_access);
        Self { scopes, extra, asks_by_scope, is_parameter_overridden, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(issuer: &str, scopes: Option<&[&str]>, supported: &[&str]) -> (String, Option<String>) {
        let scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
        let settings = Settings { scopes, ..Settings::of_test(issuer) };
        let supported: Vec<_> = supported.iter().map(|scope| (*scope).to_owned()).collect();
        let params = AuthorizationParams::new(&settings, Preset::of_issuer(issuer), &supported);
        (params.scopes.join(" "), params.extra.get("access_type").cloned())
    }

    #[test]
    fn what_asks_for_a_refresh_token_is_known_whatever_its_name_and_so_is_what_prevents_it() {
        let ory: Vec<_> = ["openid", "offline"].map(str::to_owned).into();
        for (preset, is_asked) in [("hydra", true), ("jumpcloud", true), ("generic", false)] {
            let settings = Settings { scopes: Some(ory.clone()), ..Settings::of_test("https://idp.example") };
            assert_eq!(
                AuthorizationParams::new(&settings, Preset::named(preset).unwrap(), &[]).asks_by_scope,
                is_asked,
                "{preset}"
            );
        }
        for (value, is_overridden) in [("online", true), ("offline", false)] {
            let auth_params = [("access_type".to_owned(), value.to_owned())].into();
            let settings = Settings { auth_params, ..Settings::of_test("https://accounts.google.com") };
            let params = AuthorizationParams::new(&settings, Preset::named("google").unwrap(), &[]);
            assert_eq!(params.is_parameter_overridden, is_overridden, "{value}");
            assert_eq!(params.note.contains("another value"), is_overridden, "{}", params.note);
        }
    }

    #[test]
    fn offline_access_is_asked_for_where_it_helps() {
        let offline = Some("offline".to_owned());
        let cases = [
            (
                "https://idp.example",
                None,
                &["openid", "profile", "email", OFFLINE_ACCESS][..],
                "openid profile email offline_access",
                None,
            ),
            ("https://idp.example", None, &["openid", "profile", "email"], "openid profile email", None),
            ("https://idp.example", None, &["openid"], "openid", None),
            ("https://idp.example", None, &["email", OFFLINE_ACCESS], "openid email offline_access", None),
            ("https://idp.example", Some(&["openid", "profile"][..]), &["openid"], "openid profile", None),
            ("https://idp.example", Some(&["email"]), &[OFFLINE_ACCESS], "openid email", None),
            ("https://idp.example", Some(&["openid", OFFLINE_ACCESS]), &[], "openid offline_access", None),
            ("https://accounts.google.com", None, &[], "openid profile email", offline.clone()),
            ("https://accounts.google.com", Some(&["openid", OFFLINE_ACCESS]), &[], "openid", offline),
            ("https://acme.okta.com", None, &[], "openid profile email offline_access", None),
            ("https://gitlab.com", Some(&["openid", OFFLINE_ACCESS]), &[OFFLINE_ACCESS], "openid", None),
            ("https://id.example/realms/x", None, &["profile", "email", OFFLINE_ACCESS], "openid profile email", None),
            ("https://id.example/realms/x", Some(&["openid", OFFLINE_ACCESS]), &[OFFLINE_ACCESS], "openid offline_access", None),
        ];
        for (issuer, scopes, supported, expected, access_type) in cases {
            assert_eq!(requested(issuer, scopes, supported), (expected.to_owned(), access_type), "{issuer} {scopes:?}");
        }
    }
}
