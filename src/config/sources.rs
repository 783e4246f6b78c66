//! Reading: flag > environment > file > default, by figment. Values are kept as the texts that they were
//! given as; figment's own environment provider would turn a secret `0042` into the number 42 and print it.

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{
    Problem, Problems,
    table::{self, Key},
    unknown,
};

/// What a process is given.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Flags, by the key's name.
    pub flags: BTreeMap<String, String>,
    /// `--config`.
    pub config_path: Option<String>,
}

/// All settings as texts, with where each came from.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    pub(super) given: BTreeMap<&'static str, Given>,
    /// The file's `[[route]]` tables.
    pub(super) routes: Vec<BTreeMap<String, Option<String>>>,
    /// What is odd, and keeps nothing from working.
    pub(super) warnings: Vec<Problem>,
}

/// One setting's text.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Flag,
    Environment,
    File(String),
    Default,
}

const PREFIX: &str = "CODER_";
const CONFIG_PATH: &str = "CODER_CONFIG_PATH";
const FILE_SUFFIX: &str = "_file";
/// The only setting that the file alone can hold.
const ROUTES: &str = "route";

impl Source {
    /// What an administrator would look for.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Flag => format!("--{}", key.replace('_', "-")),
            Self::Environment | Self::Default => format!("{PREFIX}{}", key.to_uppercase()),
            Self::File(_) => key.to_owned(),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => f.write_str(path),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Environment {
    /// This process's variables.
    pub fn of_process(flags: BTreeMap<String, String>, config_path: Option<String>) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        Self { variables, flags, config_path }
    }

    /// Reads all settings. What is unknown, or cannot be read, is a problem.
    pub fn read(&self, problems: &mut Problems) -> Raw {
        let path = self.config_path.clone().or_else(|| self.variables.get(CONFIG_PATH).cloned()).filter(|path| !path.is_empty());
        let mut file = Figment::new();
        if let Some(path) = &path {
            match std::fs::metadata(path) {
                Ok(_) => file = file.merge(Toml::file_exact(path)),
                Err(error) => problems.add(CONFIG_PATH, format!("the file {path} cannot be read: {error}")),
            }
        }
        if let Err(error) = file.data() {
            // The parser's own message quotes the line that it stumbles over, which may hold a secret.
            let at = path.as_deref().unwrap_or_default();
            problems.add(CONFIG_PATH, format!("the file {at} is not valid TOML ({})", position(&error)));
            return Raw::default();
        }
        refuse_unknown(&file, path.as_deref(), problems);
        let warnings = self.judge_unknown(problems).into_iter().collect();
        let figment = file.merge(layer("environment", self.variables())).merge(layer("flag", self.flags.clone()));
        let given = table::keys().filter_map(|key| Some((key.name, given(&figment, key, path.as_deref(), problems)?))).collect();
        Raw { given, routes: routes(&figment, problems), warnings }
    }

    /// Our variables by their keys.
    fn variables(&self) -> BTreeMap<String, String> {
        self.ours().map(|(_, key, value)| (key, value.to_owned())).collect()
    }

    /// Our variables: name, key and value. One that is empty is not set, as in a compose file that passes it through.
    fn ours(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.variables
            .iter()
            .filter(|(name, value)| name.as_str() != CONFIG_PATH && !value.is_empty())
            .filter_map(|(name, value)| Some((name.as_str(), name.strip_prefix(PREFIX)?.to_lowercase(), value.as_str())))
    }

    /// Variables and flags that are no settings. Variables may be others', which is said in one warning, without their values;
    /// only what somebody wrote for us, by all appearance, is a problem.
    fn judge_unknown(&self, problems: &mut Problems) -> Option<Problem> {
        let mut foreign = Vec::new();
        for (name, key, value) in self.ours().filter(|(_, key, _)| !is_known(key)) {
            match unknown::meant(&key).filter(|_| !unknown::is_kubernetes(&key, value)) {
                Some(near) => no_such_setting(&Source::Environment, &key, Some(near), problems),
                None if key == ROUTES => no_such_setting(&Source::Environment, &key, None, problems),
                None => foreign.push(name),
            }
        }
        for name in self.flags.keys().filter(|name| !is_known(name)) {
            no_such_setting(&Source::Flag, name, unknown::meant(name), problems);
        }
        let message = format!("variables that are no settings of Evergate's are ignored: {}", foreign.join(", "));
        (!foreign.is_empty()).then(|| Problem { key: format!("{PREFIX}*"), message })
    }
}

/// Whether a setting has this name, or is a secret that a file of this name may hold.
fn is_known(name: &str) -> bool {
    table::keys().any(|key| key.name == name || (key.is_secret() && name.strip_suffix(FILE_SUFFIX) == Some(key.name)))
}

/// The file is ours alone: whatever is unknown there is a mistake.
fn refuse_unknown(file: &Figment, path: Option<&str>, problems: &mut Problems) {
    let Ok(data) = file.data() else { return };
    let source = Source::File(path.unwrap_or_default().to_owned());
    for name in data.values().flatten().map(|(name, _)| name).filter(|name| *name != ROUTES && !is_known(name)) {
        no_such_setting(&source, name, unknown::meant(name), problems);
    }
}

fn no_such_setting(source: &Source, name: &str, near: Option<&str>, problems: &mut Problems) {
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {}?", source.name(near)));
    problems.add(source.name(name), format!("there is no such setting{hint}"));
}

fn layer(name: &'static str, values: BTreeMap<String, String>) -> Layer {
    Layer { name, values }
}

struct Layer {
    name: &'static str,
    values: BTreeMap<String, String>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = self.values.iter().map(|(name, text)| (name.clone(), Value::from(text.clone()))).collect();
        Ok(Profile::Default.collect(dict))
    }
}

fn source_of(figment: &Figment, value: &Value, path: Option<&str>) -> Source {
    match figment.get_metadata(value.tag()).map(|metadata| metadata.name.as_ref()) {
        Some("flag") => Source::Flag,
        Some("environment") => Source::Environment,
        Some(_) | None => Source::File(path.unwrap_or_default().to_owned()),
    }
}

/// The tables of routes, each with its texts; `None` for one of a type that it cannot have.
fn routes(figment: &Figment, problems: &mut Problems) -> Vec<BTreeMap<String, Option<String>>> {
    let Ok(value) = figment.find_value(ROUTES) else { return Vec::new() };
    let tables = value.as_array().and_then(|tables| tables.iter().map(Value::as_dict).collect::<Option<Vec<_>>>());
    let Some(tables) = tables else {
        problems.add(ROUTES, "must be tables, each under [[route]]");
        return Vec::new();
    };
    tables.into_iter().map(|table| table.iter().map(|(name, value)| (name.clone(), text_of(value))).collect()).collect()
}

/// One setting, from the strongest source that has it.
fn given(figment: &Figment, key: &Key, path: Option<&str>, problems: &mut Problems) -> Option<Given> {
    let found = |name: &str| figment.find_value(name).ok().map(|value| (source_of(figment, &value, path), value));
    let direct = found(key.name);
    let file_name = format!("{}{FILE_SUFFIX}", key.name);
    if key.is_secret()
        && let Some((source, value)) = found(&file_name)
    {
        if direct.is_some() {
            problems.add(source.name(&file_name), format!("is set together with {}; one of them must go", source.name(key.name)));
            return None;
        }
        let file = text_of(&value)?;
        return match std::fs::read_to_string(Path::new(&file)) {
            Ok(text) => Some(Given { text: text.trim_end_matches(['\n', '\r']).to_owned(), source }),
            Err(error) => {
                problems.add(source.name(&file_name), format!("the file {file} cannot be read: {error}"));
                None
            }
        };
    }
    match direct {
        Some((source, value)) => match text_of(&value) {
            Some(text) => Some(Given { text, source }),
            None => {
                problems.add(source.name(key.name), "has a type that it cannot have");
                None
            }
        },
        None if key.default.is_empty() => None,
        None => Some(Given { text: key.default.to_owned(), source: Source::Default }),
    }
}

/// A value of the file as the text that the environment would hold.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, value) => Some(value.to_string()),
        Value::Num(_, number) => {
            number.to_i128().map(|number| number.to_string()).or_else(|| number.to_u128().map(|number| number.to_string()))
        }
        Value::Array(_, members) => members.iter().map(text_of).collect::<Option<Vec<_>>>().map(|members| members.join(",")),
        Value::Dict(_, members) => {
            let object =
                members.iter().map(|(name, value)| Some((name.clone(), text_of(value)?.into()))).collect::<Option<_>>()?;
            Some(serde_json::Value::Object(object).to_string())
        }
        Value::Char(_, _) | Value::Empty(_, _) => None,
    }
}

fn position(error: &figment::Error) -> String {
    let text = error.to_string();
    match text.find("line ") {
        Some(at) => text
            .get(at..)
            .unwrap_or_default()
            .chars()
            .take_while(|character| character.is_ascii_alphanumeric() || matches!(character, ' ' | ','))
            .collect(),
        None => "unknown position".to_owned(),
    }
}
