//! Signal handlers. Once they are installed, no signal ends the process by itself.

use tokio::signal::unix::{self, SignalKind, signal};

/// A signal that the process handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The process is to stop, by the signal of this name.
    Stop(&'static str),
    /// SIGHUP: the terminal has closed, or, for a daemon, files are to be reloaded.
    HangUp,
}

impl Signal {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stop(name) => name,
            Self::HangUp => "SIGHUP",
        }
    }
}

/// Installs the handlers. They stay installed when this is dropped: a signal that arrives while the process drains changes
/// nothing.
pub(super) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Does this work, unless a signal comes first, which drops it.
    ///
    /// # Errors
    /// The signal that came.
    pub(super) async fn unless_one_comes<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Signal> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.next() => Err(signal),
        }
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Signal::Stop("SIGINT"),
            _ = self.quit.recv() => Signal::Stop("SIGQUIT"),
            _ = self.hang_up.recv() => Signal::HangUp,
        }
    }
}
