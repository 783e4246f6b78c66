//! Settings that are taken over by a process that runs: at SIGHUP, and when the file of `--config` changes.

use std::time::Duration;

use crate::{
    app::{Running, WatchedFile},
    config::{Environment, Problems, Raw, check},
    telemetry::logs::causes,
};

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(2);

/// What a process was started with, and where its settings come from.
pub(super) struct Reloader<'a> {
    environment: &'a Environment,
    at_start: Raw,
    file: Option<WatchedFile>,
}

impl<'a> Reloader<'a> {
    /// Reads the settings of the start.
    pub(super) fn start(environment: &'a Environment, problems: &mut Problems) -> Self {
        // The file first: what changes while it is read is a change.
        let file = environment.file().map(|path| WatchedFile::in_force(path.into()));
        Self { environment, at_start: environment.read(problems), file }
    }

    /// The settings of the start.
    pub(super) fn at_start(&self) -> &Raw {
        &self.at_start
    }

    /// Waits until the file has changed, for ever if there is none.
    pub(super) async fn file_changes(&mut self) {
        let Some(file) = &mut self.file else { return std::future::pending().await };
        loop {
            tokio::time::sleep(INTERVAL).await;
            if file.read_change().await.is_some() {
                return;
            }
        }
    }

    /// Reads the settings, and has new requests meet them. Settings that are wrong change nothing.
    pub(super) fn reload(&mut self, running: &Running) {
        // First, as at the start. Otherwise a change that is taken back would be none.
        if let Some(file) = &mut self.file {
            file.is_in_force();
        }
        let mut problems = Problems::default();
        let (settings, kept) = self.at_start.reloaded(self.environment.read(&mut problems));
        let checked = match check(&settings, problems) {
            Ok(checked) => checked,
            Err(problems) => {
                running.refuse_settings();
                for problem in &problems.0 {
                    tracing::error!(setting = problem.key, "{problem}");
                }
                tracing::error!("the settings were not reloaded, because something in them is wrong; those before stay in force");
                return;
            }
        };
        for warning in &checked.warnings {
            tracing::warn!(setting = warning.key, "{warning}");
        }
        let routes = checked.gateway.routes.iter().count();
        match running.reload(checked) {
            Ok(()) => tracing::info!(routes, "the settings were reloaded"),
            Err(error) => {
                tracing::error!(error = causes(error.as_ref()), "the settings were not reloaded; those before stay in force");
            }
        }
        for setting in kept {
            tracing::warn!(setting, "a setting differs from that of the start, and takes a restart");
        }
    }
}
