//! The variables of a container as manifests and the Helm chart have them, and what is said of what cannot be read.

use super::{
    given::Precedence,
    result::Note,
    source_reader::{PREFIX, SourceReader},
};
use crate::config::document::Node;

/// A node's text, if it is one.
pub(super) fn text_of(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::Null | Node::List(_) | Node::Map(_) => None,
    }
}

/// Says that variables are taken from what is not read.
pub(super) fn from_elsewhere(reader: &mut SourceReader<'_>, subject: &str) {
    let message = "takes variables from elsewhere, which are not translated and may restrict who enters; give them as a file NAME=VALUE \
                   whose name ends in .env, and leave this out of what you give";
    reader.read.given.notes.push(Note::closing(subject, message));
}

/// Says that something has a shape that it does not have for oauth2-proxy.
pub(super) fn is_strange(reader: &mut SourceReader<'_>, subject: &str) {
    let message = "is not what oauth2-proxy, its chart or a manifest has there; it may restrict who enters";
    reader.read.given.notes.push(Note::closing(subject, message));
}

/// A variable; without a value it has that of `place`.
pub(super) fn variable_entry(reader: &mut SourceReader<'_>, variable: &str, value: Option<&Node>, place: &str) {
    match value {
        Some(Node::Text(value)) => reader.variable(variable, value),
        // A variable without a value has that of whoever starts it.
        Some(Node::Null) | None => {
            if let Some(option) = variable.strip_prefix(PREFIX) {
                reader.read.given.add_elsewhere(option, variable, place.to_owned(), Precedence::Environment);
            }
        }
        Some(Node::List(_) | Node::Map(_)) => is_strange(reader, variable),
    }
}

/// `NAME=value`, or Kubernetes' `{name, value}` and `{name, valueFrom}`.
pub(super) fn environment_entry(reader: &mut SourceReader<'_>, name: &str, entry: &Node) {
    match entry {
        Node::Text(line) => match line.split_once('=') {
            Some((variable, value)) => reader.variable(variable, value),
            None => variable_entry(reader, line, None, "the environment of docker compose"),
        },
        Node::Map(members) => {
            let Some(variable) = members.get("name").and_then(text_of) else {
                return is_strange(reader, &format!("a variable in {name}"));
            };
            match (members.get("value"), members.get("valueFrom")) {
                (Some(value), None) => variable_entry(reader, &variable, Some(value), "elsewhere"),
                // Kubernetes takes no value for an empty text.
                (None, None) => {}
                (_, Some(place)) => variable_entry(reader, &variable, None, &place_of(place)),
            }
        }
        Node::Null => {}
        Node::List(_) => is_strange(reader, &format!("a variable in {name}")),
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
