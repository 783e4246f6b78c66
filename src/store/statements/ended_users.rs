//! Statements on users whom their provider, or another system that knows them, has had ended.

use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    session::{SessionHash, UserKey, UserName},
    store::{StoreError, connection::Connection, rows, sql::Template},
};

impl Connection<'_> {
    /// Finds the sessions of the user of a provider with this key.
    pub(in crate::store) async fn find_sessions_of_key(
        &mut self,
        registration: ClientRegistration<'_>,
        key: &UserKey,
    ) -> Result<Vec<SessionHash>, StoreError> {
        const BY_SUBJECT: &Template = &Template::new(
            "SELECT sessions.hash, grants.identity FROM grants JOIN sessions ON sessions.grant_id = grants.id \
             WHERE grants.subject = $3 AND grants.issuer = $1 AND grants.client_id = $2",
        );
        const BY_EMAIL: &Template = &Template::new(
            "SELECT sessions.hash, grants.identity FROM grants JOIN sessions ON sessions.grant_id = grants.id \
             WHERE {email} = $3 AND grants.issuer = $1 AND grants.client_id = $2",
        );
        // A directory may write a name in another case than the provider does. What is lower case to the database's own collation may be
        // something else than to Unicode (Turkish has an i without a dot), and its index may be out of order since its library was
        // replaced; it finds names that mix the cases beyond ASCII.
        const BY_USERNAME: &Template = &Template::new(
            "SELECT sessions.hash, grants.identity FROM grants JOIN sessions ON sessions.grant_id = grants.id \
             WHERE ({username_key} = $3 OR lower({username}) = lower($3)) AND grants.issuer = $1 AND grants.client_id = $2",
        );
        let (sql, is_subject) = match key {
            UserKey::Subject(_) => (BY_SUBJECT, true),
            UserKey::Username(_) => (BY_USERNAME, false),
            UserKey::Email(_) => (BY_EMAIL, false),
        };
        let mut sessions = Vec::new();
        // The database's lower case may be that of ASCII alone.
        for text in key.written_forms() {
            let text = if is_subject || !self.is_postgres() { text } else { super::listings::escaped(&text) };
            let found = self.query(sql).bind(registration.issuer).bind(registration.client_id).bind(text).fetch_all().await?;
            for row in found {
                // The index has an address up to the first quotation mark. A row that cannot be read is not spared.
                let is_users =
                    rows::identity_from(row.get("identity")?).map_or(true, |found| UserKey::all_of(&found).contains(key));
                let hash = rows::session_hash_from(row.get("hash")?)?;
                // Two forms may be one to the database.
                if is_users && !sessions.contains(&hash) {
                    sessions.push(hash);
                }
            }
        }
        Ok(sessions)
    }

    /// Records that users were ended, which holds for what they have from before then, until a time. Later ends win.
    pub(in crate::store) async fn end_users(
        &mut self,
        names: &[UserName],
        ended_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        transaction.connection().write_ends(names, ended_at, expires_at).await?;
        transaction.commit().await
    }

    /// The same within a transaction.
    pub(super) async fn write_ends(
        &mut self,
        names: &[UserName],
        ended_at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        // In one order, so that two replicas cannot deadlock.
        let mut names = names.to_vec();
        names.sort_unstable_by_key(|name| name.0);
        for name in names {
            self.query(
                "INSERT INTO ended_users (name, ended_at, expires_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE \
                 SET ended_at = CASE WHEN ended_users.ended_at > excluded.ended_at \
                 THEN ended_users.ended_at ELSE excluded.ended_at END, \
                 expires_at = CASE WHEN ended_users.expires_at > excluded.expires_at \
                 THEN ended_users.expires_at ELSE excluded.expires_at END",
            )
            .bind(&name.0[..])
            .bind(ended_at.0)
            .bind(expires_at.0)
            .execute()
            .await?;
        }
        Ok(())
    }

    /// Everybody who was ended, and when.
    pub(in crate::store) async fn ended_users(&mut self) -> Result<Vec<(UserName, Timestamp)>, StoreError> {
        let found = self.query("SELECT name, ended_at FROM ended_users").fetch_all().await?;
        found.iter().map(|row| Ok((rows::user_name_from(row.get("name")?)?, Timestamp(row.get("ended_at")?)))).collect()
    }

    /// When one of these names was ended last.
    pub(in crate::store) async fn user_ended_at(&mut self, names: &[UserName]) -> Result<Option<Timestamp>, StoreError> {
        let mut last = None;
        for name in names {
            let row = self.query("SELECT ended_at FROM ended_users WHERE name = $1").bind(&name.0[..]).fetch_optional().await?;
            last = last.max(row.map(|row| row.get("ended_at").map(Timestamp)).transpose()?);
        }
        Ok(last)
    }
}
