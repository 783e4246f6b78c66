//! `evergate serve`.

use super::{
    block_on, say_warnings,
    signals::{Signal, Signals},
};
use crate::{
    app,
    clock::Clock,
    config::{Environment, Problems, check},
    telemetry::logs,
    timings::Timings,
};

/// Runs the gateway until SIGTERM, SIGINT or SIGQUIT.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    // Before there is a log: they may explain the problems.
    let checked = check(&raw, problems).inspect_err(|_| say_warnings(raw.warnings()))?;
    let _flushes_at_end = logs::start(&checked.telemetry)?;
    for warning in &checked.warnings {
        tracing::warn!(setting = warning.key, "{warning}");
    }
    if !checked.gateway.exchange.sites.main().is_https() {
        tracing::warn!("CODER_ACCESS_URL is plain http: session cookies can be read on the network between browsers and here");
    }
    block_on(async {
        // Before anything is started: a signal that comes early must not kill what has begun.
        let mut signals = Signals::take()?;
        let running = app::start(checked, Clock::System, Timings::default()).await?;
        let signal = loop {
            match signals.next().await {
                Signal::HangUp => {
                    tracing::info!("SIGHUP asks for the certificates to be read again");
                    running.read_certificates_again();
                }
                Signal::Stop(name) => break name,
            }
        };
        tracing::info!(signal, "stopping");
        running.stop().await;
        Ok(())
    })
}
