//! Statements on users whom a SCIM client provisions.

use unicode_normalization::UnicodeNormalization;

use crate::{
    clock::Timestamp,
    session::{UserKey, UserName},
    store::{
        OwnNames, ScimDeleted, ScimFilter, ScimSaved, ScimUser, StoreError,
        connection::{Connection, Row},
        sql::{Sql, Template},
    },
};

/// The users that a condition selects by `$3`, and how many they are. The clients come as a list in JSON.
macro_rules! users_where {
    ($condition:literal) => {
        (
            Sql {
                postgres: users_where!(page "(SELECT json_array_elements_text($2::TEXT::JSON))" $condition),
                sqlite: users_where!(page "(SELECT value FROM json_each($2))" $condition),
            },
            Sql {
                postgres: users_where!(total "(SELECT json_array_elements_text($2::TEXT::JSON))" $condition),
                sqlite: users_where!(total "(SELECT value FROM json_each($2))" $condition),
            },
        )
    };
    (page $clients:literal $condition:literal) => {
        concat!(
            "SELECT id, issuer, client_id, user_name, external_id, profile, active, created_at, changed_at FROM scim_users \
             WHERE issuer = $1 AND client_id IN ",
            $clients,
            " AND ",
            $condition,
            " ORDER BY id LIMIT $5 OFFSET $4"
        )
    };
    (total $clients:literal $condition:literal) => {
        concat!("SELECT COUNT(*) AS total FROM scim_users WHERE issuer = $1 AND client_id IN ", $clients, " AND ", $condition)
    };
}

impl Connection<'_> {
    /// A page of the users of a provider in the order of their ids, and how many there are.
    pub(in crate::store) async fn scim_users(
        &mut self,
        issuer: &str,
        clients: &[&str],
        filter: &ScimFilter,
        (skip, most): (i64, i64),
    ) -> Result<(Vec<ScimUser>, i64), StoreError> {
        let ((page, total), keys) = match filter {
            ScimFilter::All => (users_where!("$3 = ''"), vec![String::new()]),
            ScimFilter::Id(id) => (users_where!("id = $3"), vec![id.clone()]),
            ScimFilter::UserName(name) => (users_where!("name_key = $3"), name_keys(name)),
            ScimFilter::ExternalId(id) => (users_where!("external_id = $3"), vec![id.clone()]),
        };
        let clients = serde_json::Value::from(clients).to_string();
        // Postgres has no text with a NUL, and nobody has such a name.
        for key in keys.iter().filter(|key| !key.contains('\0')) {
            let count = self.query(total).bind(issuer).bind(clients.as_str()).bind(key.as_str());
            let count: i64 = count.fetch_one().await?.get("total")?;
            if count > 0 {
                let users = self.query(page).bind(issuer).bind(clients.as_str()).bind(key.as_str()).bind(skip).bind(most);
                return Ok((users.fetch_all().await?.iter().map(read).collect::<Result<_, _>>()?, count));
            }
        }
        Ok((Vec::new(), 0))
    }

    /// Saves a user, who has these names from now on: a new one, or one whose row is as it was `before`. Whoever is not active is locked
    /// out by them and by those that they had, in the same transaction.
    pub(in crate::store) async fn save_scim_user(
        &mut self,
        user: &ScimUser,
        before: Option<&ScimUser>,
        names: &[UserName],
        own: &OwnNames,
    ) -> Result<(ScimSaved, Vec<UserName>), StoreError> {
        let mut transaction = self.begin().await?;
        let saved = transaction.connection().write_scim_user(user, before, names, own).await?;
        match saved.0 {
            ScimSaved::Saved { .. } => transaction.commit().await?,
            ScimSaved::NameTaken | ScimSaved::Changed => transaction.rollback().await?,
        }
        Ok(saved)
    }

    async fn write_scim_user(
        &mut self,
        user: &ScimUser,
        before: Option<&ScimUser>,
        names: &[UserName],
        own: &OwnNames,
    ) -> Result<(ScimSaved, Vec<UserName>), StoreError> {
        self.lock_scim_users(&user.issuer).await?;
        let found = self.scim_user(&user.id).await?;
        // Saved already, where the response to the statement was lost and it is sent again.
        let is_saved = found.as_ref() == Some(user);
        if !is_saved && found.as_ref() != before {
            return Ok((ScimSaved::Changed, Vec::new()));
        }
        if self.is_name_taken(user).await? {
            return Ok((ScimSaved::NameTaken, Vec::new()));
        }
        let written = if found.is_some() { self.update_scim_user(user).await? } else { self.insert_scim_user(user).await? };
        if written == 0 {
            return Ok((ScimSaved::Changed, Vec::new()));
        }
        let mut all = self.names_of_scim_user(&user.id).await?;
        let dropped: Vec<_> = all.iter().copied().filter(|name| !names.contains(name)).collect();
        for name in names {
            if !all.contains(name) {
                all.push(*name);
            }
        }
        let blocked = if user.active {
            self.write_scim_names(&user.id, names).await?;
            self.let_in(names, user.changed_at).await?;
            all.extend(self.let_in_deleted(user, names, own).await?);
            self.leave_names(user, &dropped).await?
        } else {
            // Also those of before: they are let in with the user, and what the user had by them is not good meanwhile.
            self.write_scim_names(&user.id, &all).await?;
            self.lock_out(&user.id, &all).await?
        };
        Ok((ScimSaved::Saved { blocked }, all))
    }

    /// Deletes a user whose row is as it was `before`, and who stays locked out by the names that they had. Whoever is provisioned with one of
    /// their `own` is the same user. Returns all the names.
    pub(in crate::store) async fn delete_scim_user(
        &mut self,
        before: &ScimUser,
        own: &OwnNames,
    ) -> Result<(ScimDeleted, Vec<UserName>), StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        connection.lock_scim_users(&before.issuer).await?;
        let deleted = match connection.scim_user(&before.id).await? {
            None => (ScimDeleted::Deleted, Vec::new()),
            Some(found) if found != *before => (ScimDeleted::Changed, Vec::new()),
            Some(_) => {
                let names = connection.names_of_scim_user(&before.id).await?;
                connection.lock_out(&before.id, &names).await?;
                connection.write_names_of_deleted(&before.id, &names, own).await?;
                connection.query("DELETE FROM scim_users WHERE id = $1").bind(&before.id).execute().await?;
                (ScimDeleted::Deleted, names)
            }
        };
        drop(connection);
        transaction.commit().await?;
        Ok(deleted)
    }

    /// Locks a user out who is not active by further names, which are theirs until they are active again. Returns those by which they are.
    pub(in crate::store) async fn lock_out_also(
        &mut self,
        user: &ScimUser,
        names: &[UserName],
    ) -> Result<Vec<UserName>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        connection.lock_scim_users(&user.issuer).await?;
        let mut blocked = Vec::new();
        if connection.scim_user(&user.id).await?.is_some_and(|found| !found.active) {
            blocked = connection.lock_out(&user.id, names).await?;
            for name in &blocked {
                connection.add_scim_name(&user.id, name).await?;
            }
        }
        drop(connection);
        transaction.commit().await?;
        Ok(blocked)
    }

    /// Makes the changes of a provider's users take turns: whether a name is locked out depends on who else has it.
    pub(super) async fn lock_scim_users(&mut self, issuer: &str) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(format!("SCIM users {issuer}"))
                .execute()
                .await?;
            return Ok(());
        }
        self.lock_file().await
    }

    async fn scim_user(&mut self, id: &str) -> Result<Option<ScimUser>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT id, issuer, client_id, user_name, external_id, profile, active, created_at, changed_at FROM scim_users \
             WHERE id = $1{for_update}",
        );
        self.query(SQL).bind(id).fetch_optional().await?.as_ref().map(read).transpose()
    }

    async fn is_name_taken(&mut self, user: &ScimUser) -> Result<bool, StoreError> {
        for key in name_keys(&user.user_name) {
            let other = self
                .query("SELECT 1 AS one FROM scim_users WHERE issuer = $1 AND client_id = $2 AND name_key = $3 AND id <> $4")
                .bind(&user.issuer)
                .bind(&user.client_id)
                .bind(key)
                .bind(&user.id)
                .fetch_optional()
                .await?;
            if other.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn insert_scim_user(&mut self, user: &ScimUser) -> Result<u64, StoreError> {
        let query = self.query(
            "INSERT INTO scim_users (id, issuer, client_id, user_name, name_key, external_id, profile, active, created_at, \
             changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        let query = query
            .bind(&user.id)
            .bind(&user.issuer)
            .bind(&user.client_id)
            .bind(&user.user_name)
            .bind(name_key(&user.user_name))
            .bind(user.external_id.as_ref())
            .bind(&user.profile)
            .bind(user.active)
            .bind(user.created_at.0)
            .bind(user.changed_at.0);
        Ok(query.execute().await?)
    }

    async fn update_scim_user(&mut self, user: &ScimUser) -> Result<u64, StoreError> {
        let query = self.query(
            "UPDATE scim_users SET user_name = $2, name_key = $3, external_id = $4, profile = $5, active = $6, changed_at = $7 \
             WHERE id = $1",
        );
        let query = query
            .bind(&user.id)
            .bind(&user.user_name)
            .bind(name_key(&user.user_name))
            .bind(user.external_id.as_ref())
            .bind(&user.profile)
            .bind(user.active)
            .bind(user.changed_at.0);
        Ok(query.execute().await?)
    }
}

/// Names differ in more than their case (RFC 7643 section 4.1.1), and in more than how Unicode writes them.
fn name_key(name: &str) -> String {
    UserKey::folded(name)
}

/// The keys under which a user of this name may be: the releases before left a decomposed name as it was.
fn name_keys(name: &str) -> Vec<String> {
    let mut keys = vec![name_key(name), name.to_lowercase(), name.to_lowercase().nfd().collect()];
    keys.dedup();
    keys
}

fn read(row: &Row) -> Result<ScimUser, StoreError> {
    Ok(ScimUser {
        id: row.get("id")?,
        issuer: row.get("issuer")?,
        client_id: row.get("client_id")?,
        user_name: row.get("user_name")?,
        external_id: row.get("external_id")?,
        profile: row.get("profile")?,
        active: row.get("active")?,
        created_at: Timestamp(row.get("created_at")?),
        changed_at: Timestamp(row.get("changed_at")?),
    })
}
