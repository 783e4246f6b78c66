//! Users whom a SCIM client provisions.

use super::Store;
use crate::{
    clock::Timestamp,
    session::UserName,
    store::{Change, ScimFilter, ScimSaved, ScimUser, StoreError, operation::Operation},
};

impl Store {
    /// A page of the users of a provider, and how many there are in all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn scim_users(
        &self,
        issuer: &str,
        client_id: &str,
        filter: &ScimFilter,
        page: (i64, i64),
    ) -> Result<(Vec<ScimUser>, i64), StoreError> {
        self.call(Operation::ScimUsers, |connection| Box::pin(connection.scim_users(issuer, client_id, filter, page))).await
    }

    /// Saves a new user or one that is changed, who has these names. Whoever is not active is let in by no login from now on; whoever is
    /// active is again.
    ///
    /// # Errors
    /// It may have been saved; saving it again does no harm.
    pub async fn save_scim_user(&self, user: &ScimUser, names: &[UserName]) -> Result<ScimSaved, StoreError> {
        let save = self.call(Operation::SaveScimUser, |connection| Box::pin(connection.save_scim_user(user, names))).await;
        let (saved, changed) = save?;
        changed.into_iter().for_each(|name| self.announce(Change::User(name)));
        Ok(saved)
    }

    /// Deletes a user, who is let in by no login with these names until somebody with one of them is saved as active. Returns those names
    /// that no active user has as well.
    ///
    /// # Errors
    /// The user may have been deleted.
    pub async fn delete_scim_user(&self, id: &str, names: &[UserName]) -> Result<Vec<UserName>, StoreError> {
        let gone = self.call(Operation::DeleteScimUser, |connection| Box::pin(connection.delete_scim_user(id, names))).await?;
        gone.iter().for_each(|name| self.announce(Change::User(*name)));
        Ok(gone)
    }

    /// Whether a user who has one of these names is let in by no login, because a SCIM client has deactivated or deleted them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn is_locked_out(&self, names: &[UserName]) -> Result<bool, StoreError> {
        Ok(self.user_ended_at(names).await? == Some(Timestamp(i64::MAX)))
    }
}
