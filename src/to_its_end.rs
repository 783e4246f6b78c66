//! Work that a client which disconnects must not cancel.

use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Does `work` to its end as one of `tasks`, for which a shutdown waits, even if the caller is dropped meanwhile.
pub fn to_its_end<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    let begun = tasks.spawn(work.in_current_span());
    async move {
        match begun.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The process ends.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}
