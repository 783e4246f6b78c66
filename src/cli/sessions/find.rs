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

pub(super) const UNREADABLE: &str = "the sessions could not be read";

/// Reads the page behind `after`, and says where the next one begins.
pub(super) async fn page(
    administration: &Administration,
    after: ListPosition,
) -> anyhow::Result<(Vec<ListedSession>, Option<ListPosition>)> {
    administration.list_sessions(after).await.context(UNREADABLE)
}
