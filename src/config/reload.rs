//! Which settings a process that runs takes over.

use super::{
    Raw,
    file::{PROVIDERS, TOKEN_ISSUERS},
    table,
};

impl Raw {
    /// These settings with what a process that runs can take over from `newer` ones, and the names of the settings that differ besides:
    /// they take a restart.
    #[must_use]
    pub fn reloaded(&self, newer: Self) -> (Self, Vec<String>) {
        let (mut given, mut kept) = (newer.given, Vec::new());
        for setting in table::all().filter(|setting| !table::is_reloadable(setting)) {
            let (old, new) = (self.given.get(setting.name), given.remove(setting.name));
            if old.map(|old| &old.text) != new.as_ref().map(|new| &new.text) {
                kept.extend(new.as_ref().or(old).map(|differs| differs.source.name(setting.name)));
            }
            given.extend(old.map(|old| (setting.name, old.clone())));
        }
        if self.token_issuers != newer.token_issuers {
            kept.push(TOKEN_ISSUERS.to_owned());
        }
        if self.providers != newer.providers {
            kept.push(PROVIDERS.to_owned());
        }
        let providers = self.providers.clone();
        (Self { given, providers, token_issuers: self.token_issuers.clone(), ..newer }, kept)
    }
}
