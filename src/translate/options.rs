//! Every option of oauth2-proxy, and what it becomes here: the one table that the translation and the documents go by.
//!
//! The list is that of oauth2-proxy 7.15 with the names that older releases had.

mod access;
mod alpha_keys;
mod operation;
mod option;
mod provider;
mod sessions;
mod upstreams;

pub(super) use alpha_keys::{ALPHA, AlphaKey, AlphaMeaning};
pub(super) use option::{Form, Meaning, ProxyOption};

/// The options under their headings.
pub(super) const SECTIONS: [(&str, &[ProxyOption]); 9] = [
    ("Provider", provider::PROVIDER),
    ("Provider's endpoints and tokens", provider::TOKENS),
    ("Products", provider::PRODUCTS),
    ("Who may enter", access::ACCESS),
    ("Headers", access::HEADERS),
    ("Sessions and cookies", sessions::SESSIONS),
    ("Apps", upstreams::UPSTREAMS),
    ("Addresses and TLS", operation::SERVER),
    ("Pages, logs and health", operation::OPERATION),
];

/// The option that `name` means, as a flag, a variable without its prefix, or a key of the file.
pub(super) fn find(name: &str) -> Option<&'static ProxyOption> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let is_it = |option: &&ProxyOption| {
        let plural = |own: &str| option.form == Form::List && name.strip_suffix('s') == Some(own);
        std::iter::once(&option.flag).chain(option.aliases).any(|own| *own == name || plural(own))
    };
    SECTIONS.iter().flat_map(|(_, options)| options.iter()).find(is_it)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_means_one_option() {
        let mut seen = BTreeSet::new();
        for option in SECTIONS.iter().flat_map(|(_, options)| options.iter()) {
            for name in std::iter::once(&option.flag).chain(option.aliases) {
                assert!(seen.insert(*name), "{name} is there twice");
                assert_eq!(find(name).map(|found| found.flag), Some(option.flag));
            }
        }
        assert!(seen.len() > 150, "{}", seen.len());
    }

    #[test]
    fn an_option_is_found_by_the_names_of_flags_variables_and_files() {
        for (name, flag) in [
            ("email-domain", "email-domain"),
            ("EMAIL_DOMAINS", "email-domain"),
            ("email_domains", "email-domain"),
            ("cookie_domain", "cookie-domain"),
            ("GOOGLE_GROUPS", "google-group"),
            ("gitlab-projects", "gitlab-project"),
            ("skip_auth_regex", "skip-auth-regex"),
            ("redis_cluster_connection_urls", "redis-cluster-connection-urls"),
        ] {
            assert_eq!(find(name).map(|option| option.flag), Some(flag), "{name}");
        }
        for unknown in ["client-ids", "", "s", "oauth"] {
            assert!(find(unknown).is_none(), "{unknown}");
        }
    }
}
