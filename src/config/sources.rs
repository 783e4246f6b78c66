//! Reading: flag > environment > file > default, by figment. Values are kept as the texts that they were
//! given as; figment's own environment provider would turn a secret `0042` into the number 42 and print it.

use std::collections::{BTreeMap, BTreeSet};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{
    Problem, Problems,
    raw::{ENVIRONMENT_PREFIX, Given, Raw, RouteTable, Source},
    routes,
    setting::{Setting, ValueType},
    table,
    texts::{secret, text_of},
    unknown,
};

/// What a process is given.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// Names of variables that are not UTF-8, or whose value is not.
    pub not_utf8: BTreeSet<String>,
    /// Flags, by the key's name.
    pub flags: BTreeMap<String, String>,
    /// `--config`.
    pub config_path: Option<String>,
}

const CONFIG_PATH: &str = "CODER_CONFIG_PATH";
const FILE_SUFFIX: &str = "_file";
/// The only setting that the file alone can hold.
const ROUTES: &str = "route";

impl Environment {
    /// This process's variables.
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
        let unreadable = self.refuse_not_utf8(problems);
        let mut reading = Reading { figment: &figment, path: path.as_deref(), problems, warnings, unreadable };
        let given = table::all().filter_map(|key| Some((key.name, reading.setting(key)?))).collect();
        let Reading { warnings, unreadable, problems, .. } = reading;
        Raw { given, unreadable, routes: route_tables(&figment, problems), warnings }
    }

    /// Variables that are not text: which settings cannot be read because of them.
    fn refuse_not_utf8(&self, problems: &mut Problems) -> BTreeSet<&'static str> {
        let mut unreadable = BTreeSet::new();
        for (name, key, _) in self.not_utf8().filter(|(name, key, _)| *name == CONFIG_PATH || is_known(key)) {
            problems.add(name, "is not UTF-8 text");
            let is_for = |setting: &&Setting| setting.name == key || key.strip_suffix(FILE_SUFFIX) == Some(setting.name);
            unreadable.extend(table::all().filter(is_for).map(|setting| setting.name));
        }
        unreadable
    }

    fn not_utf8(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.not_utf8.iter().filter_map(|name| Some((name.as_str(), name.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase(), "")))
    }

    /// Our variables by their keys.
    fn variables(&self) -> BTreeMap<String, String> {
        self.ours().map(|(_, key, value)| (key, value.to_owned())).collect()
    }

    /// Our variables: name, key and value. One that is empty is not set, as in a compose file that passes it through.
    fn ours(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.variables.iter().filter(|(name, value)| name.as_str() != CONFIG_PATH && !value.is_empty()).filter_map(
            |(name, value)| Some((name.as_str(), name.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase(), value.as_str())),
        )
    }

    /// Variables and flags that are no settings. Variables may be others', which is said in one warning, without their values;
    /// only what somebody wrote for us, by all appearance, is a problem.
    fn judge_unknown(&self, problems: &mut Problems) -> Option<Problem> {
        let mut foreign = Vec::new();
        for (name, key, value) in self.ours().chain(self.not_utf8()).filter(|(_, key, _)| !is_known(key)) {
            match unknown::meant(&key).filter(|_| !unknown::is_kubernetes(&key, value)) {
                Some(near) => no_such_setting(&Source::Environment, &key, Some(near), problems),
                None if key == ROUTES => no_such_setting(&Source::Environment, &key, None, problems),
                None if name == CONFIG_PATH => {}
                // As it can be shown: whoever starts us chooses what is in it.
                None => foreign.push(name.escape_debug().to_string()),
            }
        }
        for name in self.flags.keys().filter(|name| !is_known(name)) {
            no_such_setting(&Source::Flag, name, unknown::meant(name), problems);
        }
        let message = format!("variables that are no settings of Evergate's are ignored: {}", foreign.join(", "));
        (!foreign.is_empty()).then(|| Problem { key: format!("{ENVIRONMENT_PREFIX}*"), message })
    }
}

/// Whether a setting has this name, or is a secret that a file of this name may hold.
fn is_known(name: &str) -> bool {
    table::all().any(|key| key.name == name || (key.is_secret() && name.strip_suffix(FILE_SUFFIX) == Some(key.name)))
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

/// The tables of routes, each with its texts.
fn route_tables(figment: &Figment, problems: &mut Problems) -> Vec<RouteTable> {
    let Ok(value) = figment.find_value(ROUTES) else { return Vec::new() };
    let tables = value.as_array().and_then(|tables| tables.iter().map(Value::as_dict).collect::<Option<Vec<_>>>());
    let Some(tables) = tables else {
        problems.add(ROUTES, "must be tables, each under [[route]]");
        return Vec::new();
    };
    // An unknown key is reported where the table is understood.
    let type_of = |name: &str| routes::KEYS.iter().find(|key| key.name == name).map_or(ValueType::Text, |key| key.value_type);
    let texts = |table: &Dict| table.iter().map(|(name, value)| (name.clone(), text_of(type_of(name), value))).collect();
    tables.into_iter().map(texts).collect()
}

/// All settings while they are read.
struct Reading<'a> {
    figment: &'a Figment,
    path: Option<&'a str>,
    problems: &'a mut Problems,
    warnings: Vec<Problem>,
    unreadable: BTreeSet<&'static str>,
}

impl Reading<'_> {
    /// One setting, from the strongest source that has it.
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
                let text = text_of(ValueType::Text, &value).and_then(|path| match std::fs::read_to_string(&path) {
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
                    text.map_or_else(|message| self.refuse(key, name, message), Some)
                };
                text.map(|text| Given { text, source })
            }
            (None, None) if key.default.is_empty() => None,
            (None, None) => Some(Given { text: key.default.to_owned(), source: Source::Default }),
        }
    }

    fn find(&self, name: &str) -> Option<(Source, Value)> {
        let value = self.figment.find_value(name).ok()?;
        Some((source_of(self.figment, &value, self.path), value))
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
