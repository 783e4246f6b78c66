//! How many connections the limit of open files allows.

use tokio::sync::Semaphore;

/// Raises the process's limit of file descriptors to the hard limit, and returns it.
pub(super) fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If that is refused, the old limit stays.
    let _refused = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many connections of clients may be open, and as many to apps. Some descriptors are reserved for the store, the provider, files and
/// metrics.
pub(super) fn connections_for(descriptors: u64) -> usize {
    let max_connections =
        usize::try_from(descriptors.saturating_sub(128) / 2).unwrap_or(usize::MAX).clamp(16, Semaphore::MAX_PERMITS);
    if max_connections < LOW_CONNECTION_LIMIT {
        tracing::warn!(
            descriptors,
            connections.most = max_connections,
            "the limit of open files (ulimit -n) allows few concurrent connections; others wait until one ends"
        );
    }
    max_connections
}

/// A limit below this is logged as a warning: a few browsers would use it up.
const LOW_CONNECTION_LIMIT: usize = 2_000;
