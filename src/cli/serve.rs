//! `evergate serve`.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    output::print_warnings,
    reload::Reloader,
    runtime::block_on,
    signals::{Signal, Signals},
    spans::Exported,
};
use crate::{
    app::{self, Running},
    clock::Clock,
    config::{Environment, Problems, check},
    systemd::{Notifier, Sockets},
    telemetry::{LogFile, logs, traces::LAST_EXPORT},
    timings::Timings,
};

/// How long the service manager is to wait for the next word of a start that goes on. A migration takes as long as the tables are large.
const START_EXTENSION: Duration = Duration::from_secs(30);

/// Runs the gateway until SIGTERM, SIGINT or SIGQUIT.
pub(super) fn run(environment: &Environment) -> anyhow::Result<()> {
    let sockets = Sockets::inherited(environment.variables.get("LISTEN_FDNAMES").map(String::as_str))?;
    let mut problems = Problems::default();
    let mut settings = Reloader::start(environment, &mut problems);
    let raw = settings.at_start();
    // The log is not started yet; the warnings may explain the problems.
    let checked = check(raw, problems).inspect_err(|_| print_warnings(raw.warnings()))?;
    let mut started = logs::start(&checked.telemetry)?;
    for warning in &checked.warnings {
        tracing::warn!(setting = warning.key, "{warning}");
    }
    if !checked.gateway.exchange.sites.main().is_https() {
        tracing::warn!("CODER_ACCESS_URL is plain http: session cookies can be read on the network between browsers and here");
    }
    forbid_core_dumps();
    block_on(async {
        // Before anything is started: an early signal must not kill a process that has begun to work.
        let mut signals = Signals::install()?;
        let manager = Arc::new(Notifier::of(&environment.variables));
        let exported = started.spans.take().zip(checked.telemetry.traces.clone());
        let exported = exported.map(|(queue, settings)| Exported::prepare(queue, settings)).transpose()?;
        let starting = Box::pin(app::start_on(sockets, checked, Clock::System, Timings::default()));
        let (running, mut early) = match start(starting, &mut signals, &manager).await? {
            Start::Running { running, early } => (running, early),
            Start::Stopped { signal } => {
                tracing::info!(signal, "stopping before anything was served");
                return Ok(());
            }
        };
        let exporting = exported.map(|exported| exported.start(running.metrics.clone()));
        tokio::spawn(started.lost.count(running.metrics.clone()));
        manager.ready();
        let alive = Arc::clone(&manager);
        tokio::spawn(async move { alive.run_watchdog().await });
        let signal = loop {
            let signal = match early.take() {
                Some(signal) => Some(signal),
                None => tokio::select! {
                    signal = signals.next() => Some(signal),
                    () = settings.file_changes() => None,
                },
            };
            match signal {
                Some(Signal::Stop(name)) => break name,
                Some(Signal::HangUp) => {
                    if let Some(Err(error)) = started.file.as_ref().map(LogFile::reopen) {
                        tracing::warn!(%error, "the log file could not be opened again: lines go on to the one that is open");
                    }
                    tracing::info!("SIGHUP received: certificates and settings are reloaded");
                    manager.reloading();
                    running.read_certificates_again();
                    settings.reload(&running);
                    manager.ready();
                }
                None => {
                    tracing::info!("the file of settings has changed");
                    settings.reload(&running);
                }
            }
        };
        tracing::info!(signal, "stopping");
        let last_spans = if exporting.is_some() { LAST_EXPORT } else { Duration::ZERO };
        manager.stopping(running.longest_stop() + last_spans);
        running.stop().await;
        if let Some(exporting) = exporting {
            exporting.finish().await;
        }
        Ok(())
    })
}

/// Memory holds keys and tokens, which no core dump and no debugger of another user is to find.
fn forbid_core_dumps() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be turned off (PR_SET_DUMPABLE): one would hold keys and tokens");
    }
}

/// What a start comes to.
enum Start {
    /// The gateway serves. `early` is a signal that came meanwhile and waits for that.
    Running { running: Box<Running>, early: Option<Signal> },
    /// A signal to stop came first.
    Stopped { signal: &'static str },
}

/// Waits until the gateway has started, unless a signal to stop comes first: nobody is served yet, so that there is nothing to drain, and
/// the database rolls a migration back whose connection ends. The service manager hears that the start goes on, however long it takes.
async fn start(
    starting: impl Future<Output = anyhow::Result<Running>>,
    signals: &mut Signals,
    manager: &Notifier,
) -> anyhow::Result<Start> {
    let (mut starting, mut early) = (pin!(starting), None);
    let mut goes_on = tokio::time::interval(START_EXTENSION / 3);
    loop {
        tokio::select! {
            running = &mut starting => return Ok(Start::Running { running: Box::new(running?), early }),
            signal = signals.next() => match signal {
                Signal::Stop(signal) => return Ok(Start::Stopped { signal }),
                Signal::HangUp => early = Some(signal),
            },
            _ = goes_on.tick() => manager.starting(START_EXTENSION),
        }
    }
}
