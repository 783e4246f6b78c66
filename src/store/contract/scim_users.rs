//! Users whom a SCIM client provisions.

use super::Store;
use crate::{
    clock::Timestamp,
    session::UserName,
    store::{ScimDeleted, ScimFilter, ScimSaved, ScimUser, StoreError, operation::Operation},
};

impl Store {
    /// A page of the users of a provider, provisioned to one of these clients, and how many there are in all.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn scim_users(
        &self,
        issuer: &str,
        clients: &[&str],
        filter: &ScimFilter,
        page: (i64, i64),
    ) -> Result<(Vec<ScimUser>, i64), StoreError> {
        self.call(Operation::ScimUsers, |connection| Box::pin(connection.scim_users(issuer, clients, filter, page))).await
    }

    /// Saves a user who has these names: a new one, or one who is as they were `before`. Whoever is not active is let in by no login from
    /// now on, neither by these names nor by those of before; whoever is active is again.
    ///
    /// # Errors
    /// It may have been saved; saving it again does no harm.
    pub async fn save_scim_user(
        &self,
        user: &ScimUser,
        before: Option<&ScimUser>,
        names: &[UserName],
    ) -> Result<ScimSaved, StoreError> {
        let save =
            self.call(Operation::SaveScimUser, |connection| Box::pin(connection.save_scim_user(user, before, names))).await;
        let (saved, changed) = save?;
        self.announce_users(&changed);
        Ok(saved)
    }

    /// Deletes a user who is as they were `before`, and is let in by no login until somebody with one of their names is saved as active.
    ///
    /// # Errors
    /// The user may have been deleted.
    pub async fn delete_scim_user(&self, before: &ScimUser) -> Result<ScimDeleted, StoreError> {
        let deletion = self.call(Operation::DeleteScimUser, |connection| Box::pin(connection.delete_scim_user(before))).await;
        let (deleted, changed) = deletion?;
        self.announce_users(&changed);
        Ok(deleted)
    }

    /// Whether a user who has one of these names is let in by no login, because a SCIM client has deactivated or deleted them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn is_locked_out(&self, names: &[UserName]) -> Result<bool, StoreError> {
        Ok(self.user_ended_at(names).await? == Some(Timestamp(i64::MAX)))
    }
}
