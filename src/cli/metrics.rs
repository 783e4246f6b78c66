//! `evergate metrics`.

use super::output::print_out;
use crate::telemetry::metrics::reference::reference;

/// Prints the reference of the metrics (`docs/metrics.md`).
pub(super) fn run() -> anyhow::Result<()> {
    print_out(&reference()?)
}
