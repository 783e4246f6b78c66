//! One finding, and how bad it is.

/// How bad a finding is. The worst one is the verdict and the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Users stay logged in, but there is something to know or to improve.
    Warning,
    /// Users are logged out, or cannot log in.
    Error,
}

impl Level {
    /// The word in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was examined.
    pub(super) topic: &'static str,
    /// What was seen, and what it means.
    pub(super) text: String,
    /// What would improve it.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Ok, topic, text: text.into(), advice: None }
    }

    pub(super) fn warning(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, topic, text: text.into(), advice: Some(advice.into()) }
    }

    pub(super) fn error(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Error, topic, text: text.into(), advice: Some(advice.into()) }
    }
}
