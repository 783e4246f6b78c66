//! Signals, none of which ends the process by itself once they are taken.

use tokio::signal::unix::{self, SignalKind, signal};

/// What the process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// To end, by the signal of this name.
    Stop(&'static str),
    /// SIGHUP: that its terminal has gone, by which daemons are asked to read their files again.
    HangUp,
}

/// Takes the signals. They stay taken when this is dropped: one that comes while the process drains changes nothing.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    pub(super) fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.quit.recv() => Signal::Stop("SIGQUIT"),
            _ = self.hang_up.recv() => Signal::HangUp,
        }
    }
}
