//! Statements on grants.

use crate::{
    grant::{AttemptId, EndReason, GrantId},
    store::{Fence, StoreError, Unverified, connection::Connection, rows::GrantRow, sql::Template},
};

impl Connection<'_> {
    pub(in crate::store) async fn grant(&mut self, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
        const SQL: &Template = &Template::new("SELECT {grant_columns} FROM grants WHERE id = $1");
        let row = self.query(SQL).bind(&id.0[..]).fetch_optional().await?;
        Ok(row.map(|row| GrantRow::read(id, &row)).transpose()?)
    }

    pub(in crate::store) async fn id_token(&mut self, id: GrantId) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.query("SELECT id_token FROM grants WHERE id = $1").bind(&id.0[..]).fetch_optional().await?;
        Ok(row.map(|row| row.get("id_token")).transpose()?.flatten())
    }

    pub(in crate::store) async fn has_sessions(&mut self, id: GrantId) -> Result<bool, StoreError> {
        let found =
            self.query("SELECT 1 AS one FROM sessions WHERE grant_id = $1 LIMIT 1").bind(&id.0[..]).fetch_optional().await?;
        Ok(found.is_some())
    }

    pub(in crate::store) async fn end_grant(
        &mut self,
        id: GrantId,
        by: AttemptId,
        fence: Fence,
        reason: EndReason,
        code: Option<&str>,
    ) -> Result<bool, StoreError> {
        let statement = match fence {
            Fence::Attempt(_) => {
                "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, attempt_owner = NULL, \
                 lease_until = NULL, last_attempt = $5 WHERE id = $1 AND attempt = $4 AND ended_reason IS NULL"
            }
            Fence::Generation(_) => {
                "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, attempt_owner = NULL, \
                 lease_until = NULL, last_attempt = $5 WHERE id = $1 AND generation = $4 AND ended_reason IS NULL"
            }
        };
        let query = self.query(statement).bind(&id.0[..]).bind(reason.as_str()).bind(code);
        let query = match fence {
            Fence::Attempt(attempt) => query.bind(attempt.0.to_vec()),
            Fence::Generation(generation) => query.bind(generation),
        };
        if query.bind(by.0.to_vec()).execute().await? > 0 {
            return Ok(true);
        }
        // An earlier call may have been committed though its response was lost.
        const OURS: &str = "SELECT 1 AS one FROM grants WHERE id = $1 AND last_attempt = $2 AND ended_reason = $3";
        let ours = self.query(OURS).bind(&id.0[..]).bind(&by.0[..]).bind(reason.as_str()).fetch_optional().await?;
        Ok(ours.is_some())
    }

    pub(in crate::store) async fn save_identity(
        &mut self,
        id: GrantId,
        generation: i64,
        identity: &str,
    ) -> Result<(), StoreError> {
        // The pause goes as well, if it was made because the renewal could not be verified.
        self.query(
            "UPDATE grants SET identity = $3, \
             retry_at = CASE WHEN unverified_since IS NULL THEN retry_at END, unverified_since = NULL \
             WHERE id = $1 AND generation = $2",
        )
        .bind(&id.0[..])
        .bind(generation)
        .bind(identity)
        .execute()
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn mark_unverified(
        &mut self,
        id: GrantId,
        generation: i64,
        unverified: Unverified,
    ) -> Result<(), StoreError> {
        self.query(
            "UPDATE grants SET unverified_since = $3, retry_at = $4 \
             WHERE id = $1 AND generation = $2 AND unverified_since IS NULL",
        )
        .bind(&id.0[..])
        .bind(generation)
        .bind(unverified.since.0)
        .bind(unverified.retry_at.0)
        .execute()
        .await?;
        Ok(())
    }
}
