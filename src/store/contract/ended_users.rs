//! Users whom their provider, or another system that knows them, has had ended.

use std::{collections::HashMap, time::Duration};

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    reading::Reading,
    session::{SessionHash, UserKey, UserName},
    store::{
        Change, StoreError,
        operation::{Read, Write},
    },
};

/// How long it is remembered that a user was ended. A bearer token that lives longer is good again then.
pub const END_RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

impl Store {
    /// Finds the sessions of the user of a provider with this key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn find_sessions_of_key(
        &self,
        registration: ClientRegistration<'_>,
        key: &UserKey,
    ) -> Result<Reading<Vec<SessionHash>>, StoreError> {
        self.read(Read::FindSessions, |connection| Box::pin(connection.find_sessions_of_key(registration, key))).await
    }

    /// Records that users were ended at a time, for bearer tokens and logins from before then.
    ///
    /// # Errors
    /// It may have been recorded; recording it again does no harm.
    pub async fn end_users(&self, names: &[UserName], at: Timestamp) -> Result<(), StoreError> {
        let until = at.plus(END_RETENTION);
        self.write(Write::EndUsers, |connection| Box::pin(connection.end_users(names, at, until))).await?;
        self.announce_users(names);
        Ok(())
    }

    /// Has this replica read again when these users were ended.
    pub fn announce_users(&self, names: &[UserName]) {
        names.iter().for_each(|name| self.announce(Change::User(*name)));
    }

    /// Everybody who was ended, and when. While the database is put right that has gone back in time, and where a standby is read that may
    /// lag, also whom this replica remembers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn ended_users(&self) -> Result<Reading<HashMap<UserName, Timestamp>>, StoreError> {
        let all = self.read(Read::EndedUsers, |connection| Box::pin(connection.ended_users())).await?;
        let may_lack_some = self.holds_tokens_back() || !all.is_current();
        Ok(all.map(|all| {
            let mut all: HashMap<_, _> = all.into_iter().collect();
            for (name, at) in may_lack_some.then(|| self.committed.users()).into_iter().flatten() {
                let ended_at = all.entry(name).or_insert(at);
                *ended_at = at.max(*ended_at);
            }
            all
        }))
    }

    /// When a user was ended of whom a change was announced. This replica remembers it, should the database forget it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn changed_user(&self, name: UserName) -> Result<Option<Timestamp>, StoreError> {
        let ended_at = self.user_ended_at(&[name]).await?;
        self.committed.user_ended(name, ended_at);
        Ok(ended_at)
    }

    /// Records once more that a user was ended, in a database that may have forgotten it.
    pub(super) async fn end_user_again(&self, name: UserName, at: Timestamp) -> Result<(), StoreError> {
        if self.user_ended_at(&[name]).await? >= Some(at) {
            return Ok(());
        }
        self.end_users(&[name], at).await?;
        self.rollbacks.count_user();
        Ok(())
    }

    /// When a user who has these names was ended last.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn user_ended_at(&self, names: &[UserName]) -> Result<Option<Timestamp>, StoreError> {
        self.read(Read::UserEndedAt, |connection| Box::pin(connection.user_ended_at(names))).await?.current()
    }
}
