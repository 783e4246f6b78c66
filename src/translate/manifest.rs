//! Files that hold how oauth2-proxy is started: Kubernetes manifests, compose files, and values of its Helm chart.

use std::collections::BTreeMap;

use super::{given::Precedence, result::Note, source_reader::SourceReader};
use crate::config::document::{self, Node};

/// The documents of a YAML stream.
pub(super) fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---").filter(|part| !part.trim().is_empty())
}

/// Whether a document speaks of oauth2-proxy.
pub(super) fn is_ours(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["oauth2-proxy", "oauth2_proxy"].iter().any(|name| text.contains(name))
}

/// Reads all containers, services and values of oauth2-proxy in a document, and the files that it holds.
pub(super) fn read(reader: &mut SourceReader<'_>, name: &str, node: &Node) {
    match node {
        Node::Map(members) => {
            if let Some(Node::Map(files)) = members.get("data") {
                let texts = files.iter().filter_map(|(file, text)| Some((file.clone(), text_of(text)?)));
                reader.embedded.extend(texts);
            }
            if members.get("image").and_then(text_of).is_some_and(|image| is_ours(&image)) {
                container(reader, name, members);
            }
            if members.contains_key("extraArgs") || members.get("config").is_some_and(is_chart_config) {
                chart_values(reader, name, members);
            }
            for member in members.values() {
                read(reader, name, member);
            }
        }
        Node::List(members) => members.iter().for_each(|member| read(reader, name, member)),
        Node::Null | Node::Text(_) => {}
    }
}

fn text_of(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

/// A container of a pod, or a service of a compose file.
fn container(reader: &mut SourceReader<'_>, name: &str, members: &BTreeMap<String, Node>) {
    for key in ["command", "args", "entrypoint"] {
        let words = match members.get(key) {
            Some(Node::List(words)) => words.iter().filter_map(text_of).collect(),
            Some(Node::Text(line)) => words_of(line),
            Some(Node::Null | Node::Map(_)) | None => continue,
        };
        reader.arguments(&words, &format!(" in {name}"));
    }
    for key in ["env", "environment"] {
        match members.get(key) {
            Some(Node::Map(variables)) => {
                for (variable, value) in variables.iter().filter_map(|(variable, value)| Some((variable, text_of(value)?))) {
                    reader.variable(variable, &value);
                }
            }
            Some(Node::List(entries)) => entries.iter().for_each(|entry| environment_entry(reader, entry)),
            Some(Node::Null | Node::Text(_)) | None => {}
        }
    }
    if members.contains_key("envFrom") || members.contains_key("env_file") {
        let message =
            "takes variables from elsewhere, which are not translated; give them as a file NAME=VALUE whose name ends in .env";
        reader.read.given.notes.push(Note::warning(&format!("the container in {name}"), message));
    }
}

/// `NAME=value`, or Kubernetes' `{name, value}` and `{name, valueFrom}`.
fn environment_entry(reader: &mut SourceReader<'_>, entry: &Node) {
    match entry {
        Node::Text(line) => {
            if let Some((variable, value)) = line.split_once('=') {
                reader.variable(variable, value);
            }
        }
        Node::Map(members) => {
            let Some(variable) = members.get("name").and_then(text_of) else { return };
            if let Some(value) = members.get("value").and_then(text_of) {
                reader.variable(&variable, &value);
            } else if let Some(option) = variable.strip_prefix("OAUTH2_PROXY_") {
                let place = members.get("valueFrom").map_or_else(|| "elsewhere".to_owned(), place_of);
                reader.read.given.add_elsewhere(option, &variable, place);
            }
        }
        Node::Null | Node::List(_) => {}
    }
}

/// Where a value is: `the key KEY of the secret NAME`.
fn place_of(node: &Node) -> String {
    let Node::Map(members) = node else { return "elsewhere".to_owned() };
    for (kind, word) in [("secretKeyRef", "secret"), ("configMapKeyRef", "config map")] {
        if let Some(Node::Map(reference)) = members.get(kind) {
            let part = |key: &str| reference.get(key).and_then(text_of).unwrap_or_default();
            return format!("the key {} of the {word} {}", part("key"), part("name"));
        }
    }
    "elsewhere".to_owned()
}

fn is_chart_config(node: &Node) -> bool {
    matches!(node, Node::Map(members) if ["clientID", "existingSecret", "configFile"].iter().any(|key| members.contains_key(*key)))
}

/// Values of the Helm chart `oauth2-proxy`, also as a dependency of another chart.
fn chart_values(reader: &mut SourceReader<'_>, name: &str, members: &BTreeMap<String, Node>) {
    match members.get("extraArgs") {
        Some(Node::Map(flags)) => {
            for (flag, value) in flags {
                let origin = format!("extraArgs.{flag} in {name}");
                match value {
                    Node::List(values) => {
                        reader.read.given.add(flag, values.iter().filter_map(text_of).collect(), &origin, Precedence::Flag);
                    }
                    Node::Text(text) => reader.read.given.add_separated(flag, text, &origin, Precedence::Flag),
                    // A flag without a value.
                    Node::Null => reader.read.given.add_separated(flag, "true", &origin, Precedence::Flag),
                    Node::Map(_) => {}
                }
            }
        }
        Some(Node::List(words)) => {
            let words: Vec<_> = words.iter().filter_map(text_of).collect();
            reader.arguments(&words, &format!(" in {name}"));
        }
        Some(Node::Null | Node::Text(_)) | None => {}
    }
    if let Some(Node::List(entries)) = members.get("extraEnv") {
        entries.iter().for_each(|entry| environment_entry(reader, entry));
    }
    if let Some(Node::Map(config)) = members.get("config") {
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
            for (flag, key) in [("client-id", "client-id"), ("client-secret", "client-secret")] {
                reader.read.given.add_elsewhere(flag, &origin, format!("the key {key} of the secret {secret}"));
            }
        }
        if let Some(text) = config.get("configFile").and_then(text_of) {
            reader.config_file(&format!("config.configFile of {name}"), &text);
        }
    }
    if let Some(Node::Map(alpha)) = members.get("alphaConfig") {
        match alpha.get("configData") {
            Some(node @ Node::Map(_)) => reader.alpha_documents.push((format!("alphaConfig.configData of {name}"), node.clone())),
            Some(Node::Null | Node::Text(_) | Node::List(_)) | None => {}
        }
        if let Some(Ok(node)) = alpha.get("configFile").and_then(text_of).map(|text| document::yaml(&text)) {
            reader.alpha_documents.push((format!("alphaConfig.configFile of {name}"), node));
        }
    }
}

/// The words of a command line as a shell reads it, without anything but quotes.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), close) if open == close => quote = None,
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
