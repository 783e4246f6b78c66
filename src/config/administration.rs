//! Settings of `administration`: who administers, and where.

use super::{
    claims,
    provider_settings::ProviderSettings,
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::administration::Settings;

/// The settings under their heading.
pub(super) const SECTION: Section =
    Section { title: "Administration", settings: &[&ADMIN_GROUPS, &ADMIN_PROVIDERS, &ADMIN_ADDRESS] };

pub(super) const ADMIN_GROUPS: Setting = setting(
    "admin_groups",
    ValueType::List,
    "",
    "The groups whose members administer Evergate at `/oauth2/admin` and by its API ([administration.md](administration.md)), by the names that routes know them by. Empty: there is no administration but the command line.",
);
const ADMIN_PROVIDERS: Setting = setting(
    "admin_providers",
    ValueType::List,
    "",
    "The names of the providers whose users may administer. Required where there are several, because a group of the same name at another one is not yours.",
);
pub(super) const ADMIN_ADDRESS: Setting = setting(
    "admin_address",
    ValueType::Text,
    "",
    "An address and port, as in `10.0.0.5:3002`, where alone the administration is reached. Only Evergate's own pages are served there. Not set: where all else is.",
);

/// Who administers; `None` where nobody does, or something is wrong, which is noted.
pub(super) fn read(reader: &mut Reader<'_>, providers: &[ProviderSettings]) -> Option<Settings> {
    let (groups, names) = (reader.list(&ADMIN_GROUPS), reader.list(&ADMIN_PROVIDERS));
    let address = reader.parsed(&ADMIN_ADDRESS, values::address);
    if groups.is_empty() {
        for setting in [&ADMIN_PROVIDERS, &ADMIN_ADDRESS] {
            if reader.is_given(setting) {
                reader.warn(setting, "is set, and CODER_ADMIN_GROUPS is not, so that nobody administers");
            }
        }
        return None;
    }
    if providers.len() > 1 && names.is_empty() {
        reader.problem(&ADMIN_PROVIDERS, "is required where there are several providers: whose groups are meant");
    }
    if !providers.is_empty() && !names.iter().all(|name| providers.iter().any(|provider| provider.oidc.name == *name)) {
        reader.problem(&ADMIN_PROVIDERS, "names a provider that there is not");
    }
    let is_meant = |provider: &&ProviderSettings| names.is_empty() || names.contains(&provider.oidc.name);
    if !providers.is_empty() && providers.iter().filter(is_meant).all(|provider| provider.oidc.mapping.groups.is_none()) {
        reader.warn(&claims::GROUP_FIELD, "is not set, so that nobody is in a group of CODER_ADMIN_GROUPS");
    }
    Some(Settings { groups, providers: names, address })
}
