//! Statements on the keys that stored tokens are encrypted with.

use crate::{
    clock::millis,
    grant::GrantId,
    store::{
        StoreError,
        connection::Connection,
        replica::DEAD_AFTER,
        rows,
        sealing::{SealedGrant, SealedRevocation},
        sql::Template,
    },
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
                 WHERE id > $1 ORDER BY id LIMIT $2",
            )
            // Every id comes after the empty one.
            .bind(after.map(|id| id.0.to_vec()).unwrap_or_default())
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

    /// Reads the next refresh tokens that wait for their revocation, in the order of their rows' ids.
    pub(in crate::store) async fn sealed_revocations(
        &mut self,
        after: &[u8],
        limit: i64,
    ) -> Result<Vec<SealedRevocation>, StoreError> {
        let rows = self
            .query("SELECT id, grant_id, refresh_token FROM revocations WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all()
            .await?;
        rows.iter()
            .map(|row| {
                let grant = rows::grant_from(row.get("grant_id")?)?;
                Ok(SealedRevocation { id: row.get("id")?, grant, refresh: row.get("refresh_token")? })
            })
            .collect()
    }

    /// Nothing is changed if the token was revoked since it was read.
    pub(in crate::store) async fn save_resealed_revocation(&mut self, id: &[u8], sealed: &[u8]) -> Result<(), StoreError> {
        self.query("UPDATE revocations SET refresh_token = $2 WHERE id = $1").bind(id).bind(sealed).execute().await?;
        Ok(())
    }

    /// Marks the refresh tokens of the next grants in the order of their ids as presented long ago, by an attempt whose lease has
    /// expired, and their sessions as used just now; the attempt's id is the grant's, unless there was one. An attempt of a replica that
    /// lives is left alone. Returns how many were marked, and the last grant unless there are no more.
    pub(in crate::store) async fn mark_restored(&mut self, after: Option<GrantId>) -> Result<(u64, Option<GrantId>), StoreError> {
        // When they were used since the backup is not known; by its times the idle limit would end those that were used all the time. A token's
        // last use is told to its owner, and ends nothing.
        const SEEN: &Template = &Template::new(
            "UPDATE sessions SET last_seen = {now} WHERE grant_id > $1 AND grant_id <= $2 AND last_seen < {now} \
             AND token_expires_at IS NULL",
        );
        let after = after.map(|id| id.0.to_vec()).unwrap_or_default();
        let last = self
            .query("SELECT id FROM grants WHERE id > $1 ORDER BY id LIMIT 1 OFFSET 999")
            .bind(&after)
            .fetch_optional()
            .await?
            .map(|row| rows::grant_from(row.get("id")?))
            .transpose()?;
        // No id is longer than this.
        let to = last.map_or(vec![0xff; 17], |id| id.0.to_vec());
        self.query(SEEN).bind(&after).bind(&to).execute().await?;
        // The grant's id is that of `AttemptId::of_restored`. What a living replica presents now it saves itself, and its lease keeps the token from being presented twice.
        const SQL: &Template = &Template::new(
            "UPDATE grants SET attempt = COALESCE(attempt, id), attempt_owner = NULL, lease_until = 0, \
             presented = 1, presented_at = 0, retry_at = NULL WHERE id > $1 AND id <= $2 \
             AND refresh_token IS NOT NULL AND ended_reason IS NULL \
             AND NOT (attempt IS NOT NULL AND lease_until > {now} AND EXISTS (SELECT 1 FROM replicas \
             WHERE attempt_owner LIKE '%/' || name AND seen_at > {now} - $3 AND seen_at < {now} + $3))",
        );
        let marked = self.query(SQL).bind(&after).bind(&to).bind(millis(DEAD_AFTER)).execute().await?;
        Ok((marked, last))
    }
}
