//! What we know of providers' habits, and the authorization request that follows from it.

use std::collections::BTreeMap;

use super::Settings;

/// A provider whose habits differ from the standard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preset {
    /// `https://accounts.google.com`: refuses `offline_access`, wants `access_type=offline` instead.
    Google,
    /// Any other.
    Generic,
}

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

impl Preset {
    /// The preset for an issuer.
    fn of(issuer: &str) -> Self {
        if issuer.trim_end_matches('/') == "https://accounts.google.com" { Self::Google } else { Self::Generic }
    }
}

impl Plan {
    /// Decides what to ask for, from the settings and the provider's `scopes_supported`.
    pub(super) fn new(settings: &Settings, scopes_supported: &[String]) -> Self {
        let preset = Preset::of(&settings.issuer);
        let mut params = settings.auth_params.clone();
        let mut scopes = settings.scopes.clone().unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).to_vec());
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        let asked = scopes.iter().any(|scope| scope == OFFLINE);
        let note = match preset {
            Preset::Google => {
                params.entry("access_type".to_owned()).or_insert_with(|| "offline".to_owned());
                scopes.retain(|scope| scope != OFFLINE);
                if asked {
                    "offline_access was left out, because Google refuses it; access_type=offline asks for the refresh token instead"
                } else {
                    "access_type=offline asks for the refresh token, because Google has no offline_access"
                }
            }
            Preset::Generic if asked => "offline_access is asked for, as configured",
            Preset::Generic if settings.scopes.is_some() => {
                "offline_access is not among the configured scopes; unless the provider gives refresh tokens without it, users log in again when their access token expires"
            }
            Preset::Generic if scopes_supported.iter().any(|scope| scope == OFFLINE) => {
                scopes.push(OFFLINE.to_owned());
                "offline_access is asked for, because the provider lists it"
            }
            Preset::Generic => {
                "the provider does not list offline_access; set CODER_OIDC_SCOPES if it gives refresh tokens for it all the same"
            }
        };
        Self { scopes, params, note }
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
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            auth_params: BTreeMap::new(),
            ignore_userinfo: false,
            mapping: Mapping::default(),
            token_timeout: std::time::Duration::from_secs(1),
        };
        let supported: Vec<_> = supported.iter().map(|scope| (*scope).to_owned()).collect();
        let plan = Plan::new(&settings, &supported);
        (plan.scopes.join(" "), plan.params.get("access_type").cloned())
    }

    #[test]
    fn offline_access_is_asked_for_where_it_helps() {
        let offline = Some("offline".to_owned());
        let cases = [
            ("https://idp.example", None, &["openid", OFFLINE][..], "openid profile email offline_access", None),
            ("https://idp.example", None, &["openid"], "openid profile email", None),
            ("https://idp.example", Some(&["email"][..]), &[OFFLINE], "openid email", None),
            ("https://idp.example", Some(&["openid", OFFLINE]), &[], "openid offline_access", None),
            ("https://accounts.google.com", None, &[], "openid profile email", offline.clone()),
            ("https://accounts.google.com", Some(&["openid", OFFLINE]), &[], "openid", offline),
        ];
        for (issuer, scopes, supported, expected, access_type) in cases {
            assert_eq!(plan(issuer, scopes, supported), (expected.to_owned(), access_type), "{issuer} {scopes:?}");
        }
    }
}
