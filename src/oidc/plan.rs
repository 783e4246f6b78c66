//! What is asked of the provider at each login, by the settings and the provider's habits.

use std::collections::BTreeMap;

use super::{
    Settings,
    preset::{Offline, Preset},
};

/// What will be asked of the provider at each login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The scopes, in order.
    pub(super) scopes: Vec<String>,
    /// Further parameters of the authorization URL.
    pub(super) params: BTreeMap<String, String>,
    /// What an administrator should know of it: one clause for the log line at start.
    pub(super) note: &'static str,
}

const OFFLINE: &str = "offline_access";

impl Plan {
    /// Decides what to ask for, from the settings, the provider's habits and its `scopes_supported`.
    pub(super) fn new(settings: &Settings, preset: &Preset, scopes_supported: &[String]) -> Self {
        let mut params = settings.auth_params.clone();
        // A scope that the provider does not know can make it refuse every login; one that an administrator names is theirs.
        let usual = ["profile", "email"]
            .into_iter()
            .filter(|scope| scopes_supported.is_empty() || scopes_supported.iter().any(|listed| listed == scope));
        let usual = || ["openid"].into_iter().chain(usual).map(str::to_owned).collect();
        let mut scopes: Vec<String> = settings.scopes.clone().unwrap_or_else(usual);
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        let asked = scopes.iter().any(|scope| scope == OFFLINE);
        let listed = scopes_supported.iter().any(|scope| scope == OFFLINE);
        let note = match preset.offline {
            Offline::Parameter(name, value) => {
                params.entry(name.to_owned()).or_insert_with(|| value.to_owned());
                scopes.retain(|scope| scope != OFFLINE);
                if asked {
                    "offline_access was left out, because this provider refuses it; a parameter asks for the refresh token instead"
                } else {
                    "a parameter asks for the refresh token, because this provider has no offline_access"
                }
            }
            Offline::NeverScope => {
                scopes.retain(|scope| scope != OFFLINE);
                if asked {
                    "offline_access was left out, because this provider refuses it; its refresh tokens come by themselves"
                } else {
                    "this provider's refresh tokens come by themselves"
                }
            }
            Offline::Scope | Offline::ScopeIfListed | Offline::ByItself if asked => "offline_access is asked for, as configured",
            Offline::ByItself => "this provider's refresh tokens come by themselves",
            Offline::Scope | Offline::ScopeIfListed if settings.scopes.is_some() => {
                "offline_access is not among the configured scopes; unless the provider gives refresh tokens without it, users log in again when their access token expires"
            }
            Offline::Scope => {
                scopes.push(OFFLINE.to_owned());
                "offline_access is asked for, because this provider gives refresh tokens for it"
            }
            Offline::ScopeIfListed if listed => {
                scopes.push(OFFLINE.to_owned());
                "offline_access is asked for, because the provider lists it"
            }
            Offline::ScopeIfListed => {
                "the provider does not list offline_access; set CODER_OIDC_SCOPES if it gives refresh tokens for it all the same"
            }
        };
        Self { scopes, params, note }
    }

    pub(super) fn asks_offline_access(&self) -> bool {
        self.scopes.iter().any(|scope| scope == OFFLINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::Mapping;

    fn plan(issuer: &str, scopes: Option<&[&str]>, supported: &[&str]) -> (String, Option<String>) {
        let settings = Settings {
            issuer: issuer.into(),
            client_id: "c".into(),
            client_secret: None,
            previous_secret: None,
            preset: None,
            rotation_grace: None,
            introspection: None,
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            auth_params: BTreeMap::new(),
            silent_login: None,
            ignore_userinfo: false,
            mapping: Mapping::default(),
            token_timeout: std::time::Duration::from_secs(1),
        };
        let supported: Vec<_> = supported.iter().map(|scope| (*scope).to_owned()).collect();
        let plan = Plan::new(&settings, Preset::of(issuer, &supported), &supported);
        (plan.scopes.join(" "), plan.params.get("access_type").cloned())
    }

    #[test]
    fn offline_access_is_asked_for_where_it_helps() {
        let offline = Some("offline".to_owned());
        let cases = [
            (
                "https://idp.example",
                None,
                &["openid", "profile", "email", OFFLINE][..],
                "openid profile email offline_access",
                None,
            ),
            ("https://idp.example", None, &["openid", "profile", "email"], "openid profile email", None),
            ("https://idp.example", None, &["openid"], "openid", None),
            ("https://idp.example", None, &["email", OFFLINE], "openid email offline_access", None),
            ("https://idp.example", Some(&["openid", "profile"][..]), &["openid"], "openid profile", None),
            ("https://idp.example", Some(&["email"]), &[OFFLINE], "openid email", None),
            ("https://idp.example", Some(&["openid", OFFLINE]), &[], "openid offline_access", None),
            ("https://accounts.google.com", None, &[], "openid profile email", offline.clone()),
            ("https://accounts.google.com", Some(&["openid", OFFLINE]), &[], "openid", offline),
            ("https://acme.okta.com", None, &[], "openid profile email offline_access", None),
            ("https://gitlab.com", Some(&["openid", OFFLINE]), &[OFFLINE], "openid", None),
            ("https://id.example/realms/x", None, &["profile", "email", OFFLINE], "openid profile email", None),
            ("https://id.example/realms/x", Some(&["openid", OFFLINE]), &[OFFLINE], "openid offline_access", None),
        ];
        for (issuer, scopes, supported, expected, access_type) in cases {
            assert_eq!(plan(issuer, scopes, supported), (expected.to_owned(), access_type), "{issuer} {scopes:?}");
        }
    }
}
