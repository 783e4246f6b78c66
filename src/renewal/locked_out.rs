//! Whom a directory has locked out keeps no session by being renamed: a token refresh may tell a name that is locked out, which the session
//! had not when the directory said who is gone.

use crate::{
    client_registration::Registrations,
    clock::Timestamp,
    identity::Identity,
    session::{UserKey, UserName},
    store::{Store, StoreError},
};

/// The names that a token refresh has told of a user for the first time.
#[derive(Clone, Debug)]
pub(super) struct NewNames {
    names: Vec<UserName>,
    registrations: Registrations,
    subject: String,
    at: Timestamp,
}

impl NewNames {
    /// Those that a verified identity adds to the one `before`; `None` if there are none, and nothing needs to be asked.
    pub(super) fn of(before: &Identity, after: &Identity, registrations: &Registrations, at: Timestamp) -> Option<Self> {
        let names = if before == after { Vec::new() } else { UserKey::new_names(before, after, registrations) };
        let (registrations, subject) = (registrations.clone(), before.subject.clone());
        (!names.is_empty()).then_some(Self { names, registrations, subject, at })
    }

    /// Ends all sessions of the user if one of the names is locked out. Returns whether it is.
    pub(super) async fn end_if_locked_out(&self, store: &Store) -> Result<bool, StoreError> {
        store.end_if_locked_out(&self.names, &self.registrations, &self.subject, self.at).await
    }
}
