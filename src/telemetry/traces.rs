//! OpenTelemetry traces: what a request meets on its way, as spans that a collector is sent.
//!
//! Code that a span is of opens it by the `tracing` crate, with the target [`SPANS`]. Where no traces are written, nobody has asked for
//! that target, and a span costs a comparison. Where they are, [`SpanLayer`] records them and puts those that have ended into a
//! bounded queue, which [`Exporter`] empties: a collector that is slow or away costs a request nothing, and spans that find the queue
//! full are counted and dropped.

mod context;
mod exporter;
mod layer;
mod log_format;
mod otlp;
mod recording;
mod sampler;
mod settings;
mod tracer;

pub use context::{RemoteContext, TraceContext};
pub use exporter::{Exporter, LAST_EXPORT};
pub use layer::{SpanLayer, SpanQueue, queue};
pub(super) use log_format::{LineForm, WithTraceIds};
pub use sampler::{Sampler, SamplerError};
pub use settings::{Propagation, TraceSettings};
pub use tracer::{RequestEnd, RequestFacts, RequestTrace, Tracer, end_forwarding, fail, name_upstream};

/// The target of spans that are exported. At the level `TRACE`, which no filter of log lines asks for by itself.
pub const SPANS: &str = "evergate::spans";
