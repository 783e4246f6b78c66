//! Structured logs: text for people, JSON for machines.

use std::{
    fs::OpenOptions,
    io::{IsTerminal, Write},
};

use anyhow::Context;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::{LogOutput, Settings};

/// The target of access lines, so that a filter can turn them off: `evergate::access=off`.
pub const ACCESS: &str = "evergate::access";

/// Starts logging for the whole process. Lines are written by a thread of their own, so that no request
/// waits for whoever reads them; the guard, when dropped, writes what is left.
///
/// # Errors
/// The filter is malformed, the file cannot be opened, or logging was started before.
pub fn start(settings: &Settings) -> anyhow::Result<WorkerGuard> {
    let (output, terminal): (Box<dyn Write + Send>, _) = match &settings.output {
        LogOutput::Stderr => (Box::new(std::io::stderr()), std::io::stderr().is_terminal()),
        LogOutput::Stdout => (Box::new(std::io::stdout()), std::io::stdout().is_terminal()),
        LogOutput::File(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            (Box::new(file.with_context(|| format!("the log file {} cannot be written", path.display()))?), false)
        }
    };
    let (writer, guard) = NonBlockingBuilder::default().thread_name("logs").finish(output);
    let registry = tracing_subscriber::registry().with(settings.filter.layer()?);
    if settings.json.unwrap_or(!terminal) {
        registry
            .with(fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer))
            .try_init()?;
    } else {
        registry.with(fmt::layer().with_ansi(terminal).with_writer(writer)).try_init()?;
    }
    Ok(guard)
}

/// An error and its causes as one text. None of our errors holds a secret.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
