//! By which names a SCIM client's users are locked out, and let in again.

use crate::{
    clock::{Timestamp, millis},
    session::UserName,
    store::{OwnNames, ScimUser, StoreError, connection::Connection, contract::END_RETENTION, rows},
};

/// When a user is ended who is locked out: what they have is from before then, whenever they got it.
const FOR_GOOD: Timestamp = Timestamp(i64::MAX);

impl Connection<'_> {
    pub(super) async fn names_of_scim_user(&mut self, id: &str) -> Result<Vec<UserName>, StoreError> {
        let found = self.query("SELECT name FROM scim_names WHERE user_id = $1").bind(id).fetch_all().await?;
        found.iter().map(|row| rows::user_name_from(row.get("name")?)).collect()
    }

    pub(super) async fn write_scim_names(&mut self, id: &str, names: &[UserName]) -> Result<(), StoreError> {
        self.query("DELETE FROM scim_names WHERE user_id = $1").bind(id).execute().await?;
        for name in names {
            self.add_scim_name(id, name).await?;
        }
        Ok(())
    }

    pub(super) async fn add_scim_name(&mut self, id: &str, name: &UserName) -> Result<(), StoreError> {
        let query = self.query("INSERT INTO scim_names (user_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        query.bind(id).bind(&name.0[..]).execute().await?;
        Ok(())
    }

    pub(super) async fn write_names_of_deleted(
        &mut self,
        id: &str,
        names: &[UserName],
        own: &OwnNames,
    ) -> Result<(), StoreError> {
        for name in names {
            let query =
                self.query("INSERT INTO scim_names_of_deleted (user_id, name, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
            query.bind(id).bind(&name.0[..]).bind(own.kind_of(name)).execute().await?;
        }
        Ok(())
    }

    /// Lets a user in by the names of those who were deleted and are the same user, but for names of others who are not active, or were
    /// deleted as well. Returns them.
    pub(super) async fn let_in_deleted(
        &mut self,
        user: &ScimUser,
        names: &[UserName],
        own: &OwnNames,
    ) -> Result<Vec<UserName>, StoreError> {
        let mut free = Vec::new();
        for name in own.all() {
            let found = self.query("SELECT user_id FROM scim_names_of_deleted WHERE name = $1 AND kind > 0");
            for row in found.bind(&name.0[..]).fetch_all().await? {
                let deleted: String = row.get("user_id")?;
                free.extend(self.free_names_of_deleted(&deleted, user, names, own).await?);
            }
        }
        self.let_in(&free, user.changed_at).await?;
        Ok(free)
    }

    /// The names of a deleted user by which a user is let in, if both are one; then the deleted one is forgotten.
    async fn free_names_of_deleted(
        &mut self,
        deleted: &str,
        user: &ScimUser,
        names: &[UserName],
        own: &OwnNames,
    ) -> Result<Vec<UserName>, StoreError> {
        let rows =
            self.query("SELECT name, kind FROM scim_names_of_deleted WHERE user_id = $1").bind(deleted).fetch_all().await?;
        let mut had = OwnNames::default();
        let mut free = Vec::new();
        for row in rows {
            let name = rows::user_name_from(row.get("name")?)?;
            if row.get::<i64>("kind")? == OwnNames::IDENTIFIER {
                had.identifiers.push(name);
            }
            if !names.contains(&name)
                && !self.is_name_of_another(&name, &user.id, false).await?
                && !self.is_name_of_another_deleted(&name, deleted).await?
            {
                free.push(name);
            }
        }
        if !own.may_be_of(&had) {
            return Ok(Vec::new());
        }
        self.query("DELETE FROM scim_names_of_deleted WHERE user_id = $1").bind(deleted).execute().await?;
        Ok(free)
    }

    async fn is_name_of_another_deleted(&mut self, name: &UserName, id: &str) -> Result<bool, StoreError> {
        let other = self
            .query("SELECT 1 AS one FROM scim_names_of_deleted WHERE name = $1 AND user_id <> $2 LIMIT 1")
            .bind(&name.0[..])
            .bind(id)
            .fetch_optional()
            .await?;
        Ok(other.is_some())
    }

    /// Whether another user who is active, or one who is not, has this name.
    async fn is_name_of_another(&mut self, name: &UserName, id: &str, active: bool) -> Result<bool, StoreError> {
        let other = self
            .query(
                "SELECT 1 AS one FROM scim_names JOIN scim_users ON scim_users.id = user_id \
                 WHERE name = $1 AND user_id <> $2 AND active = $3 LIMIT 1",
            )
            .bind(&name.0[..])
            .bind(id)
            .bind(active)
            .fetch_optional()
            .await?;
        Ok(other.is_some())
    }

    /// Those of these names that an active user has who is not this one.
    pub(in crate::store) async fn names_of_others(&mut self, names: &[UserName], id: &str) -> Result<Vec<UserName>, StoreError> {
        let mut of_others = Vec::new();
        for name in names {
            if self.is_name_of_another(name, id, true).await? {
                of_others.push(*name);
            }
        }
        Ok(of_others)
    }

    /// Locks a user out by those of these names that no active user has: two accounts may share an address.
    pub(super) async fn lock_out(&mut self, id: &str, names: &[UserName]) -> Result<Vec<UserName>, StoreError> {
        let mut blocked = Vec::new();
        for name in names {
            if !self.is_name_of_another(name, id, true).await? {
                blocked.push(*name);
            }
        }
        self.write_ends(&blocked, FOR_GOOD, FOR_GOOD).await?;
        Ok(blocked)
    }

    /// Leaves the names that an active user has no more to whom they are of: a user who is not active and has shared one with them is
    /// locked out by it from now on. Returns those names.
    pub(super) async fn leave_names(&mut self, user: &ScimUser, dropped: &[UserName]) -> Result<Vec<UserName>, StoreError> {
        let (mut blocked, mut free) = (Vec::new(), Vec::new());
        for name in dropped {
            let is_locked =
                !self.is_name_of_another(name, &user.id, true).await? && self.is_name_of_another(name, &user.id, false).await?;
            if is_locked { blocked.push(*name) } else { free.push(*name) }
        }
        self.let_in(&free, user.changed_at).await?;
        self.write_ends(&blocked, FOR_GOOD, FOR_GOOD).await?;
        Ok(blocked)
    }

    /// Lets the bearer tokens of a user in who has been let in by a login, unless a directory has locked one of the login's names out meanwhile.
    /// Whether it has.
    pub(in crate::store) async fn let_tokens_in(
        &mut self,
        issuer: &str,
        tokens: &[UserName],
        login: &[UserName],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        connection.lock_scim_users(issuer).await?;
        let is_let_in = connection.user_ended_at(login).await? != Some(FOR_GOOD);
        if is_let_in {
            connection.let_in(tokens, now).await?;
        }
        drop(connection);
        transaction.commit().await?;
        Ok(is_let_in)
    }

    /// Lets a user in again: what they get from now on is good, and what they had before is not.
    pub(super) async fn let_in(&mut self, names: &[UserName], now: Timestamp) -> Result<(), StoreError> {
        // In the order of other writers, so that none waits for this one while this one waits for it.
        let mut names = names.to_vec();
        names.sort_unstable_by_key(|name| name.0);
        for name in names {
            self.query("UPDATE ended_users SET ended_at = $2, expires_at = $3 WHERE name = $1 AND ended_at = $4")
                .bind(&name.0[..])
                .bind(now.just_before().0)
                .bind(now.0.saturating_add(millis(END_RETENTION)))
                .bind(FOR_GOOD.0)
                .execute()
                .await?;
        }
        Ok(())
    }
}
