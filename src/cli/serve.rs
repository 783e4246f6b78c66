//! `evergate serve`.

use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
use crate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    telemetry::logs,
};

/// Runs the gateway until SIGTERM or SIGINT.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let checked = check(&raw, problems)?;
    let _flushes_at_end = logs::start(&checked.telemetry)?;
    if !checked.gateway.sites.main().is_https() {
        tracing::warn!("CODER_ACCESS_URL is plain http: session cookies can be read on the network between browsers and here");
    }
    block_on(async {
        // Before anything is started: a signal that comes early must not kill what has begun.
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let running = app::start(checked, Clock::System).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        running.stop().await;
        Ok(())
    })
}
