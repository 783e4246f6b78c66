//! Values of oauth2-proxy's Helm chart.

use std::collections::BTreeMap;

use super::{
    entries::{environment_entry, from_elsewhere, is_strange, text_of},
    given::Precedence,
    source_reader::SourceReader,
};
use crate::config::document::{self, Node};

type Members = BTreeMap<String, Node>;

/// Reads the values, also as those of a dependency of another chart.
pub(super) fn read(reader: &mut SourceReader<'_>, name: &str, values: &Members) {
    extra_arguments(reader, name, values.get("extraArgs"));
    match values.get("extraEnv") {
        Some(Node::List(entries)) => entries.iter().for_each(|entry| environment_entry(reader, name, entry)),
        Some(Node::Text(_) | Node::Map(_)) => is_strange(reader, &format!("extraEnv in {name}")),
        Some(Node::Null) | None => {}
    }
    let is_empty = |node: &Node| matches!(node, Node::Null) || matches!(node, Node::List(members) if members.is_empty());
    if values.get("envFrom").is_some_and(|node| !is_empty(node)) {
        from_elsewhere(reader, &format!("envFrom in {name}"));
    }
    if let Some(config) = map(reader, name, values, "config") {
        configuration(reader, name, config);
    }
    if let Some(alpha) = map(reader, name, values, "alphaConfig") {
        alpha_configuration(reader, name, alpha);
    }
    for (key, flag) in [("authenticatedEmailsFile", "authenticated-emails-file"), ("htpasswdFile", "htpasswd-file")] {
        let is_on = |file: &Members| file.get("enabled").and_then(text_of).is_some_and(|text| text != "false");
        if map(reader, name, values, key).is_some_and(is_on) {
            let place = "a file that the chart makes".to_owned();
            reader.read.given.add_elsewhere(flag, &format!("{key} in {name}"), place, Precedence::Flag);
        }
    }
}

/// The map of this key; what is there else is told.
fn map<'a>(reader: &mut SourceReader<'_>, name: &str, members: &'a Members, key: &str) -> Option<&'a Members> {
    match members.get(key) {
        Some(Node::Map(members)) => Some(members),
        Some(Node::Text(_) | Node::List(_)) => {
            is_strange(reader, &format!("{key} in {name}"));
            None
        }
        Some(Node::Null) | None => None,
    }
}

fn extra_arguments(reader: &mut SourceReader<'_>, name: &str, arguments: Option<&Node>) {
    match arguments {
        Some(Node::Map(flags)) => {
            for (flag, value) in flags {
                let origin = format!("extraArgs.{flag} in {name}");
                match value {
                    Node::List(values) => {
                        let texts: Vec<_> = values.iter().filter_map(text_of).collect();
                        if texts.len() < values.len() {
                            is_strange(reader, &origin);
                        }
                        reader.read.given.add(flag, texts, &origin, Precedence::Flag);
                    }
                    Node::Text(text) => reader.read.given.add_separated(flag, text, &origin, Precedence::Flag),
                    // A flag without a value.
                    Node::Null => reader.read.given.add_separated(flag, "true", &origin, Precedence::Flag),
                    Node::Map(_) => is_strange(reader, &origin),
                }
            }
        }
        Some(Node::List(words)) => {
            let texts: Vec<_> = words.iter().filter_map(text_of).collect();
            if texts.len() < words.len() {
                is_strange(reader, &format!("extraArgs in {name}"));
            }
            reader.arguments(&texts, &format!(" in {name}"));
        }
        Some(Node::Text(_)) => is_strange(reader, &format!("extraArgs in {name}")),
        Some(Node::Null) | None => {}
    }
}

fn configuration(reader: &mut SourceReader<'_>, name: &str, config: &Members) {
    for (key, flag) in [
        ("clientID", "client-id"),
        ("clientSecret", "client-secret"),
        ("cookieSecret", "cookie-secret"),
        ("cookieName", "cookie-name"),
    ] {
        if let Some(value) = config.get(key).and_then(text_of) {
            reader.read.given.add(flag, vec![value], &format!("config.{key} in {name}"), Precedence::Environment);
        }
    }
    if let Some(secret) = config.get("existingSecret").and_then(text_of) {
        let origin = format!("config.existingSecret in {name}");
        for flag in ["client-id", "client-secret"] {
            let place = format!("the key {flag} of the secret {secret}");
            reader.read.given.add_elsewhere(flag, &origin, place, Precedence::Environment);
        }
    }
    if let Some(google) = map(reader, name, config, "google") {
        let origin = format!("config.google.groups in {name}");
        match google.get("groups") {
            Some(Node::List(groups)) => {
                let texts: Vec<_> = groups.iter().filter_map(text_of).collect();
                if texts.len() < groups.len() {
                    is_strange(reader, &origin);
                }
                reader.read.given.add("google-group", texts, &origin, Precedence::Flag);
            }
            Some(Node::Text(groups)) => reader.read.given.add_separated("google-group", groups, &origin, Precedence::Flag),
            Some(Node::Map(_)) => is_strange(reader, &origin),
            Some(Node::Null) | None => {}
        }
    }
    if let Some(file) = config.get("existingConfig").and_then(text_of) {
        let place = format!("the config map {file}");
        reader.read.given.add_elsewhere("config", &format!("config.existingConfig in {name}"), place, Precedence::Flag);
    }
    match config.get("configFile") {
        Some(Node::Text(text)) => reader.config_file(&format!("config.configFile of {name}"), text),
        Some(Node::List(_) | Node::Map(_)) => is_strange(reader, &format!("config.configFile in {name}")),
        Some(Node::Null) | None => {}
    }
}

fn alpha_configuration(reader: &mut SourceReader<'_>, name: &str, alpha: &Members) {
    for (key, word) in [("existingConfig", "config map"), ("existingSecret", "secret")] {
        if let Some(file) = alpha.get(key).and_then(text_of) {
            let origin = format!("alphaConfig.{key} in {name}");
            reader.read.given.add_elsewhere("alpha-config", &origin, format!("the {word} {file}"), Precedence::Flag);
        }
    }
    for key in ["configData", "configFile"] {
        let origin = format!("alphaConfig.{key} of {name}");
        match alpha.get(key) {
            Some(node @ Node::Map(members)) if !members.is_empty() => reader.alpha_documents.push((origin, node.clone())),
            Some(Node::Text(text)) if !text.trim().is_empty() => match document::yaml(text) {
                Ok(node) => reader.alpha_documents.push((origin, node)),
                Err(message) => reader.problems.add(origin, message),
            },
            Some(Node::List(_)) => is_strange(reader, &origin),
            Some(Node::Null | Node::Text(_) | Node::Map(_)) | None => {}
        }
    }
}
