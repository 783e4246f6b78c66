//! Statements on users whom a SCIM client provisions, and on whom it has locked out.

use crate::{
    clock::{Timestamp, millis},
    session::UserName,
    store::{
        ScimFilter, ScimSaved, ScimUser, StoreError,
        connection::{Connection, Row},
        contract::END_RETENTION,
        rows,
    },
};

/// When a user is ended who is locked out: what they have is from before then, whenever they got it.
const FOR_GOOD: Timestamp = Timestamp(i64::MAX);

/// The users that a condition selects by `$3`, and how many they are.
macro_rules! users_where {
    ($condition:literal) => {
        (
            concat!(
                "SELECT id, issuer, client_id, user_name, external_id, profile, active, created_at, changed_at FROM scim_users \
                 WHERE issuer = $1 AND client_id = $2 AND ",
                $condition,
                " ORDER BY id LIMIT $5 OFFSET $4"
            ),
            concat!("SELECT COUNT(*) AS total FROM scim_users WHERE issuer = $1 AND client_id = $2 AND ", $condition),
        )
    };
}

impl Connection<'_> {
    /// A page of the users of a provider in the order of their ids, and how many there are.
    pub(in crate::store) async fn scim_users(
        &mut self,
        issuer: &str,
        client_id: &str,
        filter: &ScimFilter,
        (skip, most): (i64, i64),
    ) -> Result<(Vec<ScimUser>, i64), StoreError> {
        let ((page, total), key) = match filter {
            ScimFilter::All => (users_where!("$3 = ''"), String::new()),
            ScimFilter::Id(id) => (users_where!("id = $3"), id.clone()),
            ScimFilter::UserName(name) => (users_where!("name_key = $3"), name_key(name)),
            ScimFilter::ExternalId(id) => (users_where!("external_id = $3"), id.clone()),
        };
        let found = self.query(page).bind(issuer).bind(client_id).bind(key.as_str()).bind(skip).bind(most).fetch_all().await?;
        let total = self.query(total).bind(issuer).bind(client_id).bind(key.as_str()).fetch_one().await?.get("total")?;
        Ok((found.iter().map(read).collect::<Result<_, _>>()?, total))
    }

    /// Saves a user, who has these names from now on. Whoever is not active is locked out by them, in the same transaction.
    pub(in crate::store) async fn save_scim_user(
        &mut self,
        user: &ScimUser,
        names: &[UserName],
    ) -> Result<(ScimSaved, Vec<UserName>), StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        let saved = connection
            .query(
                "INSERT INTO scim_users (id, issuer, client_id, user_name, name_key, external_id, profile, active, created_at, \
                 changed_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE NOT EXISTS (SELECT 1 FROM scim_users \
                 WHERE issuer = $2 AND client_id = $3 AND name_key = $5 AND id <> $1) ON CONFLICT (id) DO UPDATE SET \
                 user_name = excluded.user_name, name_key = excluded.name_key, external_id = excluded.external_id, \
                 profile = excluded.profile, active = excluded.active, changed_at = excluded.changed_at",
            )
            .bind(&user.id)
            .bind(&user.issuer)
            .bind(&user.client_id)
            .bind(&user.user_name)
            .bind(name_key(&user.user_name))
            .bind(user.external_id.as_ref())
            .bind(&user.profile)
            .bind(user.active)
            .bind(user.created_at.0)
            .bind(user.changed_at.0)
            .execute()
            .await?;
        if saved == 0 {
            drop(connection);
            transaction.rollback().await?;
            return Ok((ScimSaved::NameTaken, Vec::new()));
        }
        let mut changed = connection.names_of_scim_user(&user.id).await?;
        connection.query("DELETE FROM scim_names WHERE user_id = $1").bind(&user.id).execute().await?;
        for name in names {
            connection
                .query("INSERT INTO scim_names (user_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(&user.id)
                .bind(&name.0[..])
                .execute()
                .await?;
        }
        changed.extend(names);
        let mut blocked = Vec::new();
        if user.active {
            connection.let_in(&changed, user.changed_at).await?;
        } else {
            blocked = connection.lock_out(&user.id, names).await?;
        }
        drop(connection);
        transaction.commit().await?;
        Ok((ScimSaved::Saved { blocked }, changed))
    }

    /// Deletes a user, who stays locked out by these names. Returns those that no active user has as well.
    pub(in crate::store) async fn delete_scim_user(&mut self, id: &str, names: &[UserName]) -> Result<Vec<UserName>, StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        connection.query("UPDATE scim_users SET active = $2 WHERE id = $1").bind(id).bind(false).execute().await?;
        let blocked = connection.lock_out(id, names).await?;
        connection.query("DELETE FROM scim_users WHERE id = $1").bind(id).execute().await?;
        drop(connection);
        transaction.commit().await?;
        Ok(blocked)
    }

    async fn names_of_scim_user(&mut self, id: &str) -> Result<Vec<UserName>, StoreError> {
        let found = self.query("SELECT name FROM scim_names WHERE user_id = $1").bind(id).fetch_all().await?;
        found.iter().map(|row| rows::user_name_from(row.get("name")?)).collect()
    }

    /// Locks a user out by those of these names that no active user has: two accounts may share an address.
    async fn lock_out(&mut self, id: &str, names: &[UserName]) -> Result<Vec<UserName>, StoreError> {
        let mut blocked = Vec::new();
        for name in names {
            let other = self
                .query(
                    "SELECT 1 AS one FROM scim_names JOIN scim_users ON scim_users.id = user_id \
                     WHERE name = $1 AND user_id <> $2 AND active LIMIT 1",
                )
                .bind(&name.0[..])
                .bind(id)
                .fetch_optional()
                .await?;
            if other.is_none() {
                blocked.push(*name);
            }
        }
        self.write_ends(&blocked, FOR_GOOD, FOR_GOOD).await?;
        Ok(blocked)
    }

    /// Lets a user in again: what they get from now on is good, and what they had before is not.
    async fn let_in(&mut self, names: &[UserName], now: Timestamp) -> Result<(), StoreError> {
        for name in names {
            self.query("UPDATE ended_users SET ended_at = $2, expires_at = $3 WHERE name = $1 AND ended_at = $4")
                .bind(&name.0[..])
                .bind(now.0.saturating_sub(1))
                .bind(now.0.saturating_add(millis(END_RETENTION)))
                .bind(FOR_GOOD.0)
                .execute()
                .await?;
        }
        Ok(())
    }
}

/// Names differ in more than their case (RFC 7643 section 4.1.1).
fn name_key(name: &str) -> String {
    name.to_lowercase()
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
