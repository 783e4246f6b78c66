//! Statements on refresh tokens that expire for want of use.

use crate::{
    clock::Timestamp,
    store::{IdleExpiry, StoreError, connection::Connection, rows, sql::BATCH, sql::Template},
};

impl Connection<'_> {
    /// Takes a batch of grants that are to be looked at, and returns those whose refresh token soon expires for want of use, though
    /// a session used them within one life of the token or has a personal access token, which may rest for long. Replicas that call this concurrently take different ones.
    pub(in crate::store) async fn due_before_idle_expiry(&mut self, now: Timestamp) -> Result<IdleExpiry, StoreError> {
        // Kept for a day after the token has expired, because the result of a renewal may be saved late.
        const DELETE: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT grant_id FROM keep_alive WHERE due_at <= $1 \
             ORDER BY due_at LIMIT {batch}{skip_locked}) \
             DELETE FROM keep_alive WHERE grant_id IN (SELECT grant_id FROM due) AND NOT EXISTS (SELECT 1 FROM grants \
             WHERE grants.id = keep_alive.grant_id AND refresh_token IS NOT NULL AND ended_reason IS NULL \
             AND refresh_life >= 60000 AND refresh_until > $1 - 86400000)",
        );
        // What is due is looked at again within the time that is left: its session may be used, and its renewal may fail.
        const TAKE: &Template = &Template::new(
            "WITH due AS MATERIALIZED (SELECT grant_id FROM keep_alive WHERE due_at <= $1 \
             ORDER BY due_at LIMIT {batch}{skip_locked}) \
             UPDATE keep_alive SET due_at = COALESCE((SELECT CASE WHEN refresh_until <= $1 THEN refresh_until + 86400000 \
             WHEN refresh_until - refresh_life / 4 > $1 THEN refresh_until - refresh_life / 4 \
             ELSE $1 + refresh_life / 16 END FROM grants WHERE grants.id = keep_alive.grant_id), $1 + 60000) \
             WHERE grant_id IN (SELECT grant_id FROM due) \
             RETURNING grant_id, (SELECT 1 FROM grants WHERE grants.id = keep_alive.grant_id AND refresh_until > $1 \
             AND refresh_until - refresh_life / 4 <= $1 AND refresh_token IS NOT NULL AND ended_reason IS NULL \
             AND COALESCE(retry_at, 0) <= $1 AND EXISTS (SELECT 1 FROM sessions WHERE sessions.grant_id = grants.id \
             AND (last_seen > $1 - refresh_life OR token IS NOT NULL))) AS due",
        );
        let mut transaction = self.begin().await?;
        let deleted = transaction.connection().query(DELETE).bind(now.0).execute().await?;
        let taken = transaction.connection().query(TAKE).bind(now.0).fetch_all().await?;
        transaction.commit().await?;
        let mut due = Vec::new();
        for row in &taken {
            if row.get::<Option<i32>>("due")?.is_some() {
                due.push(rows::grant_from(row.get("grant_id")?)?);
            }
        }
        let seen = u64::try_from(taken.len()).unwrap_or(u64::MAX).max(deleted);
        Ok(IdleExpiry { due, is_done: seen < BATCH })
    }
}
