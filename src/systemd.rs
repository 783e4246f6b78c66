//! systemd: the listening sockets that it passes on (socket activation), and what it is told of the process (`Type=notify`).

mod notify;
mod sockets;

pub use notify::Notifier;
pub use sockets::{Purpose, SocketError, Sockets};
