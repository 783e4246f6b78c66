//! Statements on announcements. SQLite has one process, and nothing to announce.

use std::time::Duration;

use crate::{
    clock::millis,
    grant::GrantId,
    store::{StoreError, connection::Connection, sql::Template},
};

/// How long announcements are kept for replicas that poll.
const RETENTION: Duration = Duration::from_secs(15 * 60);

impl Connection<'_> {
    /// Announces changed grants to all replicas, in one transaction.
    pub(in crate::store) async fn announce_grants(&mut self, grants: &[GrantId]) -> Result<(), StoreError> {
        if self.is_postgres() {
            let ids = grants.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            self.query("SELECT 1 AS one FROM evergate_announce_grants($1)").bind(ids).execute().await?;
        }
        Ok(())
    }

    /// Deletes announcements that every replica that polls has found, some of them at once. Returns how many.
    pub(in crate::store) async fn forget_announcements(&mut self) -> Result<i64, StoreError> {
        const SQL: &Template = &Template::new("SELECT evergate_forget_announcements({now} - $1) AS deleted");
        if !self.is_postgres() {
            return Ok(0);
        }
        Ok(self.query(SQL).bind(millis(RETENTION)).fetch_one().await?.get("deleted")?)
    }
}
