//! Which log lines are written: by directives for modules, or by Coder's list of patterns.

use std::fmt::Write;

use regex::{Regex, RegexBuilder};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, registry::LookupSpan};

use crate::pattern::MAX_PATTERN_SIZE;

/// `CODER_LOG_FILTER`.
#[derive(Clone, Debug)]
pub enum LogFilter {
    /// Directives of [`EnvFilter`], such as `info,evergate=debug`.
    Directives(String),
    /// As in Coder: everything from `info` on, and those debug lines of Evergate's whose text or module matches.
    DebugLines(Regex),
}

/// The text is neither a list of directives nor one of patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a filter like info,evergate=debug, or regular expressions like .*renew.*")]
pub struct InvalidLogFilter;

impl LogFilter {
    /// Reads both forms. Directives have no character that only a pattern needs, except within `{field=pattern}`.
    ///
    /// # Errors
    /// [`InvalidLogFilter`].
    pub fn parse(text: &str) -> Result<Self, InvalidLogFilter> {
        let may_be_pattern = text.contains(['*', '+', '?', '^', '$', '(', '|', '\\']);
        if (!may_be_pattern || text.contains('=')) && EnvFilter::try_new(text).is_ok() {
            return Ok(Self::Directives(text.to_owned()));
        }
        if !may_be_pattern {
            return Err(InvalidLogFilter);
        }
        let patterns: Vec<_> = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).collect();
        // Each must be one by itself, or two halves could make a group of the others.
        let is_pattern = |pattern: &&str| Regex::new(pattern).is_ok();
        if !patterns.iter().all(is_pattern) {
            return Err(InvalidLogFilter);
        }
        let all = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|");
        RegexBuilder::new(&all).size_limit(MAX_PATTERN_SIZE).build().map(Self::DebugLines).map_err(|_| InvalidLogFilter)
    }

    /// The filter as a layer over all others.
    pub(super) fn layer<S>(&self) -> Result<Box<dyn Layer<S> + Send + Sync>, tracing_subscriber::filter::ParseError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        Ok(match self {
            Self::Directives(directives) => Box::new(EnvFilter::try_new(directives)?),
            Self::DebugLines(patterns) => Box::new(DebugLines(patterns.clone())),
        })
    }
}

/// What the targets of Evergate's own lines begin with. Debug lines of the crates that it uses are written for directives alone:
/// they are many, and some quote what they send.
const OWN: &str = env!("CARGO_CRATE_NAME");

struct DebugLines(Regex);

impl<S: Subscriber> Layer<S> for DebugLines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let is_own = metadata.target().split("::").next() == Some(OWN);
        *metadata.level() <= Level::INFO || (*metadata.level() == Level::DEBUG && is_own)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() <= Level::INFO || self.0.is_match(metadata.target()) {
            return true;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.is_match(&message.0)
    }
}

/// The text of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _infallible = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;

    #[test]
    fn both_forms_are_told_apart() {
        for directives in
            ["info", "info,evergate::access=off", "evergate=debug", "evergate[span{field=a.*}]=debug", "warn,hyper=trace"]
        {
            assert!(matches!(LogFilter::parse(directives), Ok(LogFilter::Directives(_))), "{directives}");
        }
        for patterns in [".*", ".*got oidc claims.*", "renew.+,^login", "(a|b)", "[a-z]+", "user=.*"] {
            assert!(matches!(LogFilter::parse(patterns), Ok(LogFilter::DebugLines(_))), "{patterns}");
        }
        for neither in ["evergate=loud=quiet", "(", "*", "a(,b)", "(\\pL{1000}){1000}"] {
            assert!(matches!(LogFilter::parse(neither), Err(InvalidLogFilter)), "{neither}");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn patterns_choose_among_our_debug_lines_and_leave_the_rest() {
        let written = Written::default();
        let writer = written.clone();
        let filter = LogFilter::parse("got .* claims,^evergate::renewal").unwrap();
        let lines = fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(filter.layer().unwrap()).with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(count = 3, "got oidc claims");
            tracing::debug!("something else");
            tracing::debug!(target: "evergate::renewal::flight", "any line of the module");
            tracing::debug!(target: "hyper::client", "got their claims");
            tracing::trace!("got oidc claims, in detail");
            tracing::info!(target: "hyper::client", "an info line");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let count = text.lines().count();
        assert_eq!(count, 3, "{text}");
        for line in ["got oidc claims count=3", "any line of the module", "an info line"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
