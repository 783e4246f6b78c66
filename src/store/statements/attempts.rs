//! Statements on login attempts: the replay guard, and return addresses.

use crate::{
    clock::Timestamp,
    store::{StoreError, connection::Connection},
};

impl Connection<'_> {
    pub(in crate::store) async fn consume_once(&mut self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
        let inserted = self
            .query("INSERT INTO returned_attempts (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(&hash[..])
            .bind(expires_at.0)
            .execute()
            .await?;
        Ok(inserted > 0)
    }

    pub(in crate::store) async fn is_consumed(&mut self, hash: [u8; 32]) -> Result<bool, StoreError> {
        let found = self.query("SELECT 1 AS one FROM returned_attempts WHERE hash = $1").bind(&hash[..]).fetch_optional().await?;
        Ok(found.is_some())
    }

    pub(in crate::store) async fn forget_consumed(&mut self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.query("DELETE FROM returned_attempts WHERE hash = $1").bind(&hash[..]).execute().await?;
        Ok(())
    }

    /// Remembers a name until a time, which a later call may extend.
    pub(in crate::store) async fn remember_logout(&mut self, name: [u8; 32], until: Timestamp) -> Result<(), StoreError> {
        self.query(
            "INSERT INTO returned_attempts (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
             SET expires_at = CASE WHEN returned_attempts.expires_at > excluded.expires_at \
             THEN returned_attempts.expires_at ELSE excluded.expires_at END",
        )
        .bind(&name[..])
        .bind(until.0)
        .execute()
        .await?;
        Ok(())
    }

    /// Until when any of these names is remembered.
    pub(in crate::store) async fn logout_remembered_until(
        &mut self,
        names: &[[u8; 32]],
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut last = None;
        // Most logins have no more names than one statement takes.
        for names in names.chunks(8) {
            let mut query = self
                .query("SELECT MAX(expires_at) AS until FROM returned_attempts WHERE hash IN ($1, $2, $3, $4, $5, $6, $7, $8)");
            for name in names.iter().chain(names.iter().cycle()).take(8) {
                query = query.bind(&name[..]);
            }
            last = last.max(query.fetch_one().await?.get::<Option<i64>>("until")?.map(Timestamp));
        }
        Ok(last)
    }

    pub(in crate::store) async fn save_return_to(
        &mut self,
        name: [u8; 32],
        sealed: &[u8],
        expires_at: Timestamp,
        limit: i64,
    ) -> Result<bool, StoreError> {
        let inserted = self
            .query(
                "INSERT INTO parked_addresses (name, sealed, expires_at) SELECT $1, $2, $3 \
                 WHERE (SELECT COUNT(*) FROM parked_addresses) < $4 \
                 ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
            )
            .bind(&name[..])
            .bind(sealed)
            .bind(expires_at.0)
            .bind(limit)
            .execute()
            .await?;
        Ok(inserted > 0)
    }

    pub(in crate::store) async fn return_to(&mut self, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.query("SELECT sealed FROM parked_addresses WHERE name = $1").bind(&name[..]).fetch_optional().await?;
        Ok(row.map(|row| row.get("sealed")).transpose()?)
    }
}
