//! `evergate migrate`.

use anyhow::Context;

use super::{output::print_out, runtime::block_on};
use crate::{
    app,
    config::{Environment, Problems},
    store::Store,
    telemetry::metrics::Metrics,
};

/// Migrates the database to the current schema.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let (store, keys) = raw.store(problems)?;
    let keys = app::keys(keys)?;
    block_on(async {
        let store = Store::open(&store, keys, Metrics::default()).context("cannot open the store")?;
        store.migrate().await.context("the store could not be brought up to date")
    })?;
    print_out("the store is up to date\n")
}
