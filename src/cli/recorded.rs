//! What a command does to the whole store is recorded as what an administrator does, whatever becomes of it.

use anyhow::{anyhow, ensure};

use super::signals::Signals;
use crate::{
    administration::{Action, record_on_all},
    clock::Clock,
    store::Store,
};

/// The history of a command is missing, whose work is done all the same.
pub(super) const UNWRITTEN: &str = "the history of what was done could not be written; if the database is of an earlier release, \
                                    `evergate migrate` comes first, and this can be repeated";

/// Does this work unless a signal comes first, and has written what became of it.
///
/// # Errors
/// The work failed or was stopped, or it is done and could not be recorded.
pub(super) async fn recorded<T>(
    store: &Store,
    action: Action,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    // Before anything is done: a signal must not take its history with it.
    let mut signals = Signals::install()?;
    let done = signals.unless_one_comes(work).await;
    let done = done.unwrap_or_else(|signal| Err(anyhow!("{} came: not all may be done, and it can be repeated", signal.name())));
    record_on_all(store, action, done.is_ok(), Clock::System.now());
    let is_written = store.flush_events().await;
    let done = done?;
    ensure!(is_written, UNWRITTEN);
    Ok(done)
}
