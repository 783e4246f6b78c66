//! The file of settings: TOML with Evergate's own names, or YAML with Coder's paths.

use figment::{
    Figment, Provider,
    providers::{Format, Toml},
    value::{Dict, Value},
};

use super::{
    Problem, Problems, coder,
    coder_yaml::{self, PathMeaning},
    layer::Layer,
    raw::is_yaml,
    table::is_known,
    unknown,
    yaml::{self, Node},
};

/// What a file says of settings.
pub(super) struct File {
    /// Its values, by the names of settings.
    pub(super) values: Figment,
    /// What it says in vain.
    pub(super) warnings: Vec<Problem>,
}

/// What must be in the file.
pub(super) const ROUTES: &str = "route";
pub(super) const TOKEN_ISSUERS: &str = "token_issuer";
pub(super) const PROVIDERS: &str = "provider";
/// All tables.
pub(super) const TABLES: [&str; 3] = [ROUTES, TOKEN_ISSUERS, PROVIDERS];

/// Reads the file at `path`.
///
/// # Errors
/// What is wrong with the file as a whole, as the rest of a sentence. A parser's own message may quote a line with a secret, and is
/// not repeated.
pub(super) fn read(path: &str, problems: &mut Problems) -> Result<File, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file {path} cannot be read: {error}"))?;
    if is_yaml(path) {
        return match yaml::parse(&text) {
            Ok(Node::Map(members)) => Ok(of_coder(&members.into_iter().collect::<Vec<_>>(), problems)),
            Ok(Node::Null) => Ok(File { values: Figment::new(), warnings: Vec::new() }),
            Ok(Node::Text(_) | Node::List(_)) => Err(format!("the file {path} is no map of settings")),
            Err(at) => Err(format!("the file {path} is not YAML that Evergate reads ({at})")),
        };
    }
    let values = Figment::new().merge(Toml::string(&text));
    let data = values.data().map_err(|error| format!("the file {path} is not valid TOML ({})", position(&error)))?;
    for name in data.values().flatten().map(|(name, _)| name).filter(|name| !TABLES.contains(&name.as_str()) && !is_known(name)) {
        no_such_setting(name, unknown::meant(name), problems);
    }
    Ok(File { values, warnings: Vec::new() })
}

/// The settings of a file of Coder's. At the top it may have Evergate's own names too.
fn of_coder(members: &[(String, Node)], problems: &mut Problems) -> File {
    let (mut values, mut warnings) = (Dict::new(), Vec::new());
    let mut left: Vec<(String, &Node)> = members.iter().map(|(name, node)| (name.clone(), node)).collect();
    while let Some((path, node)) = left.pop() {
        let warn = |reason: &str| Problem { key: path.clone(), message: format!("has no effect: {reason}") };
        match coder_yaml::meaning(&path) {
            PathMeaning::Group => match node {
                Node::Map(members) => left.extend(members.iter().map(|(name, node)| (format!("{path}.{name}"), node))),
                Node::Null => {}
                Node::Text(_) | Node::List(_) => problems.add(path, "must be a group of settings".to_owned()),
            },
            PathMeaning::Setting(name) => {
                let Some(value) = value(node) else { continue };
                match coder::without_effect(name) {
                    Some((_, reason)) => warnings.push(warn(reason)),
                    None => set(&mut values, &path, name, value, problems),
                }
            }
            PathMeaning::Unknown { .. } if TABLES.contains(&path.as_str()) && *node != Node::Null => {
                set(&mut values, &path, &path, whole(node), problems)
            }
            PathMeaning::Unknown { .. } if is_known(&path) => {
                let Some(value) = value(node) else { continue };
                set(&mut values, &path, &path, value, problems);
            }
            // Coder writes all its settings into its file, also those that are not known here.
            PathMeaning::Unknown { near: None, is_mistake: true } if value(node).is_none() => {}
            PathMeaning::Unknown { near, is_mistake: true } => no_such_setting(&path, near, problems),
            PathMeaning::Unknown { near: _, is_mistake: false } => match unknown::meant(&path) {
                Some(near) => no_such_setting(&path, Some(near), problems),
                None if value(node).is_some() => warnings.push(warn("Evergate has no such setting")),
                None => {}
            },
        }
    }
    warnings.sort_by(|one, other| one.key.cmp(&other.key));
    File { values: Figment::new().merge(Layer { name: "file", values }), warnings }
}

/// Sets `name`, which two paths may mean: Coder's and Evergate's own. Either could be the rule that somebody relies on.
fn set(values: &mut Dict, path: &str, name: &str, value: Value, problems: &mut Problems) {
    if values.insert(name.to_owned(), value).is_some() {
        problems.add(path, format!("is set twice, as {} and as {name}; one of them must go", coder_yaml::path_of(name)));
    }
}

/// A setting's value; `None` for an empty one, which counts as not set: Coder writes all settings into its file, most of them so.
fn value(node: &Node) -> Option<Value> {
    match node {
        Node::Null => None,
        Node::Text(text) => Some(text).filter(|text| !text.is_empty()).map(|_| whole(node)),
        Node::List(members) => Some(members).filter(|members| !members.is_empty()).map(|_| whole(node)),
        Node::Map(members) => Some(members).filter(|members| !members.is_empty()).map(|_| whole(node)),
    }
}

/// A value as a file of the other kind would have it, with all that is empty in it: a list of groups of which nothing is left would
/// let everybody in.
fn whole(node: &Node) -> Value {
    match node {
        Node::Null => Value::from(""),
        Node::Text(text) => Value::from(text.clone()),
        Node::List(members) => Value::from(members.iter().map(whole).collect::<Vec<_>>()),
        Node::Map(members) => Value::from(members.iter().map(|(key, member)| (key.clone(), whole(member))).collect::<Dict>()),
    }
}

fn no_such_setting(name: &str, near: Option<&str>, problems: &mut Problems) {
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    problems.add(name, format!("there is no such setting{hint}"));
}

/// Where a parser's error is, without the line that it quotes.
pub(super) fn position(error: &figment::Error) -> String {
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
