//! Structured logs: text for people, JSON for machines.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::Context;
use tracing::{Event, Metadata, level_filters::LevelFilter, span, subscriber::Interest};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer, Registry, fmt,
    fmt::MakeWriter,
    layer::{Context as LayerContext, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{
    LogFile, LogOutput, Settings,
    lost_lines::{CountedWriter, LostLines},
    traces::{self, LineForm, SPANS, SpanQueue, WithTraceIds},
};

/// The target of access lines, so that a filter can turn them off: `evergate::access=off`.
pub const ACCESS: &str = "evergate::access";

/// How many lines may wait to be written. Those that come while so many wait are lost: no request waits for a log.
const MAX_QUEUED_LINES: usize = 32_768;

/// What has been started.
#[derive(Debug)]
pub struct Started {
    /// The spans that are to be sent to a collector, where there are traces.
    pub spans: Option<SpanQueue>,
    /// The file that lines go to, if they go to one.
    pub file: Option<LogFile>,
    /// The lines that nobody gets.
    pub lost: LostLines,
    /// Writes what is left when it is dropped.
    _writes_rest: WorkerGuard,
}

/// Starts logging for the whole process, and the recording of spans. Lines are written by a thread of their own, so that no request
/// waits for whoever reads them.
///
/// # Errors
/// The filter is malformed, the file cannot be opened, or logging was started before.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let mut file = None;
    let (output, terminal): (Box<dyn Write + Send>, _) = match &settings.output {
        LogOutput::Stderr => (Box::new(std::io::stderr()), std::io::stderr().is_terminal()),
        LogOutput::Stdout => (Box::new(std::io::stdout()), std::io::stdout().is_terminal()),
        LogOutput::File(path) => {
            let opened = LogFile::open(path).with_context(|| format!("the log file {} cannot be written", path.display()))?;
            (Box::new(file.insert(opened).clone()), false)
        }
    };
    let unwritten = Arc::new(AtomicU64::new(0));
    let output = CountedWriter::new(output, Arc::clone(&unwritten));
    let queue = NonBlockingBuilder::default().thread_name("logs").buffered_lines_limit(MAX_QUEUED_LINES);
    let (writer, guard) = queue.finish(output);
    let lost = LostLines::new(writer.error_counter(), unwritten);
    let is_json = settings.json.unwrap_or(!terminal);
    let spans = match &settings.traces {
        Some(traced) => Some(start_with_spans(settings, traced, is_json, writer)?),
        None => {
            let registry = tracing_subscriber::registry().with(settings.filter.layer()?);
            if is_json {
                registry.with(json(writer)).try_init()?;
            } else {
                registry.with(fmt::layer().with_ansi(terminal).with_writer(writer)).try_init()?;
            }
            None
        }
    };
    Ok(Started { spans, file, lost, _writes_rest: guard })
}

/// The same with spans, which each line names that belongs to one.
fn start_with_spans<W>(settings: &Settings, traced: &traces::TraceSettings, is_json: bool, writer: W) -> anyhow::Result<SpanQueue>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (layer, queue) = traces::queue(traced.sampler, traced.max_queue, traced.max_attribute);
    let registry = tracing_subscriber::registry().with(AndSpans(settings.filter.layer()?));
    if is_json {
        registry.with(json(writer).map_event_format(|format| WithTraceIds(format, LineForm::Json))).with(layer).try_init()?;
    } else {
        let lines = fmt::layer().with_ansi(false).with_writer(writer);
        registry.with(lines.map_event_format(|format| WithTraceIds(format, LineForm::Text))).with(layer).try_init()?;
    }
    Ok(queue)
}

/// Lines of JSON.
fn json<S, W>(writer: W) -> fmt::Layer<S, fmt::format::JsonFields, fmt::format::Format<fmt::format::Json>, W>
where
    W: for<'a> MakeWriter<'a> + 'static,
{
    fmt::Layer::default().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer)
}

/// A filter of log lines that lets the spans of traces pass besides.
struct AndSpans(Box<dyn Layer<Registry> + Send + Sync>);

impl Layer<Registry> for AndSpans {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == SPANS { Interest::always() } else { self.0.register_callsite(metadata) }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: LayerContext<'_, Registry>) -> bool {
        metadata.target() == SPANS || self.0.enabled(metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, context: LayerContext<'_, Registry>) -> bool {
        self.0.event_enabled(event, context)
    }

    // Filters by spans (`evergate[span]=debug`) know which are open.

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: LayerContext<'_, Registry>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: LayerContext<'_, Registry>) {
        self.0.on_record(id, values, context);
    }

    fn on_enter(&self, id: &span::Id, context: LayerContext<'_, Registry>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &span::Id, context: LayerContext<'_, Registry>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: span::Id, context: LayerContext<'_, Registry>) {
        self.0.on_close(id, context);
    }
}

/// An error and its causes as one text. None of our errors holds a secret.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        // Some errors tell their cause in their own text.
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        source = cause.source();
    }
    text
}
