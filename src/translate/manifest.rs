//! Files that hold how oauth2-proxy is started: Kubernetes manifests and compose files. Values of its Helm chart are found here too.

use std::collections::BTreeMap;

use super::{
    alpha, chart,
    entries::{environment_entry, from_elsewhere, is_strange, text_of, variable_entry},
    result::Note,
    source_reader::{PREFIX, SourceReader},
};
use crate::config::document::Node;

/// The documents of a YAML stream.
pub(super) fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n---").filter(|part| !part.trim().is_empty())
}

/// Whether a document speaks of oauth2-proxy.
pub(super) fn is_ours(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["oauth2-proxy", "oauth2_proxy"].iter().any(|name| text.contains(name)) || text.lines().any(alpha::is_heading)
}

/// Reads the container, service or values of oauth2-proxy in a document, and the files that it holds.
pub(super) fn read(reader: &mut SourceReader<'_>, name: &str, node: &Node) {
    match node {
        Node::Map(members) => {
            if let Some(Node::Map(files)) = members.get("data") {
                let texts = files.iter().filter_map(|(file, text)| Some((file.clone(), text_of(text)?)));
                reader.embedded.extend(texts);
            }
            if members.get("image").and_then(text_of).is_some_and(|image| is_ours(&image) || has_variables(members)) {
                reader.proxies += 1;
                container(reader, name, members);
            }
            if CHART_KEYS.iter().any(|key| members.contains_key(*key)) || members.get("config").is_some_and(is_chart_config) {
                reader.proxies += 1;
                chart::read(reader, name, members);
            }
            if members.contains_key("values") && members.contains_key("valuesFrom") {
                let message = "takes values from elsewhere, which are not translated and may restrict who enters; write them out";
                reader.read.given.notes.push(Note::closing(&format!("valuesFrom in {name}"), message));
            }
            for member in members.values() {
                read(reader, name, member);
            }
        }
        Node::List(members) => members.iter().for_each(|member| read(reader, name, member)),
        Node::Null | Node::Text(_) => {}
    }
}

/// Keys of the Helm chart's values that other charts do not have.
const CHART_KEYS: [&str; 4] = ["extraArgs", "alphaConfig", "authenticatedEmailsFile", "htpasswdFile"];

fn is_chart_config(node: &Node) -> bool {
    let keys = ["clientID", "existingSecret", "existingConfig", "configFile"];
    matches!(node, Node::Map(members) if keys.iter().any(|key| members.contains_key(*key)))
}

/// Whether a container has variables of oauth2-proxy, whatever its image is called.
fn has_variables(members: &BTreeMap<String, Node>) -> bool {
    let is_one = |name: &str| name.starts_with(PREFIX);
    ["env", "environment"].iter().filter_map(|key| members.get(*key)).any(|node| match node {
        Node::Map(variables) => variables.keys().any(|name| is_one(name)),
        Node::List(entries) => entries.iter().any(|entry| match entry {
            Node::Text(line) => is_one(line),
            Node::Map(entry) => entry.get("name").and_then(text_of).is_some_and(|name| is_one(&name)),
            Node::Null | Node::List(_) => false,
        }),
        Node::Null | Node::Text(_) => false,
    })
}

/// A container of a pod, or a service of a compose file.
fn container(reader: &mut SourceReader<'_>, name: &str, members: &BTreeMap<String, Node>) {
    for key in ["command", "args", "entrypoint"] {
        match members.get(key) {
            Some(Node::List(words)) => {
                let texts: Vec<_> = words.iter().filter_map(text_of).collect();
                if texts.len() < words.len() {
                    is_strange(reader, &format!("{key} in {name}"));
                }
                reader.arguments(&texts, &format!(" in {name}"));
            }
            Some(Node::Text(line)) => reader.arguments(&words_of(line), &format!(" in {name}")),
            Some(Node::Map(_)) => is_strange(reader, &format!("{key} in {name}")),
            Some(Node::Null) | None => {}
        }
    }
    for key in ["env", "environment"] {
        match members.get(key) {
            Some(Node::Map(variables)) => {
                for (variable, value) in variables {
                    variable_entry(reader, variable, Some(value), "the environment of docker compose");
                }
            }
            Some(Node::List(entries)) => entries.iter().for_each(|entry| environment_entry(reader, name, entry)),
            Some(Node::Text(_)) => is_strange(reader, &format!("{key} in {name}")),
            Some(Node::Null) | None => {}
        }
    }
    for key in ["envFrom", "env_file"] {
        if members.get(key).is_some_and(|node| *node != Node::Null) {
            from_elsewhere(reader, &format!("{key} in {name}"));
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
