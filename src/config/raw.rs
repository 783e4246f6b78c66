//! All settings as texts, before anything is understood of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, coder_yaml};
use crate::secret::Secret;

/// All settings as texts, each with its source.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// By the setting's name.
    pub(super) given: BTreeMap<&'static str, Given>,
    /// Settings that were given and cannot be read, so that they must not be reported as missing too.
    pub(super) unreadable: BTreeSet<&'static str>,
    /// Whether there is a file and it could not be read: it may have any of the settings, so that nothing is said of the others.
    pub(super) is_file_unread: bool,
    /// The file's `[[route]]` tables.
    pub(super) routes: Vec<RouteTable>,
    /// The file's `[[token_issuer]]` tables.
    pub(super) token_issuers: Vec<RouteTable>,
    /// The file's `[[provider]]` tables.
    pub(super) providers: Vec<ProviderTable>,
    /// The values of `HTTPS_PROXY` and `NO_PROXY`, which are no settings of Evergate's own.
    pub(super) proxy: ProxyVariables,
    /// OpenTelemetry's variables.
    pub(super) otel: OtelVariables,
    /// Oddities that prevent nothing from working.
    pub(super) warnings: Vec<Problem>,
}

/// A `[[provider]]` table.
#[derive(Clone, Debug)]
pub(super) struct ProviderTable {
    /// Its place among them, from 1.
    pub(super) number: usize,
    /// All its keys, except secrets, as texts.
    pub(super) own: RouteTable,
    /// The provider's settings, with their defaults.
    pub(super) given: BTreeMap<&'static str, Given>,
    /// Those that were given and cannot be read.
    pub(super) unreadable: BTreeSet<&'static str>,
    /// Oddities of its secrets.
    pub(super) warnings: Vec<Problem>,
}

impl PartialEq for ProviderTable {
    /// Whether they say the same.
    fn eq(&self, other: &Self) -> bool {
        let texts = |table: &Self| table.given.iter().map(|(name, given)| (*name, given.text.clone())).collect::<Vec<_>>();
        self.own == other.own && texts(self) == texts(other)
    }
}

/// What the environment says of a proxy; empty where it says nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct ProxyVariables {
    /// `HTTPS_PROXY`, or else `https_proxy`; it may have a password.
    pub(super) https: Option<Secret>,
    /// `NO_PROXY`, or else `no_proxy`.
    pub(super) exceptions: String,
}

/// OpenTelemetry's variables by their names (`OTEL_…`), without those that are empty. Some may hold keys.
#[derive(Clone, Debug, Default)]
pub(super) struct OtelVariables(pub(super) BTreeMap<String, Secret>);

/// The texts of a `[[route]]` or `[[token_issuer]]` table by key; `Err` says what the value must be.
pub(super) type RouteTable = BTreeMap<String, Result<String, String>>;

/// One setting's text.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: SettingSource,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SettingSource {
    /// A command-line flag.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file of this path.
    File(String),
    /// The `[[provider]]` table of this number.
    ProviderTable(usize),
    /// The default.
    Default,
}

/// What the names of environment variables begin with.
pub(super) const ENVIRONMENT_PREFIX: &str = "CODER_";

/// Whether the file at `path` is YAML, by its name.
pub(super) fn is_yaml(path: &str) -> bool {
    let extension = std::path::Path::new(path).extension().unwrap_or_default();
    ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml))
}

impl Raw {
    /// Whether a setting was given, and is not at its default.
    pub(super) fn is_chosen(&self, name: &str) -> bool {
        self.unreadable.contains(name) || self.given.get(name).is_some_and(|given| given.source != SettingSource::Default)
    }

    /// Oddities in how settings were given that prevent nothing from working.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

impl SettingSource {
    /// The setting's name as an administrator would look for it in this source.
    pub(super) fn name(&self, setting: &str) -> String {
        match self {
            Self::Flag => format!("--{}", setting.replace('_', "-")),
            Self::Environment | Self::Default => format!("{ENVIRONMENT_PREFIX}{}", setting.to_uppercase()),
            Self::File(path) if is_yaml(path) => coder_yaml::path_of(setting).to_owned(),
            Self::File(_) => setting.to_owned(),
            Self::ProviderTable(number) => format!("provider[{number}].{setting}"),
        }
    }
}

impl std::fmt::Display for SettingSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => f.write_str(path),
            Self::ProviderTable(number) => write!(f, "provider[{number}]"),
            Self::Default => f.write_str("default"),
        }
    }
}
