//! How a setting is declared.

/// What is appended to a secret's name for the path of its file.
pub(super) const FILE_SUFFIX: &str = "_file";

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file; `oidc_scopes` is `CODER_OIDC_SCOPES` and `--oidc-scopes`.
    pub name: &'static str,
    /// The type of the value.
    pub value_type: ValueType,
    /// The default as it would be written; empty for none.
    pub default: &'static str,
    /// The description, in sentences.
    pub help: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Any text.
    Text,
    /// A URL.
    Url,
    /// `host:port`.
    Address,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Number,
    /// `90s`, `15m`, `24h`, `30d`.
    Duration,
    /// Texts separated by commas.
    List,
    /// A map of texts, as JSON or YAML.
    Map,
    /// A map of lists of texts, likewise.
    MapOfLists,
    /// A map whose members are texts or lists, likewise.
    Table,
    /// A text that is never printed. It has no flag, but its file has.
    Secret,
    /// Secrets separated by commas.
    Secrets,
}

/// One module's settings, under a heading of the reference.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// The settings.
    pub settings: &'static [&'static Setting],
}

impl Setting {
    /// The environment variable.
    pub fn env(&self) -> String {
        format!("CODER_{}", self.name.to_uppercase())
    }

    /// The flag, without the dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Whether the value must not be printed.
    pub fn is_secret(&self) -> bool {
        matches!(self.value_type, ValueType::Secret | ValueType::Secrets)
    }
}

/// Declares a setting.
pub(super) const fn setting(name: &'static str, value_type: ValueType, default: &'static str, help: &'static str) -> Setting {
    Setting { name, value_type, default, help }
}
