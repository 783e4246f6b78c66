//! What checks find.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::language::is_control;

/// How grave a finding is. A graver one compares greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing, with nothing to be done.
    Info,
    /// It works, and somebody should look at it.
    Warning,
    /// Users will notice.
    Error,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub check: &'static str,
    /// The name of the provider that it is about, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// How grave it is.
    pub level: Level,
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The document that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<&'static str>,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report(pub Vec<Finding>);

impl Finding {
    fn new(level: Level, check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, provider: None, level, seen: seen.into(), advice: None, document: None }
    }

    /// A check that is as it should be.
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Ok, check, seen)
    }

    /// Something worth knowing.
    pub(super) fn info(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Info, check, seen)
    }

    /// Something that works and is worth a look.
    pub(super) fn warning(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Warning, check, seen)
    }

    /// Something that users will notice.
    pub(super) fn error(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Level::Error, check, seen)
    }

    /// Says which provider it is about.
    pub(super) fn at(self, provider: &str) -> Self {
        Self { provider: Some(provider.to_owned()), ..self }
    }

    /// Says what to do.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Names the document that says more.
    pub(super) fn see(self, document: &'static str) -> Self {
        Self { document: Some(document), ..self }
    }
}

impl Report {
    /// The gravest level.
    pub fn worst(&self) -> Level {
        self.0.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Info => "info",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            let provider = finding.provider.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            writeln!(f, "{level:<8} {:<22} {provider}{}", finding.check, on_one_line(&finding.seen))?;
            if let Some(advice) = &finding.advice {
                writeln!(f, "{:<8} {:<22} → {}", "", "", on_one_line(advice))?;
            }
            if let Some(document) = finding.document {
                writeln!(f, "{:<8} {:<22} → {document}", "", "")?;
            }
        }
        let count = |level| self.0.iter().filter(|finding| finding.level == level).count();
        writeln!(f, "\n{} errors, {} warnings", count(Level::Error), count(Level::Warning))
    }
}

/// Others' words may hold line ends, and what steers a terminal.
fn on_one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, character| {
        if is_control(character) {
            let _infallible = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
        line
    })
}
