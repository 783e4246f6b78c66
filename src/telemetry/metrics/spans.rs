//! What becomes of the spans of traces.

use super::{
    Metrics,
    labels::{Outcome, SPAN_DROPPED, SPAN_EXPORTED},
};

impl Metrics {
    /// Counts spans that a collector has taken.
    pub fn spans_exported(&self, count: u64) {
        self.0.trace_spans.get_or_create(&Outcome { outcome: SPAN_EXPORTED }).inc_by(count);
    }

    /// Counts spans that no collector will get.
    pub fn spans_dropped(&self, count: u64) {
        self.0.trace_spans.get_or_create(&Outcome { outcome: SPAN_DROPPED }).inc_by(count);
    }
}
