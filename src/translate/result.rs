//! What a translation results in.

use std::collections::BTreeMap;

/// Settings, routes, and what is to be said of them.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    /// The settings, in order.
    pub(super) lines: Vec<Line>,
    /// The `[[route]]` tables, in order.
    pub(super) routes: Vec<RouteTable>,
    /// The `[[provider]]` tables, in order.
    pub(super) providers: Vec<ProviderTable>,
    /// What an administrator must know, the gravest first.
    pub(super) notes: Vec<Note>,
    /// Headers with fixed texts, for each route.
    pub(super) fixed_headers: BTreeMap<String, String>,
}

/// One setting.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The setting, as in `oidc_client_id`.
    pub(super) name: String,
    pub(super) value: Value,
    /// Which option it came from, and why, as a comment.
    pub(super) comment: String,
}

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Map(BTreeMap<String, String>),
    /// A secret, of which the value may be known.
    Secret(Option<String>),
    /// A value that only the administrator knows; the text is an example.
    ToFillIn(&'static str),
}

/// One `[[route]]` table.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteTable {
    pub(super) path: String,
    pub(super) upstream: Option<String>,
    pub(super) is_public: bool,
    pub(super) methods: Vec<String>,
    pub(super) uses_own_host: bool,
    pub(super) strips_prefix: bool,
    pub(super) timeout: Option<String>,
    pub(super) claims: BTreeMap<String, Vec<String>>,
    pub(super) claims_match: BTreeMap<String, String>,
    pub(super) bearer_audiences: Vec<String>,
    pub(super) set_headers: BTreeMap<String, String>,
    /// Whether it is for an administrator to decide, and stands commented out.
    pub(super) is_commented_out: bool,
    pub(super) comment: String,
}

/// One `[[provider]]` table. It is for an administrator to decide on, and stands commented out: oauth2-proxy lets nobody in by it.
#[derive(Clone, Debug)]
pub(super) struct ProviderTable {
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
    pub(super) comment: String,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is to be done.
    Info,
    /// Something is different, or is to be filled in.
    Warning,
    /// The result does not do what oauth2-proxy did: somebody must decide.
    Error,
}

/// What an administrator must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about: an option, where it was given.
    pub subject: String,
    /// The rest of the sentence.
    pub message: String,
    /// Whether nobody enters because of it: something may restrict who enters and is not translated.
    pub(super) closes: bool,
    /// The settings that it asks an administrator for.
    pub(super) asks_for: Vec<&'static str>,
}

impl Note {
    fn new(severity: Severity, subject: &str, message: impl Into<String>) -> Self {
        Self { severity, subject: subject.to_owned(), message: message.into(), closes: false, asks_for: Vec::new() }
    }

    pub(super) fn info(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, subject, message)
    }

    pub(super) fn warning(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject, message)
    }

    pub(super) fn error(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, subject, message)
    }

    /// An error about what may restrict who enters: nobody enters until it is decided.
    pub(super) fn closing(subject: &str, message: impl Into<String>) -> Self {
        Self { closes: true, ..Self::error(subject, message) }
    }

    /// A warning that settings are to be filled in.
    pub(super) fn asking(settings: &[&'static str], subject: &str, message: impl Into<String>) -> Self {
        Self { asks_for: settings.to_vec(), ..Self::warning(subject, message) }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.severity {
            Severity::Info => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{word}: {}: {}", self.subject, self.message)
    }
}

impl Translation {
    /// What an administrator must know, the gravest first.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How grave the gravest note is.
    pub fn severity(&self) -> Severity {
        self.notes.iter().map(|note| note.severity).max().unwrap_or(Severity::Info)
    }

    /// All that is said of options: comments, and the subjects of notes.
    pub(super) fn comments(&self) -> impl Iterator<Item = String> {
        let lines = self.lines.iter().map(|line| line.comment.clone());
        let routes = self.routes.iter().map(|route| route.comment.clone());
        lines.chain(routes).chain(self.notes.iter().map(|note| note.subject.clone()))
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>, comment: impl Into<String>) {
        self.put(name, Value::Text(value.into()), comment);
    }

    /// Sets a setting; what was set before counts no more.
    pub(super) fn put(&mut self, name: &'static str, value: Value, comment: impl Into<String>) {
        self.lines.retain(|line| line.name != name);
        self.lines.push(Line { name: name.to_owned(), value, comment: comment.into() });
    }

    /// Sets what an administrator has set: `name` is a setting, or with `_file` after it a secret, whose value is the path of its file.
    /// Nobody is asked for it any more.
    pub(super) fn answer(&mut self, name: &str, value: &str) {
        let is_it = |other: &str| other == name || Some(other) == name.strip_suffix("_file");
        self.lines.retain(|line| !is_it(&line.name));
        let comment = format!("--{}", name.replace('_', "-"));
        self.lines.push(Line { name: name.to_owned(), value: Value::Text(value.to_owned()), comment });
        self.notes.retain_mut(|note| {
            let asked = !note.asks_for.is_empty();
            note.asks_for.retain(|other| !is_it(other));
            !asked || !note.asks_for.is_empty()
        });
    }

    /// Asks the administrator for a value.
    pub(super) fn ask_for(&mut self, name: &'static str, example: &'static str, subject: &str, why: &str) {
        self.put(name, Value::ToFillIn(example), why);
        self.notes.push(Note::asking(&[name], subject, format!("set CODER_{}: {why}", name.to_uppercase())));
    }

    /// The text of a setting, if it has one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|line| line.name == name).and_then(|line| match &line.value {
            Value::Text(text) => Some(text.as_str()),
            Value::Map(_) | Value::Secret(_) | Value::ToFillIn(_) => None,
        })
    }
}
