//! Removes what has expired, and counts what is left.

use crate::{
    history::{Event, Kind},
    store::{Counts, Expired, StoreError, connection::Connection, rows, sql::Template},
};

impl Connection<'_> {
    pub(in crate::store) async fn sweep(&mut self, expired: &Expired, batch: i64, replica: &str) -> Result<u64, StoreError> {
        const OLD_REPLICAS: &Template = &Template::new("DELETE FROM replicas WHERE seen_at < {now} - 86400000");
        let mut transaction = self.begin().await?;
        let sessions = transaction
            .connection()
            .query(
                "DELETE FROM sessions WHERE hash IN \
                 (SELECT hash FROM sessions WHERE created_at <= $1 OR last_seen <= $2 LIMIT $3) \
                 RETURNING hash, grant_id, created_at",
            )
            .bind(expired.created_before.0)
            .bind(expired.seen_before.0)
            .bind(batch)
            .fetch_all()
            .await?;
        for session in &sessions {
            let grant = rows::grant_from(session.get("grant_id")?)?;
            let row = transaction
                .connection()
                .query("SELECT identity FROM grants WHERE id = $1")
                .bind(&grant.0[..])
                .fetch_one()
                .await?;
            // A session of a grant that cannot be read goes without an event.
            let Ok(identity) = rows::identity_from(row.get("identity")?) else { continue };
            let too_old = session.get::<i64>("created_at")? <= expired.created_before.0;
            let event = Event::of(Kind::Limit, grant, &identity, expired.now)
                .of_session(rows::session_hash_from(session.get("hash")?)?)
                .because(if too_old { "absolute" } else { "idle" });
            transaction.connection().record_event(&event, replica).await?;
        }
        transaction.commit().await?;
        let mut transaction = self.begin().await?;
        let grants = transaction.connection().delete_unused_grants(None, None, batch).await?;
        transaction.commit().await?;
        let attempts = self
            .query(
                "DELETE FROM returned_attempts WHERE hash IN \
                 (SELECT hash FROM returned_attempts WHERE expires_at <= $1 LIMIT $2)",
            )
            .bind(expired.now.0)
            .bind(batch)
            .execute()
            .await?;
        let revocations = self.delete_expired_revocations().await?;
        let parked = self.query("DELETE FROM parked_addresses WHERE expires_at <= $1").bind(expired.now.0).execute().await?;
        let replicas = self.query(OLD_REPLICAS).execute().await?;
        let announcements = self.delete_old_announcements().await?;
        let events = self
            .query("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at <= $1 ORDER BY at LIMIT $2)")
            .bind(expired.events_before.0)
            .bind(batch)
            .execute()
            .await?;
        Ok(u64::try_from(sessions.len())
            .unwrap_or(u64::MAX)
            .saturating_add(grants + attempts + parked + revocations + replicas + announcements + events))
    }

    pub(in crate::store) async fn counts(&mut self) -> Result<Counts, StoreError> {
        let row = self
            .query(
                "SELECT COUNT(*) AS sessions, COUNT(grants.refresh_token) AS with_refresh_token \
                 FROM sessions JOIN grants ON grants.id = sessions.grant_id",
            )
            .fetch_one()
            .await?;
        Ok(Counts { sessions: row.get("sessions")?, with_refresh_token: row.get("with_refresh_token")? })
    }
}
