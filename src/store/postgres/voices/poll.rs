//! Polls the table of announced changes.
//!
//! Rows become visible when their transactions commit, which is not the order of their numbers. So each poll asks for what is newer
//! than the newest row that was seen, and for the numbers below it that were not.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{Executor, Row};
use tokio::time::Instant;

use super::payload::parse;
use crate::store::{Change, postgres::connector::Line};

/// What has been seen of the table, and the connection over which more is asked for.
#[derive(Debug)]
pub(super) struct Poll {
    line: Line,
    newest: i64,
    /// Numbers below the newest that have not been seen, since when. Their transactions are under way, or were rolled back.
    missing: BTreeMap<i64, Instant>,
}

/// A transaction that takes longer than this is not waited for.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(10 * 60);
/// The maximum number of missing numbers that are asked for.
const MAX_MISSING: usize = 5_000;
/// The maximum number of rows of one statement.
const PAGE: usize = 5_000;

impl Poll {
    /// Begins with what is in the table now, which is not announced.
    ///
    /// # Errors
    /// The database fails, or is no primary, on which nothing new appears.
    pub(super) async fn begin(mut line: Line) -> Result<Self, sqlx::Error> {
        if !line.is_writable {
            return Err(sqlx::Error::Configuration("no server that takes writes".into()));
        }
        let sql = format!(
            "SELECT id FROM changes \
             WHERE at > (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT - {} ORDER BY id DESC LIMIT {PAGE}",
            LONGEST_TRANSACTION.as_millis()
        );
        let rows = line.connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        let mut poll = Self { line, newest: 0, missing: BTreeMap::new() };
        for row in rows.iter().rev() {
            let id = row.try_get("id")?;
            // The first is where it begins.
            if poll.newest == 0 {
                poll.newest = id;
            }
            poll.see(id);
        }
        if rows.is_empty() {
            let row = poll.line.connection.fetch_one(sqlx::raw_sql("SELECT COALESCE(MAX(id), 0) AS newest FROM changes")).await?;
            poll.newest = row.try_get("newest")?;
        }
        Ok(poll)
    }

    /// Announces what has come into the table since the last time.
    pub(super) async fn run(&mut self, announce: impl Fn(Change)) -> Result<(), sqlx::Error> {
        loop {
            let missing = self.missing.keys().map(ToString::to_string).collect::<Vec<_>>().join(",");
            // The first row is the newest number of all.
            let sql = format!(
                "SELECT 0::BIGINT AS id, COALESCE(MAX(id), {newest})::TEXT AS payload FROM changes UNION ALL (SELECT id, payload FROM \
                 changes WHERE id > {newest} OR id = ANY('{{{missing}}}') ORDER BY id LIMIT {PAGE})",
                newest = self.newest
            );
            let rows = self.line.connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
            let Some((first, rows)) = rows.split_first() else { return Ok(()) };
            // Behind a pooler the connection outlives a failover to a server that lacks what was committed last.
            if first.try_get::<&str, _>("payload")?.parse().is_ok_and(|newest: i64| newest < self.newest) {
                return Err(sqlx::Error::Configuration("the database has gone back in time".into()));
            }
            for row in rows {
                self.see(row.try_get("id")?);
                announce_all(row.try_get("payload")?, &announce);
            }
            self.missing.retain(|_, since| since.elapsed() < LONGEST_TRANSACTION);
            if self.missing.len() > MAX_MISSING {
                self.missing.clear();
                announce(Change::Everything);
            }
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "how long a transaction takes has nothing to do with tokens' times")]
    fn see(&mut self, id: i64) {
        self.missing.remove(&id);
        // Of a leap in the numbers, as after a crash of the server, those that are nearest may still come.
        let first = self.newest.saturating_add(1).max(id.saturating_sub(1_000));
        self.missing.extend((first..id).map(|between| (between, Instant::now())));
        self.newest = self.newest.max(id);
    }
}

/// Announces what a row tells of: what a notification would, or several grants.
fn announce_all(payload: &str, announce: impl Fn(Change)) {
    match payload.strip_prefix("grants ") {
        Some(ids) => ids.split(',').for_each(|id| announce(parse(&format!("grant {id}")))),
        None => announce(parse(payload)),
    }
}
