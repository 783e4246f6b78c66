//! Who holds locks that a migration needs, such as a backup under way (`pg_dump`).

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};

/// Those whose locks are gone after this are statements of every day, which a migration waits for.
const LASTING: Duration = Duration::from_secs(1);

/// The transactions that hold a lock on a table of this schema that the statements name, and whose they are. Readers stand in the way of
/// what needs a table for itself alone. Statistics of other roles' processes may be denied, so that the age of a transaction is unknown.
const HOLDERS: &str = "SELECT DISTINCT held.virtualtransaction AS transaction, \
     'process ' || held.pid || ' (' || concat_ws(', ', NULLIF(activity.application_name, ''), 'role ' || activity.usename) || ')' AS who \
     FROM pg_locks AS held JOIN pg_class AS class ON class.oid = held.relation \
     JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace \
     JOIN pg_stat_activity AS activity ON activity.pid = held.pid \
     WHERE held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND held.granted \
     AND held.pid <> pg_backend_pid() AND activity.usename IS NOT NULL AND namespace.nspname = current_schema() \
     AND class.relkind = 'r' AND position(class.relname IN $1) > 0 \
     AND ($2 OR held.mode NOT IN ('AccessShareLock', 'RowShareLock')) ORDER BY who";

/// Names the processes that keep a migration with these statements waiting for longer than a moment; empty, if none does, or the database
/// does not tell.
pub(super) async fn lasting(connection: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
    let before = read(connection, sql).await?;
    if before.is_empty() {
        return Ok(String::new());
    }
    tokio::time::sleep(LASTING).await;
    let lasting = read(connection, sql).await?.into_iter().filter(|holder| before.contains(holder));
    Ok(lasting.map(|(_, who)| who).collect::<Vec<_>>().join(", "))
}

/// Each transaction, and whose it is. What fails in it fails nothing else.
async fn read(connection: &mut PgConnection, sql: &str) -> Result<Vec<(String, String)>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let found = sqlx::query(HOLDERS).persistent(false).bind(sql).bind(needs_tables_alone(sql)).fetch_all(&mut *transaction).await;
    transaction.rollback().await?;
    let holders = found.iter().flatten().map(|row| Ok((row.try_get("transaction")?, row.try_get("who")?)));
    holders.collect()
}

/// Whether a statement needs a table for itself alone (`ACCESS EXCLUSIVE`, Postgres documentation section 13.3.1).
fn needs_tables_alone(sql: &str) -> bool {
    ["ALTER TABLE", "DROP "].iter().any(|statement| sql.contains(statement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_adds_beside_a_table_waits_for_no_reader() {
        for (sql, alone) in [
            ("CREATE INDEX i ON grants (id)", false),
            ("CREATE TABLE t (id TEXT)", false),
            ("ALTER TABLE grants ADD COLUMN x TEXT", true),
            ("DROP INDEX i", true),
        ] {
            assert_eq!(needs_tables_alone(sql), alone, "{sql}");
        }
    }
}
