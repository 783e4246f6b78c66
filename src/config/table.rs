//! The table of all settings: the concatenation of what the modules declare. Names are Coder's where Coder has the setting, and
//! in Coder's style where it has none.

use super::{
    administration, app_tokens, claims, cookies, forward, gateway, identity, oidc, pages, policy, renewal, server, session,
    setting::{FILE_SUFFIX, Section, Setting},
    store, telemetry,
};

/// All settings under their headings, in the order of the reference.
pub const SECTIONS: &[&Section] = &[
    &gateway::SECTION,
    &cookies::SECTION,
    &pages::SECTION,
    &server::SECTION,
    &forward::SECTION,
    &identity::SECTION,
    &oidc::SECTION,
    &claims::SECTION,
    &policy::SECTION,
    &administration::SECTION,
    &app_tokens::SECTION,
    &renewal::SECTION,
    &session::SECTION,
    &store::SECTION,
    &telemetry::SECTION,
];

/// All settings.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings.iter().copied())
}

/// Whether this is the name of a setting, or of the file of a secret.
pub(super) fn is_known(name: &str) -> bool {
    all().any(|key| key.name == name || (key.is_secret() && name.strip_suffix(FILE_SUFFIX) == Some(key.name)))
}

/// Whether a process that runs can take over another value of this setting: it says where requests lead and what apps are told.
pub(super) fn is_reloadable(setting: &Setting) -> bool {
    [&forward::SECTION, &identity::SECTION].iter().any(|section| section.settings.iter().any(|own| own.name == setting.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{provider_table, routes, token_issuers};

    #[test]
    fn every_setting_that_is_declared_is_in_the_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let sources = files.map(|path| std::fs::read_to_string(path).unwrap());
        let declared: usize = sources.map(|source| source.matches(": Setting =").count()).sum();
        assert_eq!(
            declared - 1,
            all().count() + routes::KEYS.len() + token_issuers::KEYS.len() + provider_table::KEYS.len(),
            "without the one in this test"
        );
        for setting in all() {
            assert_eq!(all().filter(|other| other.name == setting.name).count(), 1, "{}", setting.name);
        }
    }
}
