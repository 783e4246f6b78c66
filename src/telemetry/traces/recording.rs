//! A span while it is open, and when it has ended.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};

/// The fields of a span that are not attributes of it.
const NAME: &str = "otel.name";
const KIND: &str = "otel.kind";
const ROOT: &str = "otel.root";
const TRACE_ID: &str = "otel.trace_id";
const SPAN_ID: &str = "otel.span_id";
const PARENT_ID: &str = "otel.parent_id";
const SAMPLED: &str = "otel.sampled";
const STATE: &str = "otel.state";
const FAILED: &str = "otel.failed";

/// About how many bytes a span has besides its texts, and an attribute besides its name and its text.
const SPAN_FRAME: usize = 96;
const ATTRIBUTE_FRAME: usize = 16;

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AttributeValue {
    Text(String),
    Number(i64),
    Flag(bool),
}

/// OpenTelemetry's kinds of spans, by their numbers in OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SpanKind {
    #[default]
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A span while it is open.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    /// It begins a trace where no other span is open.
    pub(super) is_root: bool,
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) parent_id: u64,
    pub(super) is_sampled: bool,
    pub(super) state: String,
    pub(super) is_failed: bool,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
    /// How many characters of an attribute are kept.
    max_attribute: usize,
    started_at: SystemTime,
    started: Instant,
    /// When it was last left, which is its end: a span stays open in memory for as long as one of its parts does.
    left: Option<Instant>,
}

/// A span that has ended. Times are nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct FinishedSpan {
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) parent_id: u64,
    pub(super) state: String,
    pub(super) is_failed: bool,
    pub(super) started_at: u64,
    pub(super) ended_at: u64,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
}

impl Recording {
    #[expect(clippy::disallowed_methods, reason = "a span's times are reported, and nothing is decided by them")]
    pub(super) fn begin(name: &str, max_attribute: usize) -> Self {
        Self {
            name: name.to_owned(),
            kind: SpanKind::Internal,
            is_root: false,
            trace_id: 0,
            span_id: 0,
            parent_id: 0,
            is_sampled: false,
            state: String::new(),
            is_failed: false,
            attributes: Vec::new(),
            max_attribute,
            started_at: SystemTime::now(),
            started: Instant::now(),
            left: None,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "as above")]
    pub(super) fn leave(&mut self) {
        self.left = Some(Instant::now());
    }

    pub(super) fn finish(self) -> FinishedSpan {
        let nanos =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
        let took = self.left.map_or_else(|| self.started.elapsed(), |left| left.saturating_duration_since(self.started));
        FinishedSpan {
            name: self.name,
            kind: self.kind,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            state: self.state,
            is_failed: self.is_failed,
            started_at: nanos(self.started_at),
            ended_at: nanos(self.started_at + took),
            attributes: self.attributes,
        }
    }

    fn set(&mut self, field: &Field, mut value: AttributeValue) {
        let name = field.name();
        if let AttributeValue::Text(text) = &mut value
            && let Some((end, _)) = text.char_indices().nth(self.max_attribute)
        {
            text.truncate(end);
        }
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = value,
            None => self.attributes.push((name, value)),
        }
    }
}

impl FinishedSpan {
    /// About how many bytes it is when it is sent.
    pub(super) fn size(&self) -> usize {
        let length = |(name, value): &(&'static str, AttributeValue)| {
            name.len()
                + match value {
                    AttributeValue::Text(text) => text.len(),
                    AttributeValue::Number(_) | AttributeValue::Flag(_) => 0,
                }
                + ATTRIBUTE_FRAME
        };
        SPAN_FRAME + self.name.len() + self.state.len() + self.attributes.iter().map(length).sum::<usize>()
    }
}

impl Visit for Recording {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            NAME => value.clone_into(&mut self.name),
            STATE => value.clone_into(&mut self.state),
            KIND => {
                self.kind = match value {
                    "server" => SpanKind::Server,
                    "client" => SpanKind::Client,
                    _ => SpanKind::Internal,
                };
            }
            _ => self.set(field, AttributeValue::Text(value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            ROOT => self.is_root = value,
            SAMPLED => self.is_sampled = value,
            FAILED => self.is_failed = value,
            _ => self.set(field, AttributeValue::Flag(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, AttributeValue::Number(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            SPAN_ID => self.span_id = value,
            PARENT_ID => self.parent_id = value,
            _ => self.set(field, AttributeValue::Number(i64::try_from(value).unwrap_or(i64::MAX))),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == TRACE_ID {
            self.trace_id = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, AttributeValue::Text(format!("{value:?}")));
    }
}
