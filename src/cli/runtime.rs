//! The runtime that subcommands run on.

use std::time::Duration;

/// How long calls of the system may still take that were begun for nobody any more.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Runs a subcommand's future on a new runtime.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // On one core there is no work stealing, and the single-threaded scheduler spends less on each request.
    let mut builder = match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        Ok(_) | Err(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(work);
    // The system's name resolution cannot be ended, and may take long where no DNS server answers: nobody waits for what it finds.
    runtime.shutdown_timeout(LAST_CALLS);
    done
}
