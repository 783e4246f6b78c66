//! Finds the sessions that a command is about.

use anyhow::Context;

use crate::store::{ListPosition, ListedSession, Store};

/// Returns the sessions that `name` matches.
pub(super) async fn named(store: &Store, name: &str) -> anyhow::Result<Vec<ListedSession>> {
    // A user's name takes precedence over the prefix of another user's session: neither must be mistaken for the other.
    let mut sessions = store.sessions_named(name).await.context(UNREADABLE)?;
    sessions.retain(|listed| matches_user(name, listed));
    if sessions.is_empty() && name.len() >= MIN_PREFIX_LEN {
        sessions = store.sessions_by_prefix(name).await.context(UNREADABLE)?;
    }
    Ok(sessions)
}

const UNREADABLE: &str = "the sessions could not be read";

/// The minimum length of a prefix of a session's or grant's identifier.
const MIN_PREFIX_LEN: usize = 6;

fn matches_user(name: &str, listed: &ListedSession) -> bool {
    let identity = &listed.grant.identity;
    identity.subject == name
        || identity.username.as_deref() == Some(name)
        || identity.email.iter().chain(&identity.unverified_email).any(|email| email.eq_ignore_ascii_case(name))
}

/// Reads the page behind `after`, and says where the next one begins.
pub(super) async fn page(store: &Store, after: ListPosition) -> anyhow::Result<(Vec<ListedSession>, Option<ListPosition>)> {
    store.list_sessions(after).await.context(UNREADABLE)
}

/// Reads all sessions into memory.
pub(super) async fn all(store: &Store) -> anyhow::Result<Vec<ListedSession>> {
    let (mut sessions, mut position) = (Vec::new(), Some(ListPosition::START));
    while let Some(after) = position {
        let (found, next) = page(store, after).await?;
        sessions.extend(found);
        position = next;
    }
    Ok(sessions)
}
