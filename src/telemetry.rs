//! What operators see: logs, metrics, traces. Knows nothing of the rest, so that every module may use it.

mod access_log;
mod log_file;
mod log_filter;
pub mod logs;
mod lost_lines;
pub mod metrics;
pub mod traces;

use std::{net::SocketAddr, path::PathBuf};

pub use access_log::{AccessLog, Field, Fields, LoggedUser, SampleRatio};
pub use log_file::LogFile;
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
    /// `CODER_TRACE_ENABLE`, and OpenTelemetry's variables: how traces are made and sent, if they are.
    pub traces: Option<traces::TraceSettings>,
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
