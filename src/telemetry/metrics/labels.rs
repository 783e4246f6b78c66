//! The labels of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// What can become of a span of a trace that has ended: a collector has taken it, or none will get it.
pub(super) const SPAN_EXPORTED: &str = "exported";
pub(super) const SPAN_DROPPED: &str = "dropped";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Class {
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RouteClass {
    pub(super) route: String,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct UserEnd {
    pub(super) source: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Cached {
    pub(super) record: &'static str,
}

/// A kind of record that is kept in memory.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// A session.
    Session,
    /// A grant.
    Grant,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Voice {
    pub(super) voice: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct Operation {
    pub(super) operation: &'static str,
}
