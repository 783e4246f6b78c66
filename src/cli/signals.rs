//! Signal handlers. Once they are installed, none of the signals that people, service managers and scripts send ends the process by
//! itself, but SIGKILL.

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
    /// What other programs open their log by, or print their state: without a handler they would end the process.
    ignored: [(&'static str, unix::Signal); 2],
}

impl Signals {
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            ignored: [("SIGUSR1", signal(SignalKind::user_defined1())?), ("SIGUSR2", signal(SignalKind::user_defined2())?)],
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
        let [(first, one), (second, other)] = &mut self.ignored;
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return Signal::Stop("SIGTERM"),
                _ = self.interrupt.recv() => return Signal::Stop("SIGINT"),
                _ = self.quit.recv() => return Signal::Stop("SIGQUIT"),
                _ = self.hang_up.recv() => return Signal::HangUp,
                _ = one.recv() => &*first,
                _ = other.recv() => &*second,
            };
            tracing::info!(
                signal = ignored,
                "signal ignored: it means nothing here, and SIGHUP reloads settings and opens the log anew"
            );
        }
    }
}
