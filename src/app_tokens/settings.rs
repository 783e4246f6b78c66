//! What the administrator allows apps' jobs.

use std::{fmt, net::SocketAddr, path::PathBuf};

use crate::secret::Secret;

/// What the administrator allows apps' jobs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_APP_TOKEN_ADDRESS`.
    pub listen: ListenAddress,
    /// `CODER_APP_TOKEN_SECRET`, which every request must bring if it is set. On loopback it always is.
    pub secret: Option<Secret>,
    /// `CODER_APP_TOKEN_BY_USER`: whether a user may be asked for without a session of theirs.
    pub by_user: bool,
    /// `CODER_APP_TOKEN_AUDIENCES`: for which services access tokens may be exchanged.
    pub audiences: Vec<String>,
}

/// Where apps' jobs ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A unix socket, with the permissions of its file.
    Unix {
        /// The absolute path.
        path: PathBuf,
        /// `CODER_APP_TOKEN_SOCKET_MODE`.
        mode: u32,
    },
    /// An address on loopback, which every process of the machine reaches.
    Loopback(SocketAddr),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}
