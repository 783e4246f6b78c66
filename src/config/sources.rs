//! Reads the sources by figment: a flag takes precedence over the environment, that over the file, that over the default. Values
//! stay the texts that they were given as; figment's own environment provider would turn a secret `0042` into the number 42.

use std::collections::{BTreeMap, BTreeSet};

use figment::{
    Figment,
    value::{Dict, Value},
};

use super::{
    Problem, Problems, coder,
    file::{self, PROVIDERS, ROUTES, TABLES, TOKEN_ISSUERS},
    layer::{Layer, layer},
    provider_table,
    raw::{ENVIRONMENT_PREFIX, Given, OtelVariables, ProviderTable, ProxyVariables, Raw, RouteTable, SettingSource},
    routes,
    setting::{FILE_SUFFIX, Setting, ValueType},
    table,
    texts::{secret, text_of},
    token_issuers, unknown,
};
use crate::secret::Secret;

/// What a process is configured by.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The names of variables whose name or value is not UTF-8.
    pub not_utf8: BTreeSet<String>,
    /// Flags by the setting's name.
    pub flags: BTreeMap<String, String>,
    /// `--config`.
    pub config_path: Option<String>,
}

const CONFIG_PATH: &str = "CODER_CONFIG_PATH";

impl Environment {
    /// The environment of this process.
    pub fn of_process(flags: BTreeMap<String, String>, config_path: Option<String>) -> Self {
        let mut environment = Self { flags, config_path, ..Self::default() };
        for (name, value) in std::env::vars_os() {
            let shown = name.to_string_lossy().into_owned();
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => {
                    environment.variables.insert(name, value);
                }
                (Err(_), _) | (_, Err(_)) => {
                    environment.not_utf8.insert(shown);
                }
            }
        }
        environment
    }

    /// The path of the file of settings, if there is one.
    pub fn file(&self) -> Option<String> {
        let named = || self.config_paths().next().map(|(_, path)| path.to_owned());
        self.config_path.clone().or_else(named).map(without_blanks).filter(|path| !path.is_empty())
    }

    /// The variables that name the file, without empty ones.
    fn config_paths(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.variables.iter().filter(|(name, path)| is_config_path(name) && !path.is_empty());
        named.map(|(name, path)| (name.as_str(), path.as_str()))
    }

    /// Reads all settings. Unknown and unreadable settings are problems.
    pub fn read(&self, problems: &mut Problems) -> Raw {
        let path = self.file();
        let file = path.as_ref().map(|path| file::read(path, problems)).transpose();
        let is_named_unreadably = self.config_path.is_none() && self.not_utf8.iter().any(|name| is_config_path(name));
        let is_file_unread = file.is_err() || is_named_unreadably;
        let (file, mut warnings) = match file {
            Ok(file) => file.map_or_else(|| (Figment::new(), Vec::new()), |file| (file.values, file.warnings)),
            Err(message) => {
                problems.add(CONFIG_PATH, message);
                (Figment::new(), Vec::new())
            }
        };
        warnings.extend(self.judge_unknown(problems));
        self.refuse_twice_given(problems);
        let figment = file.merge(layer("environment", self.variables())).merge(layer("flag", self.flags.clone()));
        let unreadable = self.refuse_not_utf8(problems);
        let mut reader = SourceReader { figment: &figment, path: path.as_deref(), table: None, problems, warnings, unreadable };
        let given = table::all().filter_map(|key| Some((key.name, reader.setting(key)?))).collect();
        let SourceReader { warnings, unreadable, problems, .. } = reader;
        let routes = tables(&figment, ROUTES, routes::KEYS, problems);
        let token_issuers = tables(&figment, TOKEN_ISSUERS, token_issuers::KEYS, problems);
        let providers = provider_tables(&figment, problems);
        let (proxy, otel) = (self.proxy(), self.otel());
        Raw { given, unreadable, is_file_unread, routes, token_issuers, providers, proxy, otel, warnings }
    }

    /// The variables that name a proxy, in capitals or else not, as Go reads them.
    fn proxy(&self) -> ProxyVariables {
        let value =
            |names: [&str; 2]| names.into_iter().filter_map(|name| self.variables.get(name)).find(|value| !value.is_empty());
        ProxyVariables {
            https: value(["HTTPS_PROXY", "https_proxy"]).map(Secret::new),
            exceptions: value(["NO_PROXY", "no_proxy"]).cloned().unwrap_or_default(),
        }
    }

    /// OpenTelemetry's own variables, of which an empty one counts as not set.
    fn otel(&self) -> OtelVariables {
        let own = self.variables.iter().filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty());
        OtelVariables(own.map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect())
    }

    /// Reports variables that are not UTF-8, and returns the settings that are unreadable because of them.
    fn refuse_not_utf8(&self, problems: &mut Problems) -> BTreeSet<&'static str> {
        let mut unreadable = BTreeSet::new();
        for (name, key, _) in self.not_utf8().filter(|(name, key, _)| is_config_path(name) || table::is_known(key)) {
            problems.add(name, "is not UTF-8 text");
            let is_for = |setting: &&Setting| setting.name == key || key.strip_suffix(FILE_SUFFIX) == Some(setting.name);
            unreadable.extend(table::all().filter(is_for).map(|setting| setting.name));
        }
        unreadable
    }

    fn not_utf8(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.not_utf8.iter().filter_map(|name| Some((name.as_str(), setting_name(name)?, "")))
    }

    /// The values of `CODER_` variables by setting name.
    fn variables(&self) -> BTreeMap<String, String> {
        self.prefixed().map(|(_, key, value)| (key, value.to_owned())).collect()
    }

    /// `CODER_` variables: their name, the setting's name and the value. An empty one counts as not set, because compose files
    /// pass variables through as empty.
    fn prefixed(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.variables
            .iter()
            .filter(|(name, value)| !is_config_path(name) && !value.is_empty())
            .filter_map(|(name, value)| Some((name.as_str(), setting_name(name)?, value.as_str())))
    }

    /// Reports settings that two variables give, whose names differ in case.
    fn refuse_twice_given(&self, problems: &mut Problems) {
        let mut names = BTreeMap::new();
        let paths = self.config_paths().map(|(name, _)| (name, name.to_lowercase()));
        let known = self.prefixed().filter(|(_, key, _)| table::is_known(key)).map(|(name, key, _)| (name, key));
        for (name, key) in paths.chain(known) {
            if let Some(other) = names.insert(key, name) {
                problems.add(name, format!("is set together with {other}; one of them must go"));
            }
        }
    }

    /// Reports variables and flags that are no settings. A variable that resembles a setting is a problem, and so is any of login that
    /// Coder does not have. Each of Coder's that has no effect here is told of with the reason. The others may belong to other software
    /// and are named in one warning, without their values.
    fn judge_unknown(&self, problems: &mut Problems) -> Vec<Problem> {
        let (mut without_effect, mut foreign) = (BTreeMap::new(), Vec::new());
        for (name, key, value) in self.prefixed().chain(self.not_utf8()).filter(|(_, key, _)| !table::is_known(key)) {
            let is_kubernetes = unknown::is_kubernetes(&key, value);
            // A family of Coder's (`email_`) is asked last: what is meant for a rule (`email_domain`) must not pass for one of it.
            let near = unknown::meant(&key).filter(|_| !is_kubernetes && !coder::is_exactly(&key));
            let is_mistake = near.is_some()
                || TABLES.contains(&key.as_str())
                || (unknown::is_about_login(&key) && !is_kubernetes && !coder::is_exactly(&key));
            if is_mistake {
                no_such_setting(&SettingSource::Environment, &key, near, problems);
            } else if let Some((shown, reason)) = coder::without_effect(&key) {
                without_effect.insert(shown, reason);
            } else if !is_config_path(name) {
                // Escaped, because the name may contain control characters.
                foreign.push(name.escape_debug().to_string());
            }
        }
        for name in self.flags.keys().filter(|name| !table::is_known(name)) {
            no_such_setting(&SettingSource::Flag, name, unknown::meant(name), problems);
        }
        let explained =
            without_effect.into_iter().map(|(key, reason)| Problem { key, message: format!("has no effect: {reason}") });
        let message = format!("variables that are no settings of Evergate's are ignored: {}", foreign.join(", "));
        let ignored = (!foreign.is_empty()).then(|| Problem { key: format!("{ENVIRONMENT_PREFIX}*"), message });
        explained.chain(ignored).collect()
    }
}

fn is_config_path(variable: &str) -> bool {
    variable.eq_ignore_ascii_case(CONFIG_PATH)
}

/// The setting that a variable of the environment is for. Coder reads the names of its variables in any case.
fn setting_name(variable: &str) -> Option<String> {
    let (prefix, name) = variable.split_at_checked(ENVIRONMENT_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(ENVIRONMENT_PREFIX).then(|| name.to_lowercase())
}

fn no_such_setting(source: &SettingSource, name: &str, near: Option<&str>, problems: &mut Problems) {
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {}?", source.name(near)));
    problems.add(source.name(name), format!("there is no such setting{hint}"));
}

/// A text without blanks and line ends around it, which a template or an `echo` leaves there. Blanks alone stay, to be judged where
/// they are read.
fn without_blanks(text: String) -> String {
    match text.trim() {
        "" => text,
        trimmed => trimmed.to_owned(),
    }
}

/// Whether a text has quotes around it, which a shell would have taken away and an `--env-file` leaves. A list's double quotes have a
/// meaning of their own.
fn is_in_quotes(value_type: ValueType, text: &str) -> bool {
    let quoted = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    match value_type {
        ValueType::List => quoted('\''),
        ValueType::Text => quoted('\'') || quoted('"'),
        // What is no such value is refused by its reader, and secrets are judged by theirs.
        ValueType::Url
        | ValueType::Address
        | ValueType::Bool
        | ValueType::Number
        | ValueType::Duration
        | ValueType::Map
        | ValueType::MapOfLists
        | ValueType::Table
        | ValueType::Secret
        | ValueType::Secrets => false,
    }
}

fn source_of(figment: &Figment, value: &Value, path: Option<&str>) -> SettingSource {
    match figment.get_metadata(value.tag()).map(|metadata| metadata.name.as_ref()) {
        Some("flag") => SettingSource::Flag,
        Some("environment") => SettingSource::Environment,
        Some(_) | None => SettingSource::File(path.unwrap_or_default().to_owned()),
    }
}

/// The tables of this name as texts.
fn tables(figment: &Figment, name: &'static str, keys: &[&Setting], problems: &mut Problems) -> Vec<RouteTable> {
    // An unknown key is reported where the table is understood.
    let type_of = |name: &str| keys.iter().find(|key| key.name == name).map_or(ValueType::Text, |key| key.value_type);
    let texts = |table: &Dict| table.iter().map(|(name, value)| (name.clone(), text_of(type_of(name), value))).collect();
    dicts(figment, name, problems).iter().map(texts).collect()
}

fn dicts(figment: &Figment, name: &'static str, problems: &mut Problems) -> Vec<Dict> {
    let Ok(value) = figment.find_value(name) else { return Vec::new() };
    let tables = value.as_array().and_then(|tables| tables.iter().map(|table| table.as_dict().cloned()).collect());
    tables.unwrap_or_else(|| {
        problems.add(name, format!("must be tables, each under [[{name}]]"));
        Vec::new()
    })
}

/// The `[[provider]]` tables, in each of which the provider's settings are read as at the top of the file.
fn provider_tables(figment: &Figment, problems: &mut Problems) -> Vec<ProviderTable> {
    let dicts = dicts(figment, PROVIDERS, problems);
    let own = tables(figment, PROVIDERS, provider_table::KEYS, &mut Problems::default());
    let read = |(at, (values, mut own)): (usize, (Dict, RouteTable))| {
        // A secret stays where it is read.
        own.iter_mut().filter(|(name, _)| provider_table::is_setting(name)).for_each(|(_, text)| *text = Ok(String::new()));
        let figment = Figment::new().merge(Layer { name: "file", values });
        let number = at + 1;
        let (warnings, unreadable) = (Vec::new(), BTreeSet::new());
        let mut reader = SourceReader { figment: &figment, path: None, table: Some(number), problems, warnings, unreadable };
        let given = provider_table::settings().filter_map(|key| Some((key.name, reader.setting(key)?))).collect();
        let SourceReader { warnings, unreadable, .. } = reader;
        ProviderTable { number, own, given, unreadable, warnings }
    };
    dicts.into_iter().zip(own).enumerate().map(read).collect()
}

/// All settings while they are read.
struct SourceReader<'a> {
    figment: &'a Figment,
    path: Option<&'a str>,
    /// The number of the `[[provider]]` table that is read.
    table: Option<usize>,
    problems: &'a mut Problems,
    warnings: Vec<Problem>,
    unreadable: BTreeSet<&'static str>,
}

impl SourceReader<'_> {
    /// One setting, from the source with the highest precedence that has it.
    fn setting(&mut self, key: &'static Setting) -> Option<Given> {
        let direct = self.find(key.name);
        let file_name = format!("{}{FILE_SUFFIX}", key.name);
        match (direct, self.find(&file_name).filter(|_| key.is_secret())) {
            (Some((direct, _)), Some((source, _))) => {
                let message = format!("is set together with {}; one of them must go", direct.name(key.name));
                self.refuse(key, source.name(&file_name), message)
            }
            (None, Some((source, value))) => {
                let name = source.name(&file_name);
                let path = text_of(ValueType::Text, &value).map(without_blanks);
                let text = path.and_then(|path| match std::fs::read_to_string(&path) {
                    Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
                    Err(error) => Err(format!("the file {path} cannot be read: {error}")),
                });
                self.secret(key, name, text).map(|text| Given { text, source })
            }
            (Some((source, value)), None) => {
                let (name, text) = (source.name(key.name), text_of(key.value_type, &value));
                let text = if key.is_secret() {
                    self.secret(key, name, text)
                } else {
                    match text.map(without_blanks) {
                        Ok(text) => {
                            if is_in_quotes(key.value_type, &text) {
                                let message = "is in quotes, which are taken for a part of it".to_owned();
                                self.warnings.push(Problem { key: name, message });
                            }
                            Some(text)
                        }
                        Err(message) => self.refuse(key, name, message),
                    }
                };
                text.map(|text| Given { text, source })
            }
            (None, None) if key.default.is_empty() => None,
            (None, None) => Some(Given { text: key.default.to_owned(), source: SettingSource::Default }),
        }
    }

    fn find(&self, name: &str) -> Option<(SettingSource, Value)> {
        let value = self.figment.find_value(name).ok()?;
        let source = self.table.map_or_else(|| source_of(self.figment, &value, self.path), SettingSource::ProviderTable);
        Some((source, value))
    }

    fn secret(&mut self, key: &'static Setting, name: String, text: Result<String, String>) -> Option<String> {
        match text.and_then(|text| secret(key.value_type, &text).map_err(str::to_owned)) {
            Ok(read) => {
                self.warnings
                    .extend(read.oddities.iter().map(|oddity| Problem { key: name.clone(), message: (*oddity).to_owned() }));
                Some(read.text)
            }
            Err(message) => self.refuse(key, name, message),
        }
    }

    fn refuse<T>(&mut self, key: &'static Setting, name: String, message: String) -> Option<T> {
        self.unreadable.insert(key.name);
        self.problems.add(name, message);
        None
    }
}
