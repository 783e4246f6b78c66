//! What operators see: logs and metrics. Knows nothing of the rest, so that every module may use it.

mod access_log;
mod log_filter;
pub mod logs;
pub mod metrics;

use std::{net::SocketAddr, path::PathBuf};

use crate::secret::{hex, sha256};

pub use access_log::{AccessLog, Field, Fields, SampleRatio};
pub use log_filter::{InvalidLogFilter, LogFilter};

/// How Evergate reports on itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_LOGGING_JSON`; `None` chooses text on a terminal and JSON elsewhere.
    pub json: Option<bool>,
    /// Where log lines go: with `CODER_LOGGING_JSON` as a path, there.
    pub output: LogOutput,
    /// `CODER_LOG_FILTER`.
    pub filter: LogFilter,
    /// Which requests have an access line, and what it tells.
    pub access_log: AccessLog,
    /// `CODER_PROMETHEUS_ADDRESS` with `CODER_PROMETHEUS_ENABLE`.
    pub metrics_address: Option<SocketAddr>,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of this file, which is made if there is none.
    File(PathBuf),
}

/// How the access line names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedUser {
    /// Not at all.
    None,
    /// By a hash of issuer and subject, which tells users apart and does not name them.
    Hash,
    /// By the subject (`sub`), as the provider names them.
    Subject,
}

impl LoggedUser {
    /// What a log line says of a user, as it is set.
    pub fn name(self, issuer: &str, subject: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Hash => {
                let digest = sha256(format!("{issuer} {subject}").as_bytes());
                Some(hex(digest.first_chunk::<8>().unwrap_or(&[0; 8])))
            }
            // Control characters could steer the terminal of whoever reads the log.
            Self::Subject => Some(subject.escape_debug().to_string()),
        }
    }
}
