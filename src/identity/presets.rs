//! Ready header sets by the name of the app that wants them. `docs/recipes` has a page for each with the app's own settings.

use http::HeaderName;

use super::{HeaderSet, Template};

/// A ready header set.
#[derive(Debug)]
pub struct IdentityPreset {
    /// Its name in the settings.
    pub name: &'static str,
    /// The headers, in lower case, and what is in them.
    pub headers: &'static [(&'static str, &'static str)],
}

/// The line that `CODER_PASS_ACCESS_TOKEN` adds.
pub const ACCESS_TOKEN_LINE: (&str, &str) = ("x-forwarded-access-token", "{access_token}");

/// The user's name where the provider has one, and otherwise whatever else tells users apart.
const ANY_NAME: &str = "{username or email or user}";

/// All of them. The first is the default.
pub const PRESETS: &[IdentityPreset] = &[
    IdentityPreset {
        name: "evergate",
        headers: &[
            ("x-forwarded-user", "{user}"),
            ("x-forwarded-email", "{email}"),
            ("x-forwarded-preferred-username", "{username}"),
            ("x-forwarded-name", "{name}"),
            ("x-forwarded-groups", "{groups}"),
            ("x-forwarded-roles", "{roles}"),
        ],
    },
    IdentityPreset { name: "none", headers: &[] },
    IdentityPreset { name: "argocd", headers: &[("authorization", "Bearer {id_token}")] },
    IdentityPreset {
        name: "backstage",
        headers: &[
            ("x-forwarded-user", "{username or user}"),
            ("x-forwarded-email", "{email}"),
            ("x-forwarded-preferred-username", "{username}"),
            ("x-forwarded-groups", "{groups}"),
        ],
    },
    // It has no users of its own.
    IdentityPreset { name: "code-server", headers: &[] },
    IdentityPreset {
        name: "grafana",
        headers: &[
            ("x-webauth-user", "{username or email}"),
            ("x-webauth-email", "{email}"),
            ("x-webauth-name", "{name}"),
            ("x-webauth-groups", "{groups}"),
        ],
    },
    IdentityPreset { name: "jupyter", headers: &[("remote-user", ANY_NAME), ("remote-name", "{name}")] },
    IdentityPreset { name: "kibana", headers: &[("authorization", "Bearer {id_token}")] },
    IdentityPreset { name: "n8n", headers: &[("remote-email", "{email}")] },
    IdentityPreset {
        name: "oauth2-proxy",
        headers: &[
            ("x-auth-request-user", "{user}"),
            ("x-auth-request-email", "{email}"),
            ("x-auth-request-preferred-username", "{username}"),
            ("x-auth-request-groups", "{groups}"),
        ],
    },
    IdentityPreset {
        name: "open-webui",
        headers: &[("x-user-email", "{email}"), ("x-user-name", "{name or username}"), ("x-user-groups", "{groups}")],
    },
    IdentityPreset {
        name: "remote-user",
        headers: &[
            ("remote-user", ANY_NAME),
            ("remote-email", "{email}"),
            ("remote-name", "{name}"),
            ("remote-groups", "{groups}"),
        ],
    },
    IdentityPreset { name: "superset", headers: &[("remote-user", ANY_NAME)] },
];

impl IdentityPreset {
    /// Returns the preset of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The preset as a set of headers.
    pub fn header_set(&self) -> HeaderSet {
        let line = |(name, text): &(&'static str, &str)| Some((HeaderName::from_static(name), Template::parse(text).ok()?));
        HeaderSet { lines: self.headers.iter().filter_map(line).collect(), basic: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_names;

    #[test]
    fn every_preset_is_whole_and_has_no_header_twice() {
        for preset in PRESETS {
            let set = preset.header_set();
            assert_eq!(set.lines.len(), preset.headers.len(), "{}", preset.name);
            for (at, (name, _)) in set.lines.iter().enumerate() {
                let is_same = |(other, _): &(HeaderName, Template)| header_names::are_equivalent(name.as_str(), other.as_str());
                assert!(!set.lines.iter().take(at).any(is_same), "{}: {name}", preset.name);
            }
            assert_eq!(set.claims().next(), None, "a preset needs what every provider has");
        }
        assert!(Template::parse(ACCESS_TOKEN_LINE.1).is_ok());
    }
}
