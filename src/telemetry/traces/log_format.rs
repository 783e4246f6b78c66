//! Log lines that say which span they belong to, so that logs and traces are joined.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::layer::ids;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineForm {
    Json,
    Text,
}

/// Adds `trace_id` and `span_id`, by the names of OpenTelemetry's log formats, to the lines of another format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithTraceIds<F>(pub(crate) F, pub(crate) LineForm);

impl<S, N, F> FormatEvent<S, N> for WithTraceIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some((trace, span, _)) = context.lookup_current().and_then(|span| ids(&span)) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match (self.1, line.strip_suffix('}')) {
            (LineForm::Json, Some(open)) => {
                writeln!(writer, "{open},\"trace_id\":\"{trace:032x}\",\"span_id\":\"{span:016x}\"}}")
            }
            (LineForm::Json, None) | (LineForm::Text, _) => writeln!(writer, "{line} trace_id={trace:032x} span_id={span:016x}"),
        }
    }
}
