//! Finds sessions by what an administrator knows of them.

use super::Administration;
use crate::store::{ListedSession, StoreError};

/// The minimum length of a prefix of a session's or grant's identifier.
const MIN_PREFIX_LEN: usize = 6;

impl Administration {
    /// The sessions of the user with this e-mail address, user name or `sub`; or else the session or grant whose identifier begins so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn named(&self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        // A user's name takes precedence over the prefix of another user's session: neither must be mistaken for the other.
        let mut sessions = self.store.sessions_named(name).await?;
        sessions.retain(|listed| is_of(name, listed));
        if sessions.is_empty() && name.len() >= MIN_PREFIX_LEN {
            sessions = self.store.sessions_by_prefix(name).await?;
        }
        Ok(sessions)
    }

    /// The same; or else the sessions of those whose e-mail address or user name begins so. To look at, not to end.
    ///
    /// # Errors
    /// The store failed.
    pub async fn search(&self, text: &str) -> Result<Vec<ListedSession>, StoreError> {
        let named = self.named(text).await?;
        if !named.is_empty() || text.is_empty() {
            return Ok(named);
        }
        let mut sessions = self.store.sessions_beginning(text).await?;
        sessions.retain(|listed| begins_with(text, listed));
        Ok(sessions)
    }
}

/// Whether this is a name of the session's user.
pub(super) fn is_of(name: &str, listed: &ListedSession) -> bool {
    let identity = &listed.grant.identity;
    identity.subject == name
        || identity.username.as_deref() == Some(name)
        || identity.email.iter().chain(&identity.unverified_email).any(|email| email.eq_ignore_ascii_case(name))
}

fn begins_with(text: &str, listed: &ListedSession) -> bool {
    let (identity, lower) = (&listed.grant.identity, text.to_ascii_lowercase());
    identity.username.as_deref().is_some_and(|name| name.starts_with(text))
        || identity.email.iter().chain(&identity.unverified_email).any(|email| email.to_ascii_lowercase().starts_with(&lower))
}
