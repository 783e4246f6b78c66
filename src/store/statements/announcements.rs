//! Statements on announcements.

use std::time::Duration;

use crate::{
    clock::millis,
    grant::GrantId,
    store::{StoreError, connection::Connection, sql::Template},
};

/// How long announcements are kept for replicas that poll.
const RETENTION: Duration = Duration::from_secs(300);

impl Connection<'_> {
    /// Notifies all replicas of changed grants, in one transaction. SQLite has one process, and nothing to notify.
    pub(in crate::store) async fn announce_grants(&mut self, grants: &[GrantId]) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        let payloads = grants.iter().map(|id| format!("grant {id}")).collect::<Vec<_>>().join(",");
        self.query("SELECT pg_notify('evergate_changes', payload) FROM unnest(string_to_array($1, ',')) AS payload")
            .bind(payloads)
            .execute()
            .await?;
        Ok(())
    }

    /// Deletes announcements that every replica that polls has found.
    pub(in crate::store) async fn delete_old_announcements(&mut self) -> Result<u64, StoreError> {
        const SQL: &Template = &Template::new("DELETE FROM changes WHERE at < (SELECT {now} - $1)");
        if !self.is_postgres() {
            return Ok(0);
        }
        Ok(self.query(SQL).bind(millis(RETENTION)).execute().await?)
    }
}
