//! Brings the store up to date at the start.

use std::time::Duration;

use anyhow::Context;

use crate::{store::Store, telemetry::logs::causes};

/// How long the start waits for the store.
const STORE_START_TIMEOUT: Duration = Duration::from_secs(30);

/// Migrates the database, and waits for a store that is still starting.
#[expect(clippy::disallowed_methods, reason = "a deadline for a start has nothing to do with tokens' times")]
pub(super) async fn migrate(store: &Store) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + STORE_START_TIMEOUT;
    loop {
        match store.migrate().await {
            Ok(()) => return Ok(()),
            Err(error) if tokio::time::Instant::now() < deadline => {
                tracing::warn!(error = causes(&error), "the store is not ready; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error).context("the store could not be brought up to date"),
        }
    }
}
