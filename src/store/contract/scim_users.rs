//! Users whom a SCIM client provisions.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::Registrations,
    clock::Timestamp,
    session::{EndSource, UserKey, UserName},
    store::{
        OwnNames, ScimDeleted, ScimFilter, ScimSaved, ScimUser, SessionFilter, StoreError,
        operation::{Read, Write},
    },
};

/// How long after their bearer tokens were ended those of a user are ended again who is locked out and tries to log in.
const TOKENS_END_AGAIN: Duration = Duration::from_secs(60);

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
        self.read(Read::ScimUsers, |connection| Box::pin(connection.scim_users(issuer, clients, filter, page))).await?.current()
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
        own: &OwnNames,
    ) -> Result<ScimSaved, StoreError> {
        let save =
            self.write(Write::SaveScimUser, |connection| Box::pin(connection.save_scim_user(user, before, names, own))).await;
        let (saved, changed) = save?;
        self.announce_users(&changed);
        Ok(saved)
    }

    /// Deletes a user who is as they were `before`, and is let in by no login until somebody with one of their names is saved as active: with
    /// one of their `own` names, by all of them.
    ///
    /// # Errors
    /// The user may have been deleted.
    pub async fn delete_scim_user(&self, before: &ScimUser, own: &OwnNames) -> Result<ScimDeleted, StoreError> {
        let deletion = self.write(Write::DeleteScimUser, |connection| Box::pin(connection.delete_scim_user(before, own))).await;
        let (deleted, changed) = deletion?;
        self.announce_users(&changed);
        Ok(deleted)
    }

    /// Locks a user out who is not active by further names, until they are active again.
    ///
    /// # Errors
    /// They may be locked out by them; locking them out again does no harm.
    pub async fn lock_out_also(&self, user: &ScimUser, names: &[UserName]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let lock = self.write(Write::LockOutScimUser, |connection| Box::pin(connection.lock_out_also(user, names))).await;
        self.announce_users(&lock?);
        Ok(())
    }

    /// Lets in the bearer tokens of a provider's user who has just been let in by a login with the names `login`, if they are refused until
    /// further notice: the directory knows the user by other names now. A lockout of these names that has come meanwhile holds.
    ///
    /// # Errors
    /// They may be refused still.
    pub async fn let_tokens_in(
        &self,
        issuer: &str,
        tokens: &[UserName],
        login: &[UserName],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.is_locked_out(tokens).await? {
            return Ok(());
        }
        let done =
            self.write(Write::LetTokensIn, |connection| Box::pin(connection.let_tokens_in(issuer, tokens, login, at))).await;
        if done? {
            self.announce_users(tokens);
        }
        Ok(())
    }

    /// Whether a user who has one of these names is let in by no login, because a SCIM client has deactivated or deleted them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn is_locked_out(&self, names: &[UserName]) -> Result<bool, StoreError> {
        Ok(self.user_ended_at(names).await? == Some(Timestamp(i64::MAX)))
    }

    /// Those of these names that an active user of a SCIM client has, who is not the one with this identifier.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn names_of_others(&self, names: &[UserName], id: &str) -> Result<Vec<UserName>, StoreError> {
        self.read(Read::ScimNamesOfOthers, |connection| Box::pin(connection.names_of_others(names, id))).await?.current()
    }

    /// Ends all sessions, personal access tokens and bearer tokens of a user of whom the provider has told these names, if a SCIM client has locked
    /// one of the names out. Returns whether it has. `at` is the time for the history.
    ///
    /// # Errors
    /// Some may be alive still. Calling this again ends the rest.
    pub async fn end_if_locked_out(
        &self,
        names: &[UserName],
        registrations: &Registrations,
        subject: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        if names.is_empty() || !self.is_locked_out(names).await? {
            return Ok(false);
        }
        // Of their bearer tokens some may name them otherwise. Whoever tries to log in time and again does not have it written each time.
        let tokens = UserKey::token_names(subject, registrations);
        if self.user_ended_at(&tokens).await?.is_none_or(|ended_at| ended_at < at.minus(TOKENS_END_AGAIN)) {
            self.end_users(&tokens, at.just_before()).await?;
        }
        let mut has_ended = false;
        // Twice, because a token may be made of a session that has not ended yet.
        for registration in registrations.iter().chain(registrations.iter()) {
            let filter = SessionFilter { registration, subject: Some(subject), provider_session: None };
            for hash in self.find_sessions(filter).await?.current()? {
                let Some(ended) = self.end_session(hash).await? else { continue };
                self.record_logout(hash, &ended, EndSource::Scim.as_str(), at);
                has_ended = true;
            }
        }
        if has_ended {
            self.metrics.user_end(EndSource::Scim.as_str(), "ok");
        }
        Ok(true)
    }
}
