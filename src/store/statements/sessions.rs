//! Statements on sessions.

use crate::{
    clock::Timestamp,
    session::{Session, SessionHash},
    store::{SessionFilter, StoreError, connection::Connection, rows, rows::EndedSessionRow, rows::GrantRow, sql::Template},
};

impl Connection<'_> {
    pub(in crate::store) async fn session(&mut self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        let row = self
            .query("SELECT hash, grant_id, created_at, last_seen, provider_session FROM sessions WHERE hash = $1")
            .bind(&hash.0[..])
            .fetch_optional()
            .await?;
        row.map(|row| rows::session_from(&row)).transpose()
    }

    pub(in crate::store) async fn successor(&mut self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        let row = self
            .query("SELECT hash, grant_id, created_at, last_seen, provider_session FROM sessions WHERE follows = $1")
            .bind(&hash.0[..])
            .fetch_optional()
            .await?;
        row.map(|row| rows::session_from(&row)).transpose()
    }

    pub(in crate::store) async fn find_sessions(&mut self, filter: SessionFilter<'_>) -> Result<Vec<SessionHash>, StoreError> {
        let rows = self
            .query(
                "SELECT sessions.hash FROM sessions JOIN grants ON grants.id = sessions.grant_id \
                 WHERE grants.issuer = $1 AND grants.client_id = $2 AND ($3 IS NULL OR grants.subject = $3) \
                 AND ($4 IS NULL OR sessions.provider_session = $4)",
            )
            .bind(filter.issuer)
            .bind(filter.client_id)
            .bind(filter.subject)
            .bind(filter.provider_session)
            .fetch_all()
            .await?;
        rows.iter().map(|row| rows::session_hash_from(row.get("hash")?)).collect()
    }

    pub(in crate::store) async fn list_sessions(&mut self) -> Result<Vec<(Session, GrantRow)>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT sessions.hash, sessions.grant_id, sessions.created_at AS began_at, sessions.last_seen, \
             sessions.provider_session, \
             {grant_columns} FROM sessions JOIN grants ON grants.id = sessions.grant_id ORDER BY \
             sessions.last_seen DESC, sessions.hash",
        );
        let rows = self.query(SQL).fetch_all().await?;
        rows.iter()
            .map(|row| {
                let grant = rows::grant_from(row.get("grant_id")?)?;
                let session = Session {
                    hash: rows::session_hash_from(row.get("hash")?)?,
                    grant,
                    created_at: Timestamp(row.get("began_at")?),
                    last_seen: Timestamp(row.get("last_seen")?),
                    provider_session: row.get::<Option<String>>("provider_session")?.map(Box::from),
                };
                Ok((session, GrantRow::read(grant, row)?))
            })
            .collect()
    }

    /// Ends a session. Its last session takes the grant with it, whose refresh token is enqueued to be revoked.
    pub(in crate::store) async fn end_session(&mut self, hash: SessionHash) -> Result<Option<EndedSessionRow>, StoreError> {
        const SQL: &Template =
            &Template::new("SELECT issuer, client_id, identity, id_token FROM grants WHERE id = $1{for_update}");
        let mut transaction = self.begin().await?;
        let row = transaction
            .connection()
            .query("DELETE FROM sessions WHERE hash = $1 RETURNING grant_id")
            .bind(&hash.0[..])
            .fetch_optional()
            .await?;
        let Some(row) = row else { return Ok(None) };
        let id = rows::grant_from(row.get("grant_id")?)?;
        // The row is locked while its sessions are counted: of two last sessions that end concurrently, one must delete the grant.
        let grant = transaction.connection().query(SQL).bind(&id.0[..]).fetch_one().await?;
        transaction.connection().delete_unused_grants(Some(id), Some(hash.short()), 1).await?;
        transaction.commit().await?;
        Ok(Some(EndedSessionRow {
            grant: id,
            issuer: grant.get("issuer")?,
            client_id: grant.get("client_id")?,
            identity: grant.get("identity")?,
            id_token: grant.get("id_token")?,
        }))
    }

    pub(in crate::store) async fn touch_sessions(&mut self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        // In the order of the hashes, so that two replicas cannot deadlock.
        let mut seen = seen.to_vec();
        seen.sort_unstable_by_key(|(hash, _)| hash.0);
        for (hash, at) in seen {
            transaction
                .connection()
                .query("UPDATE sessions SET last_seen = $2 WHERE hash = $1 AND last_seen < $2")
                .bind(&hash.0[..])
                .bind(at.0)
                .execute()
                .await?;
        }
        transaction.commit().await
    }
}
