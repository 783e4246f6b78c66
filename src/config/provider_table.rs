//! What a `[[provider]]` table has: the settings of the provider at the top of the file, under the same names and read by the same
//! functions, and a few of its own.

use super::{
    claims, oidc, policy,
    raw::Raw,
    setting::{FILE_SUFFIX, Setting, ValueType, setting},
};
use crate::oidc::DEFAULT_NAME;

/// The keys that a `[[provider]]` table has besides the provider's settings, in the order of the reference.
pub(super) const KEYS: &[&Setting] = &[&NAME, &TEXT, &PROVIDER_EMAIL_DOMAINS];

pub(super) const NAME: Setting = setting(
    "name",
    ValueType::Text,
    "",
    "Required. The name of the provider: lower-case letters, digits, `-` and `_`. Its redirect URI is `<access URL>/oauth2/callback/<name>`, a login begins at `/oauth2/start?provider=<name>`, a route names it in `providers`, and metrics have it as label `provider`. The provider of the environment, or at the top of the file, is called `default`, whose redirect URI ends at `/oauth2/callback`.",
);
pub(super) const TEXT: Setting = setting(
    "text",
    ValueType::Text,
    "",
    "The label of its button on the page where users choose, as in `Example staff`. Not set: the name; that of `default` has `oidc_sign_in_text`, or else the issuer's host.",
);
pub(super) const PROVIDER_EMAIL_DOMAINS: Setting = setting(
    "email_domains",
    ValueType::List,
    "",
    "The domains whose addresses are this provider's: whoever types such an address is sent there, and no other provider's users may have one (403).",
);

/// The settings that a table may have as well: those of a provider, its claims, and who of its users may enter.
pub(super) fn settings() -> impl Iterator<Item = &'static Setting> {
    [&oidc::SECTION, &claims::SECTION, &policy::SECTION]
        .into_iter()
        .flat_map(|section| section.settings.iter().copied())
        .filter(|setting| !oidc::OF_ALL_PROVIDERS.contains(&setting.name))
}

/// Whether a table may have a key of this name, besides its own: a setting's, or that of a secret's file.
pub(super) fn is_setting(name: &str) -> bool {
    settings().any(|key| key.name == name || (key.is_secret() && name.strip_suffix(FILE_SUFFIX) == Some(key.name)))
}

/// The names of all providers, whatever else is wrong with them.
pub(super) fn names(raw: &Raw) -> Vec<String> {
    let tables = raw.providers.iter().filter_map(|table| table.own.get(NAME.name)?.as_ref().ok().cloned());
    is_at_the_top(raw).then(|| DEFAULT_NAME.to_owned()).into_iter().chain(tables).collect()
}

/// Whether there is a provider besides those of tables: of the environment, or at the top of the file. Without any, what is missing there
/// is reported.
pub(super) fn is_at_the_top(raw: &Raw) -> bool {
    raw.providers.is_empty() || settings().any(|setting| raw.is_chosen(setting.name))
}
