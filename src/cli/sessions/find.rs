//! Finds the sessions that a command is about.

use anyhow::Context;

use crate::{
    administration::Administration,
    store::{ListPosition, ListedSession},
};

/// Returns the sessions that `name` matches.
pub(super) async fn named(administration: &Administration, name: &str) -> anyhow::Result<Vec<ListedSession>> {
    administration.named(name).await.context(UNREADABLE)
}

const UNREADABLE: &str = "the sessions could not be read";

/// Reads the page behind `after`, and says where the next one begins.
pub(super) async fn page(
    administration: &Administration,
    after: ListPosition,
) -> anyhow::Result<(Vec<ListedSession>, Option<ListPosition>)> {
    administration.store.list_sessions(after).await.context(UNREADABLE)
}

/// Reads all sessions into memory.
pub(super) async fn all(administration: &Administration) -> anyhow::Result<Vec<ListedSession>> {
    let (mut sessions, mut position) = (Vec::new(), Some(ListPosition::START));
    while let Some(after) = position {
        let (found, next) = page(administration, after).await?;
        sessions.extend(found);
        position = next;
    }
    Ok(sessions)
}
