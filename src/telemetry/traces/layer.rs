//! Records spans as they are opened and ended.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;
use tracing::{Subscriber, span};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    SPANS, Sampler,
    recording::{FinishedSpan, Recording},
};
use crate::secret::random;

/// Records the spans of [`SPANS`], and hands on those that are sampled when they have ended.
#[derive(Debug)]
pub struct SpanLayer {
    sampler: Sampler,
    /// How many characters of an attribute are kept.
    max_attribute: usize,
    sender: mpsc::Sender<FinishedSpan>,
    dropped: Arc<AtomicU64>,
}

/// The spans that wait to be sent.
#[derive(Debug)]
pub struct SpanQueue {
    pub(super) receiver: mpsc::Receiver<FinishedSpan>,
    pub(super) dropped: Arc<AtomicU64>,
}

/// A layer that keeps so many characters of an attribute, and the queue that it fills, of `max` spans at most.
pub fn queue(sampler: Sampler, max: usize, max_attribute: usize) -> (SpanLayer, SpanQueue) {
    let (sender, receiver) = mpsc::channel(max);
    let dropped = Arc::new(AtomicU64::new(0));
    (SpanLayer { sampler, max_attribute, sender, dropped: Arc::clone(&dropped) }, SpanQueue { receiver, dropped })
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| span.metadata().target() == SPANS) else { return };
        let mut recording = Recording::begin(attributes.metadata().name(), self.max_attribute);
        attributes.record(&mut recording);
        if recording.trace_id == 0 {
            let around = span.parent().and_then(|parent| ids(&parent));
            match around {
                Some((trace_id, parent_id, is_sampled)) => {
                    (recording.trace_id, recording.parent_id, recording.is_sampled) = (trace_id, parent_id, is_sampled);
                }
                None if recording.is_root => {
                    recording.trace_id = u128::from_be_bytes(random()).max(1);
                    recording.is_sampled = self.sampler.samples(recording.trace_id, None);
                }
                // A part of nothing that is traced, such as a call by which the store is kept in order.
                None => return,
            }
        }
        if recording.span_id == 0 {
            recording.span_id = u64::from_be_bytes(random()).max(1);
        }
        span.extensions_mut().insert(recording);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            values.record(recording);
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            recording.leave();
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(recording) = context.span(&id).and_then(|span| span.extensions_mut().remove::<Recording>()) else { return };
        if recording.is_sampled && self.sender.try_send(recording.finish()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Trace id, span id and whether that is exported, of the innermost recorded span from here outwards.
pub(super) fn ids<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>) -> Option<(u128, u64, bool)> {
    span.scope().find_map(|span| {
        let extensions = span.extensions();
        let recording = extensions.get::<Recording>()?;
        Some((recording.trace_id, recording.span_id, recording.is_sampled))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::telemetry::traces::{LineForm, WithTraceIds, recording::AttributeValue};

    const ALL: Sampler = Sampler { follows_parent: true, ratio: 1.0 };

    /// The spans that are sent of what this does.
    fn recorded(sampler: Sampler, max: usize, run: impl FnOnce()) -> (Vec<FinishedSpan>, u64) {
        let (layer, mut queue) = queue(sampler, max, 8);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
        let mut spans = Vec::new();
        while let Ok(span) = queue.receiver.try_recv() {
            spans.push(span);
        }
        (spans, queue.dropped.load(Ordering::Relaxed))
    }

    #[test]
    fn a_span_within_another_is_a_part_of_its_trace() {
        let (spans, dropped) = recorded(ALL, 8, || {
            let outer =
                tracing::trace_span!(target: SPANS, "outer", otel.root = true, otel.kind = "server", count = 3, is_it = true);
            outer.in_scope(|| {
                // Spans of others in between change nothing.
                tracing::trace_span!("theirs").in_scope(|| {
                    let inner =
                        tracing::trace_span!(target: SPANS, "inner", otel.name = "better", otel.failed = tracing::field::Empty);
                    inner.in_scope(|| ());
                    inner.record("otel.failed", true);
                });
            });
        });
        let [inner, outer] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((inner.name.as_str(), outer.name.as_str(), dropped), ("better", "outer", 0));
        assert_eq!((inner.trace_id, inner.parent_id), (outer.trace_id, outer.span_id));
        assert!(outer.trace_id != 0 && outer.parent_id == 0 && inner.span_id != outer.span_id);
        assert!(inner.is_failed && !outer.is_failed && outer.ended_at >= inner.ended_at && inner.ended_at >= inner.started_at);
        assert_eq!(outer.attributes.len(), 2, "{outer:?}");
    }

    #[test]
    fn of_a_long_attribute_so_many_characters_are_kept() {
        let (spans, _) = recorded(ALL, 8, || {
            let span = tracing::trace_span!(target: SPANS, "r", otel.root = true, url.path = "/äöüäöüäöü", later = tracing::field::Empty);
            span.record("later", "short");
            span.record("later", tracing::field::debug("a much longer text"));
        });
        let texts: Vec<_> = spans[0].attributes.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(texts, [AttributeValue::Text("/äöüäöüä".to_owned()), AttributeValue::Text("\"a much ".to_owned())]);
    }

    #[test]
    fn what_is_told_which_trace_it_belongs_to_belongs_there() {
        let (spans, _) = recorded(Sampler { ratio: 0.0, ..ALL }, 8, || {
            drop(tracing::trace_span!(
                target: SPANS,
                "request",
                otel.trace_id = 7_u128,
                otel.span_id = 8_u64,
                otel.parent_id = Some(9_u64),
                otel.sampled = true,
                otel.state = "a=1",
            ));
        });
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((span.trace_id, span.span_id, span.parent_id, span.state.as_str()), (7, 8, 9, "a=1"));
        assert!(span.attributes.is_empty(), "{span:?}");
    }

    #[test]
    fn what_is_not_sampled_or_a_part_of_nothing_is_not_sent_and_what_finds_no_room_is_counted() {
        let root = || drop(tracing::trace_span!(target: SPANS, "root", otel.root = true));
        assert!(recorded(ALL, 8, || drop(tracing::trace_span!(target: SPANS, "store"))).0.is_empty());
        assert!(recorded(Sampler { ratio: 0.0, ..ALL }, 8, root).0.is_empty());
        let (spans, dropped) = recorded(ALL, 2, || (0..5).for_each(|_| root()));
        assert_eq!((spans.len(), dropped), (2, 3));
    }

    #[test]
    fn a_span_ends_when_it_is_left_also_while_a_part_of_it_goes_on() {
        let (spans, _) = recorded(ALL, 8, || {
            let outer = tracing::trace_span!(target: SPANS, "outer", otel.root = true);
            let inner = outer.in_scope(|| tracing::trace_span!(target: SPANS, "inner"));
            drop(outer);
            std::thread::yield_now();
            inner.in_scope(|| ());
        });
        assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["inner", "outer"]);
        assert!(spans[1].ended_at <= spans[0].ended_at, "{spans:?}");
    }

    #[derive(Clone, Default)]
    struct Written(Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_within_a_span_names_it_and_any_other_line_is_as_it_was() {
        let written = Written::default();
        let writer = written.clone();
        let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
        let lines = lines.with_writer(move || writer.clone()).map_event_format(|format| WithTraceIds(format, LineForm::Json));
        let (layer, _queue) = queue(ALL, 8, 64);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines).with(layer), || {
            tracing::info!("without");
            let span = tracing::trace_span!(target: SPANS, "r", otel.trace_id = 7_u128, otel.span_id = 8_u64);
            span.in_scope(|| tracing::info!(answer = "}", "within"));
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["message"], lines[0].get("trace_id")), (&"without".into(), None));
        assert_eq!(lines[1]["trace_id"], "00000000000000000000000000000007");
        assert_eq!((&lines[1]["span_id"], &lines[1]["answer"]), (&"0000000000000008".into(), &"}".into()));
    }
}
