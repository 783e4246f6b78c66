//! Reads the values of one table of the file, as `[[route]]`.

use std::time::Duration;

use super::{Problems, raw::RouteTable, setting::Setting, values};

/// Reads one table.
pub(super) struct RouteReader<'a> {
    /// The tables' name.
    pub(super) kind: &'static str,
    pub(super) number: usize,
    pub(super) given: &'a RouteTable,
    pub(super) problems: &'a mut Problems,
}

impl RouteReader<'_> {
    pub(super) fn problem(&mut self, key: &Setting, message: impl Into<String>) {
        self.problems.add(format!("{}[{}].{}", self.kind, self.number, key.name), message.into());
    }

    pub(super) fn member_problem(&mut self, key: &Setting, member: &str, message: impl Into<String>) {
        self.problems.add(format!("{}[{}].{}.{member}", self.kind, self.number, key.name), message.into());
    }

    pub(super) fn parsed<T>(&mut self, key: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.given.get(key.name)?.as_deref().map_err(|message: &String| message.clone()).and_then(parse) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// Whether the value is the first of two words. The first is the default.
    pub(super) fn choice(&mut self, key: &Setting, first: &'static str, second: &'static str) -> bool {
        let chosen = self.parsed(key, |text| match text {
            text if text == first => Ok(true),
            text if text == second => Ok(false),
            _ => Err(format!("must be {first} or {second}")),
        });
        chosen.unwrap_or(true)
    }

    pub(super) fn list(&mut self, key: &Setting) -> Vec<String> {
        let list = self.parsed(key, |text| match values::list(text) {
            list if list.is_empty() => Err("is set and names nothing".to_owned()),
            list => Ok(list),
        });
        list.unwrap_or_default()
    }

    pub(super) fn limit(&mut self, key: &Setting, default: Option<Duration>) -> Option<Duration> {
        match self.parsed(key, values::duration) {
            Some(limit) => Some(limit).filter(|limit| !limit.is_zero()),
            None => default,
        }
    }

    /// Whether a key is given, even if its value is unreadable.
    pub(super) fn is_given(&self, key: &Setting) -> bool {
        self.given.contains_key(key.name)
    }

    /// Reports keys that are none of these.
    pub(super) fn refuse_unknown_keys(&mut self, keys: &[&Setting]) {
        for name in self.given.keys() {
            if !keys.iter().any(|key| key.name == name) {
                let near = keys.iter().map(|key| key.name).min_by_key(|key| strsim::damerau_levenshtein(key, name));
                let hint = near
                    .filter(|near| strsim::damerau_levenshtein(near, name) <= 3)
                    .map(|near| format!("; did you mean {near}?"));
                let message = format!("there is no such setting of a {}{}", self.kind, hint.unwrap_or_default());
                self.problems.add(format!("{}[{}].{name}", self.kind, self.number), message);
            }
        }
    }
}
