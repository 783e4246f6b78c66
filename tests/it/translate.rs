//! Configurations of oauth2-proxy, translated and read by Evergate.

mod command;
mod configurations;
mod running;

use std::{collections::BTreeMap, path::Path};

use evergate::{
    config::{Checked, Environment, Problems, check},
    translate::{Output, Secrets, Severity, Sources, Translation, translate},
};

/// Translates files, flags and variables.
fn translated(files: &[(&str, &str)], arguments: &[&str], variables: &[(&str, &str)]) -> Translation {
    let sources = Sources {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        files: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    let open = |path: &str| {
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    };
    translate(&sources, &BTreeMap::new(), &open).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Writes a translation into a folder, as the command does; returns its environment and what was written.
fn written(translation: &Translation, folder: &Path) -> (Environment, Output) {
    let path = |name: &str| folder.join(name).display().to_string();
    let output = translation.output(&Secrets::In(folder.display().to_string()), &path("evergate.toml"));
    for (name, value) in &output.secrets {
        std::fs::write(path(name), value).unwrap();
    }
    if let Some(text) = &output.file {
        std::fs::write(path("evergate.toml"), text).unwrap();
    }
    (Environment { variables: variables(&output.environment), ..Environment::default() }, output)
}

/// The lines `NAME=value` of a file of variables.
fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read(environment: &Environment) -> Result<Checked, Problems> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    check(&raw, problems)
}

/// The notes of a severity, a line each.
fn notes(translation: &Translation, severity: Severity) -> String {
    translation.notes().iter().filter(|note| note.severity == severity).map(|note| format!("{note}\n")).collect()
}
