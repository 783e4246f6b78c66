//! Statements on the keys that stored tokens are encrypted with.

use crate::{
    grant::GrantId,
    store::{StoreError, connection::Connection, keys::SealedGrant, rows},
};

impl Connection<'_> {
    /// Reads the tokens of the next grants in the order of their ids.
    pub(in crate::store) async fn sealed_tokens(
        &mut self,
        after: Option<GrantId>,
        limit: i64,
    ) -> Result<Vec<SealedGrant>, StoreError> {
        let rows = self
            .query(
                "SELECT id, generation, access_token, refresh_token, id_token FROM grants \
                 WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
            )
            .bind(after.map(|id| id.0.to_vec()))
            .bind(limit)
            .fetch_all()
            .await?;
        rows.iter()
            .map(|row| {
                Ok(SealedGrant {
                    id: rows::grant_from(row.get("id")?)?,
                    generation: row.get("generation")?,
                    access: row.get("access_token")?,
                    refresh: row.get("refresh_token")?,
                    id_token: row.get("id_token")?,
                })
            })
            .collect()
    }

    /// `false`: the grant was renewed or ended since it was read.
    pub(in crate::store) async fn save_resealed(
        &mut self,
        read: &SealedGrant,
        resealed: &SealedGrant,
    ) -> Result<bool, StoreError> {
        let updated = self
            .query(
                "UPDATE grants SET access_token = $4, \
                 refresh_token = CASE WHEN refresh_token IS NULL THEN NULL ELSE $5 END, \
                 id_token = $6 WHERE id = $1 AND generation = $2 AND access_token IN ($3, $4)",
            )
            .bind(&read.id.0[..])
            .bind(read.generation)
            .bind(&read.access)
            .bind(&resealed.access)
            .bind(resealed.refresh.as_ref())
            .bind(resealed.id_token.as_ref())
            .execute()
            .await?;
        Ok(updated > 0)
    }

    /// Marks every refresh token as presented long ago, by an attempt whose lease has expired.
    pub(in crate::store) async fn mark_restored(&mut self) -> Result<u64, StoreError> {
        let marked = self
            .query(
                "UPDATE grants SET attempt = COALESCE(attempt, id), attempt_owner = NULL, lease_until = 0, \
                 presented = 1, presented_at = 0, retry_at = NULL WHERE refresh_token IS NOT NULL AND ended_reason IS NULL",
            )
            .execute()
            .await?;
        Ok(marked)
    }
}
