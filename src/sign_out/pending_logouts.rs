//! Logouts at the provider that the store could not record.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::{clock::Timestamp, oidc::LogoutToken};

/// Logouts at the provider that wait to be recorded, by their tokens' issuers and identifiers, and when each came.
#[derive(Debug, Default)]
pub struct PendingLogouts(Mutex<HashMap<(String, String), (LogoutToken, Timestamp)>>);

/// How many logouts wait at most. Of any other the provider is told to send it again, as of all.
const MAX_WAITING: usize = 10_000;

impl PendingLogouts {
    /// Adds a logout. Returns whether it is the only one, so that the caller must start the task that records them.
    pub(super) fn add(&self, token: &LogoutToken, at: Timestamp) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = waiting.is_empty();
        if waiting.len() < MAX_WAITING {
            waiting.entry(name_of(token)).or_insert_with(|| (token.clone(), at));
        }
        is_first
    }

    pub(super) fn waiting(&self) -> Vec<(LogoutToken, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Removes a logout that is recorded. Returns `false` if none waits any more.
    pub(super) fn recorded(&self, token: &LogoutToken) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&name_of(token));
        !waiting.is_empty()
    }
}

/// An identifier is unique at its issuer alone.
pub(super) fn name_of(token: &LogoutToken) -> (String, String) {
    (token.issuer.clone(), token.id.clone())
}
