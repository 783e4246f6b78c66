//! Statements on the replicas that share the database, and on its clock.

use std::time::Duration;

use crate::{
    clock::{Timestamp, millis},
    store::{StoreError, connection::Connection, replica::Beat, sql::Template},
};

impl Connection<'_> {
    pub(in crate::store) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        const SQL: &Template = &Template::new("SELECT {now} AS now");
        let row = self.query(SQL).fetch_one().await?;
        Ok(Timestamp(row.get("now")?))
    }

    pub(in crate::store) async fn write_heartbeat(&mut self, replica: &str, keys: &str) -> Result<Beat, sqlx::Error> {
        const SQL: &Template = &Template::new(
            "INSERT INTO replicas (name, keys, seen_at, beats) VALUES ($1, $2, {now}, 1) \
             ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, keys = excluded.keys, \
             beats = COALESCE(replicas.beats, 0) + 1 RETURNING beats, seen_at",
        );
        // `fetch_all`, because SQLite commits after the last row.
        let rows = self.query(SQL).bind(replica).bind(keys).fetch_all().await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Beat { count: row.get("beats")?, at: Timestamp(row.get("seen_at")?) })
    }

    pub(in crate::store) async fn forget_replica(&mut self, replica: &str) -> Result<(), StoreError> {
        self.query("DELETE FROM replicas WHERE name = $1").bind(replica).execute().await?;
        Ok(())
    }

    /// The other replicas that seem to live, by the age of their heartbeats, each with how many it has written. One from the future was
    /// written before the clock was set back.
    pub(in crate::store) async fn living_replicas(
        &mut self,
        own: &str,
        dead_after: Duration,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        const SQL: &Template = &Template::new(
            "SELECT name, COALESCE(beats, 0) AS beats FROM replicas \
             WHERE name <> $1 AND seen_at > {now} - $2 AND seen_at < {now} + $2 ORDER BY name",
        );
        let rows = self.query(SQL).bind(own).bind(millis(dead_after)).fetch_all().await?;
        rows.iter().map(|row| Ok((row.get("name")?, row.get("beats")?))).collect()
    }

    /// The keys that the other live replicas publish.
    pub(in crate::store) async fn keys_of_others(
        &mut self,
        replica: &str,
        dead_after: Duration,
    ) -> Result<Vec<Option<String>>, StoreError> {
        const SQL: &Template = &Template::new("SELECT keys FROM replicas WHERE name <> $1 AND seen_at > {now} - $2");
        let rows = self.query(SQL).bind(replica).bind(millis(dead_after)).fetch_all().await?;
        rows.iter().map(|row| Ok(row.get("keys")?)).collect()
    }
}
