//! What administrators' pages, API and subcommands are made of.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::task::TaskTracker;

use super::{keys, providers::providers};
use crate::{
    administration::Administration, clock::Clock, config::Checked, renewal::Renewer, sign_out::SignOut, store::Store,
    telemetry::metrics::Metrics, timings::Timings,
};

/// Builds what the administrator's subcommands need.
///
/// # Errors
/// There are no keys, or the store cannot be opened.
pub fn administer(settings: &Checked) -> anyhow::Result<Administration> {
    let metrics = Metrics::default();
    let keys = keys(settings.keys.clone())?;
    let store = Store::open(&settings.store, keys.clone(), metrics.clone()).context("cannot open the store")?;
    let providers = providers(settings, &Clock::System)?;
    let renewer = Renewer::new(&settings.renewal, Timings::default(), &providers, store.clone(), Clock::System, &metrics);
    let sign_out = SignOut {
        providers,
        store: store.clone(),
        signed_out_uris: settings.gateway.redirect_uris("signed_out"),
        keys,
        clock: Clock::System,
        metrics,
        tasks: TaskTracker::new(),
        revocations: Arc::default(),
        cache: Arc::default(),
        pending_ends: Arc::default(),
    };
    Ok(Administration {
        store,
        sign_out,
        renewer,
        limits: settings.session.clone(),
        clock: Clock::System,
        ends_everyone: Arc::default(),
    })
}
