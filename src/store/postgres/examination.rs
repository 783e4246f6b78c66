//! Finds out what a database is like, and changes nothing.

use sqlx::{Connection as _, PgConnection, Row};

use super::{
    Postgres, durability, encoding,
    migrations::{self, State},
};
use crate::{
    clock::Timestamp,
    store::{StoreError, facts::DatabaseFacts},
};

/// The tables whose rows Evergate reads and writes.
const TABLES: [&str; 17] = [
    "grants",
    "sessions",
    "returned_attempts",
    "events",
    "replicas",
    "provider_knowledge",
    "parked_addresses",
    "revocations",
    "left_grants",
    "keep_alive",
    "ended_users",
    "kept_posts",
    "scim_users",
    "scim_names",
    "scim_names_of_deleted",
    "provider_hours",
    "clients",
];

/// Version, encoding, rights and clock, and the tables of this schema without the rights on rows that Evergate needs. Announcements are written
/// by functions with their owner's rights, and read where no notifications arrive.
const QUESTION: &str = "SELECT current_setting('server_version') AS version, current_setting('server_encoding') AS encoding, \
     (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT AS now, \
     COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE) AS may_create, \
     ARRAY(SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema() \
         AND (tablename = ANY($1) OR tablename = 'changes') \
         AND NOT (SELECT bool_and(has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), needed)) \
             FROM unnest(CASE tablename WHEN 'changes' THEN ARRAY['SELECT'] \
                 ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END) AS needed) \
         ORDER BY tablename) AS lacking";

impl Postgres {
    /// Reads what the database says of itself, over a connection of its own.
    pub(in crate::store) async fn examine(&self) -> Result<DatabaseFacts, StoreError> {
        let mut line = self.connector.connect().await.map_err(StoreError::Unconnected)?;
        let (is_writable, is_pooled) = (line.is_writable, !line.is_direct);
        let facts = read(&mut line.connection, is_writable, is_pooled).await?;
        let _best_effort = line.connection.close().await;
        Ok(facts)
    }
}

async fn read(connection: &mut PgConnection, is_writable: bool, is_pooled: bool) -> Result<DatabaseFacts, StoreError> {
    // In one transaction, which a pooler gives one server process.
    let mut transaction = connection.begin().await?;
    let row = sqlx::query(QUESTION).bind(TABLES.as_slice()).persistent(false).fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    let State { pending: pending_migrations, leftovers: leftover_tables } = migrations::state(connection).await?;
    // A database that does not know these settings says nothing of itself.
    let may_lose = durability::read(connection).await.ok().and_then(|durability| durability::warning(&durability));
    let encoding: String = row.try_get("encoding")?;
    let unfit_encoding = (!encoding::holds_every_name(&encoding)).then_some(encoding);
    Ok(DatabaseFacts {
        version: row.try_get("version")?,
        unfit_encoding,
        is_writable,
        is_pooled,
        pending_migrations,
        leftover_tables,
        may_create: row.try_get("may_create")?,
        tables_without_rights: row.try_get("lacking")?,
        now: Timestamp(row.try_get("now")?),
        may_lose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_on_every_table_are_looked_at() {
        let mut created: Vec<String> = migrations::statements()
            .flat_map(|sql| migrations::created_tables(&sql).map(str::to_owned).collect::<Vec<_>>())
            .filter(|table| table != "changes")
            .collect();
        let mut looked_at = TABLES.map(str::to_owned);
        created.sort();
        looked_at.sort();
        assert_eq!(created, looked_at);
    }
}
