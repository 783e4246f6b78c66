//! What administrators' subcommands are made of.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::{foundations::Foundations, providers::providers};
use crate::{administration::Administration, clock::Clock, config::Checked, telemetry::metrics::Metrics, timings::Timings};

/// Builds what the administrator's subcommands need.
///
/// # Errors
/// There are no keys, or the store cannot be opened.
pub fn administer(settings: &Checked) -> anyhow::Result<Administration> {
    let foundations = Foundations::new(settings, Metrics::default(), Clock::System, Timings::default())?;
    let providers = providers(settings, &foundations.known_clients, &foundations.clock)?;
    let renewer = foundations.renewer(settings, &providers);
    let sign_out = foundations.sign_out(settings, &providers, Arc::default(), TaskTracker::new());
    Ok(foundations.administration(settings, sign_out, renewer))
}
