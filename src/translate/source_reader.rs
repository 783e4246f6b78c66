//! Options out of texts: command lines, variables, and oauth2-proxy's file.

use std::collections::BTreeMap;

use super::{
    alpha_config::Alpha,
    given::{Given, Precedence},
    options::{self, Form},
    result::Note,
};
use crate::config::{
    Problems,
    document::{self, Node},
};

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) given: Given,
    pub(super) alpha: Alpha,
}

/// What the names of its variables begin with.
pub(super) const PREFIX: &str = "OAUTH2_PROXY_";

/// While sources are read.
pub(super) struct SourceReader<'a> {
    pub(super) read: Read,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) problems: Problems,
    /// Texts of files that a manifest holds, by their names.
    pub(super) embedded: BTreeMap<String, String>,
    /// Alpha configurations that a manifest holds, with their names.
    pub(super) alpha_documents: Vec<(String, Node)>,
    /// How many containers, services and values of oauth2-proxy were read.
    pub(super) proxies: usize,
    /// How many files of oauth2-proxy's own were read.
    pub(super) config_files: usize,
}

impl SourceReader<'_> {
    /// A file of oauth2-proxy's own, TOML.
    pub(super) fn config_file(&mut self, name: &str, text: &str) {
        self.config_files += 1;
        let members = match document::toml(text) {
            Ok(Node::Map(members)) => members,
            Ok(Node::Null | Node::Text(_) | Node::List(_)) => return,
            Err(message) => return self.problems.add(name, message),
        };
        for (key, value) in members {
            let origin = format!("{key} in {name}");
            match value {
                Node::Text(text) => self.read.given.add_separated(&key, &text, &origin, Precedence::File),
                Node::List(members) => {
                    let count = members.len();
                    let texts = members.into_iter().filter_map(|member| match member {
                        Node::Text(text) => Some(text),
                        Node::Null | Node::List(_) | Node::Map(_) => None,
                    });
                    let texts: Vec<_> = texts.collect();
                    if texts.len() < count {
                        self.read.given.notes.push(Note::closing(&origin, "holds what is no text, and may restrict who enters"));
                    }
                    self.read.given.add(&key, texts, &origin, Precedence::File);
                }
                Node::Null => {}
                Node::Map(_) => {
                    let message = "is no option of oauth2-proxy's, and may restrict who enters";
                    self.read.given.notes.push(Note::closing(&origin, message));
                }
            }
        }
    }

    /// A file of variables, as Docker and systemd have it.
    pub(super) fn env_file(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            if let Some((name, value)) = line.split_once('=') {
                let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
                self.variable(name.trim(), quoted('"').or_else(|| quoted('\'')).unwrap_or(value));
            }
        }
    }

    pub(super) fn variable(&mut self, name: &str, value: &str) {
        if let Some(option) = name.strip_prefix(PREFIX).filter(|_| !value.is_empty()) {
            self.read.given.add_separated(option, value, name, Precedence::Environment);
        }
    }

    /// A command line; what stands before its first flag is the program. `of` says whose it is.
    pub(super) fn arguments(&mut self, arguments: &[String], of: &str) {
        let mut rest = arguments.iter().skip_while(|argument| !argument.starts_with('-'));
        while let Some(argument) = rest.next() {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).filter(|flag| !flag.is_empty())
            else {
                if !argument.trim_matches('-').is_empty() {
                    let message = "has a word that belongs to no flag; what follows it may restrict who enters";
                    self.read.given.notes.push(Note::closing("the command line", message));
                }
                continue;
            };
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let is_switch = options::find(name).is_some_and(|option| option.form == Form::Switch);
            let value = match value {
                Some(value) => value,
                None if is_switch || options::find(name).is_none() => "true",
                None => rest.next().map_or("", String::as_str),
            };
            self.read.given.add_separated(name, value, &format!("--{name}{of}"), Precedence::Flag);
        }
    }
}
