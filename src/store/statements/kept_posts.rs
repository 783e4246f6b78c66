//! Statements on forms that are kept until their users send them again.

use crate::{
    clock::Timestamp,
    store::{KeptPostRow, MostKept, StoreError, connection::Connection},
};

impl Connection<'_> {
    /// Saves a row unless there are as many as there may be. Of the same owner's the oldest make room; those that have expired `now` and
    /// were not swept yet take none.
    pub(in crate::store) async fn save_kept_post(
        &mut self,
        row: &KeptPostRow,
        most: MostKept,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let mut connection = transaction.connection();
        connection
            .query(
                "DELETE FROM kept_posts WHERE owner = $1 AND name <> $2 AND name NOT IN (SELECT name FROM kept_posts \
                 WHERE owner = $1 AND name <> $2 ORDER BY expires_at DESC, name LIMIT $3)",
            )
            .bind(&row.owner[..])
            .bind(&row.name[..])
            .bind(most.of_owner.saturating_sub(1))
            .execute()
            .await?;
        let size = i64::try_from(row.sealed.len()).unwrap_or(i64::MAX);
        // Replicas that save at the same moment may each find the last place free: that is one row more for each.
        let saved = connection
            .query(
                "INSERT INTO kept_posts (name, owner, sealed, expires_at) SELECT $1, $2, $3, $4 \
                 WHERE (SELECT COUNT(*) FROM kept_posts WHERE expires_at > $7) < $5 \
                 AND (SELECT COALESCE(SUM(length(sealed)), 0) FROM kept_posts WHERE expires_at > $7) <= $6 \
                 ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
            )
            .bind(&row.name[..])
            .bind(&row.owner[..])
            .bind(&row.sealed)
            .bind(row.expires_at.0)
            .bind(most.rows)
            .bind(most.bytes.saturating_sub(size))
            .bind(now.0)
            .execute()
            .await?;
        drop(connection);
        transaction.commit().await?;
        Ok(saved > 0)
    }

    pub(in crate::store) async fn kept_post(&mut self, name: [u8; 32]) -> Result<Option<KeptPostRow>, StoreError> {
        let row = self
            .query("SELECT owner, sealed, expires_at FROM kept_posts WHERE name = $1")
            .bind(&name[..])
            .fetch_optional()
            .await?;
        row.map(|row| {
            let owner: Vec<u8> = row.get("owner")?;
            let owner = owner.try_into().map_err(|_| StoreError::Malformed("owner"))?;
            Ok(KeptPostRow { name, owner, sealed: row.get("sealed")?, expires_at: Timestamp(row.get("expires_at")?) })
        })
        .transpose()
    }

    /// Deletes a row. `false`: it was not there.
    pub(in crate::store) async fn take_kept_post(&mut self, name: [u8; 32]) -> Result<bool, StoreError> {
        Ok(self.query("DELETE FROM kept_posts WHERE name = $1").bind(&name[..]).execute().await? > 0)
    }
}
