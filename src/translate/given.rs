//! The options that were given to oauth2-proxy, whatever they came from.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    options::{self, Form, Meaning, ProxyOption},
    result::Note,
};

/// What comes before what, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    File,
    Environment,
    Flag,
}

/// One option's values.
#[derive(Clone, Debug)]
pub(super) struct GivenOption {
    /// Never empty texts.
    pub(super) values: Vec<String>,
    /// Where they came from, as an administrator would look for it.
    pub(super) origin: String,
    precedence: Precedence,
    /// Where the value is, or more values are, that are not here: a Kubernetes secret.
    pub(super) elsewhere: Option<String>,
}

/// All options.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    options: BTreeMap<&'static str, GivenOption>,
    /// What cannot be translated of the sources themselves.
    pub(super) notes: Vec<Note>,
    used: BTreeSet<&'static str>,
    /// How many times something was added.
    pub(super) additions: usize,
}

impl Given {
    /// Adds values of the option that `name` means, from `origin`.
    pub(super) fn add(&mut self, name: &str, values: Vec<String>, origin: &str, precedence: Precedence) {
        match options::find(name) {
            Some(option) => self.add_option(option, values, origin, precedence),
            None => self.is_unknown(origin),
        }
    }

    fn is_unknown(&mut self, origin: &str) {
        let message = "is no option of oauth2-proxy 7.15 that this release of Evergate knows, and may restrict who enters";
        self.notes.push(Note::closing(origin, message));
    }

    /// Adds values, each of which is a list of its own if the option is one: separated by commas.
    pub(super) fn add_separated(&mut self, name: &str, value: &str, origin: &str, precedence: Precedence) {
        let values = match options::find(name) {
            // oauth2-proxy compares what decides who may enter with its blanks.
            Some(ProxyOption { form: Form::List, meaning: Meaning::Restriction(_), .. }) => {
                value.split(',').map(str::to_owned).collect()
            }
            Some(ProxyOption { form: Form::List, .. }) => value.split(',').map(|part| part.trim().to_owned()).collect(),
            Some(_) | None => vec![value.to_owned()],
        };
        self.add(name, values, origin, precedence);
    }

    fn add_option(&mut self, option: &'static ProxyOption, values: Vec<String>, origin: &str, precedence: Precedence) {
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        if values.is_empty() {
            return;
        }
        self.additions += 1;
        match self.options.get_mut(option.flag) {
            Some(before) if before.precedence > precedence => {}
            // A variable has one value, unlike a flag and a list in a file.
            Some(before)
                if before.precedence == precedence && option.form == Form::List && precedence != Precedence::Environment =>
            {
                before.values.extend(values);
            }
            before => {
                if let Some(before) = before.filter(|before| before.precedence == precedence && before.origin != origin)
                    && matches!(option.meaning, Meaning::Restriction(_) | Meaning::NoRestriction(_))
                    && before.values != values
                {
                    self.notes.push(Note::closing(origin, format!("is also given as {}, with another value", before.origin)));
                }
                let given = GivenOption { values, origin: origin.to_owned(), precedence, elsewhere: None };
                self.options.insert(option.flag, given);
            }
        }
    }

    /// Adds an option whose value is not here but at `place`.
    pub(super) fn add_elsewhere(&mut self, name: &str, origin: &str, place: String, precedence: Precedence) {
        let Some(option) = options::find(name) else { return self.is_unknown(origin) };
        self.additions += 1;
        match self.options.get_mut(option.flag) {
            Some(before) if before.precedence > precedence => {}
            Some(before) if before.precedence == precedence && option.form == Form::List => before.elsewhere = Some(place),
            Some(_) | None => {
                let given = GivenOption { values: Vec::new(), origin: origin.to_owned(), precedence, elsewhere: Some(place) };
                self.options.insert(option.flag, given);
            }
        }
    }

    /// Takes options over that are given in `other`, which everybody has in common.
    pub(super) fn share(&mut self, other: &Self, flags: &[&'static str]) {
        let shared = flags.iter().filter_map(|flag| Some((*flag, other.options.get(flag)?.clone())));
        self.options.extend(shared);
    }

    /// All options.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &GivenOption)> {
        self.options.iter().map(|(flag, given)| (*flag, given))
    }

    /// Whether an option was given, here or elsewhere.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.options.contains_key(flag)
    }

    /// An option, which counts as looked at from then on.
    pub(super) fn take(&mut self, flag: &'static str) -> Option<GivenOption> {
        self.used.insert(flag);
        self.options.get(flag).cloned()
    }

    /// The only or first value, and where it came from.
    pub(super) fn text(&mut self, flag: &'static str) -> Option<(String, String)> {
        let given = self.take(flag)?;
        Some((given.values.into_iter().next()?, given.origin))
    }

    /// All values, and where they came from.
    pub(super) fn list(&mut self, flag: &'static str) -> Option<(Vec<String>, String)> {
        let given = self.take(flag)?;
        Some((given.values, given.origin)).filter(|(values, _)| !values.is_empty())
    }

    /// Whether a switch is on, or `default`.
    pub(super) fn is_on(&mut self, flag: &'static str, default: bool) -> bool {
        self.text(flag).map_or(default, |(value, _)| !matches!(value.to_ascii_lowercase().as_str(), "false" | "f" | "0" | "no"))
    }

    /// Where an option came from; its flag if it was not given.
    pub(super) fn origin(&self, flag: &'static str) -> String {
        self.options.get(flag).map_or_else(|| format!("--{flag}"), |given| given.origin.clone())
    }

    /// The options that nobody has looked at.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&'static str, &GivenOption)> {
        self.all().filter(|(flag, _)| !self.used.contains(*flag))
    }
}
