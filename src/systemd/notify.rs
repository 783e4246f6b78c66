//! What the service manager is told (`sd_notify(3)`): one datagram for each message, which nobody answers.

use std::{
    collections::BTreeMap,
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Tells the service manager of the process, if there is one that wants to know.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads from the environment who is told (`NOTIFY_SOCKET`), and whether regularly (`WATCHDOG_USEC`).
    pub fn of(variables: &BTreeMap<String, String>) -> Self {
        let socket = variables.get("NOTIFY_SOCKET").filter(|path| !path.is_empty()).and_then(|path| match connect(path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told of this process (NOTIFY_SOCKET)");
                None
            }
        });
        // The variables of a parent that has a watchdog of its own are not for us.
        let is_ours = variables.get("WATCHDOG_PID").is_none_or(|id| *id == std::process::id().to_string());
        let watchdog = variables.get("WATCHDOG_USEC").filter(|_| is_ours && socket.is_some());
        let watchdog = watchdog.and_then(|text| text.parse().ok()).filter(|time| *time > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// The process still starts, and says something again within this time: it is not to be ended before, whatever the unit's timeout is.
    pub fn starting(&self, at_most: Duration) {
        self.tell(&format!("EXTEND_TIMEOUT_USEC={}", at_most.as_micros()));
    }

    /// Requests are served; also after settings were reloaded.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Settings are being reloaded, until [`Self::ready`].
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The process stops, which takes so long at most: it is not to be killed before, whatever the unit's timeout is.
    pub fn stopping(&self, at_most: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", at_most.as_micros()));
    }

    /// Says again and again that the process is alive, if that is asked for. It proves that tasks get their turn.
    pub async fn run_watchdog(&self) {
        let Some(limit) = self.watchdog else { return };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(limit / 2).await;
        }
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// A name that begins with `@` is none of the file system's.
fn connect(path: &str) -> io::Result<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => abstract_address(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // Nobody waits for a service manager that does not listen.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_name: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
