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
    seen: Seen,
}

/// The numbers that have been seen.
#[derive(Debug, Default)]
struct Seen {
    newest: i64,
    /// Numbers below the newest that have not been seen, since when. Their transactions are under way, or were rolled back.
    missing: BTreeMap<i64, Instant>,
    /// What was left out of a leap in the numbers, as of one transaction with very many changes, and how much of it has been seen.
    leapt: Option<Leap>,
}

/// Numbers below the newest that are too many to be asked for one by one.
#[derive(Debug)]
struct Leap {
    first: i64,
    last: i64,
    since: Instant,
    seen: i64,
}

/// A transaction that takes longer than this is not waited for.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(10 * 60);
/// The maximum number of missing numbers that are asked for.
const MAX_MISSING: usize = 5_000;
/// Of a leap in the numbers, so many are asked for one by one.
const NEAREST: i64 = 1_000;
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
        let mut poll = Self { line, seen: Seen::default() };
        for row in rows.iter().rev() {
            let id = row.try_get("id")?;
            // The first is where it begins.
            if poll.seen.newest == 0 {
                poll.seen.newest = id;
            }
            poll.see(id);
        }
        if rows.is_empty() {
            let row = poll.line.connection.fetch_one(sqlx::raw_sql("SELECT COALESCE(MAX(id), 0) AS newest FROM changes")).await?;
            poll.seen.newest = row.try_get("newest")?;
        }
        Ok(poll)
    }

    /// Announces what has come into the table since the last time.
    pub(super) async fn run(&mut self, announce: impl Fn(Change)) -> Result<(), sqlx::Error> {
        loop {
            let missing = self.seen.missing.keys().map(ToString::to_string).collect::<Vec<_>>().join(",");
            // The first row is the newest number of all.
            let sql = format!(
                "SELECT 0::BIGINT AS id, COALESCE(MAX(id), {newest})::TEXT AS payload FROM changes UNION ALL (SELECT id, payload FROM \
                 changes WHERE id > {newest} OR id = ANY('{{{missing}}}') ORDER BY id LIMIT {PAGE})",
                newest = self.seen.newest
            );
            let rows = self.line.connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
            let Some((first, rows)) = rows.split_first() else { return Ok(()) };
            // Behind a pooler the connection outlives a failover to a server that lacks what was committed last.
            if first.try_get::<&str, _>("payload")?.parse().is_ok_and(|newest: i64| newest < self.seen.newest) {
                return Err(sqlx::Error::Configuration("the database has gone back in time".into()));
            }
            for row in rows {
                self.see(row.try_get("id")?);
                announce_all(row.try_get("payload")?, &announce);
            }
            self.seen.missing.retain(|_, since| since.elapsed() < LONGEST_TRANSACTION);
            self.look_at_leap(&announce).await?;
            if self.seen.missing.len() > MAX_MISSING {
                self.seen.missing.clear();
                announce(Change::Everything);
            }
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "how long a transaction takes has nothing to do with tokens' times")]
    fn see(&mut self, id: i64) {
        self.seen.see(id, Instant::now());
    }

    /// Announces everything if more has appeared of what a leap left out.
    async fn look_at_leap(&mut self, announce: impl Fn(Change)) -> Result<(), sqlx::Error> {
        let Some(leap) = &mut self.seen.leapt else { return Ok(()) };
        let sql = format!("SELECT COUNT(*) AS seen FROM changes WHERE id BETWEEN {} AND {}", leap.first, leap.last);
        let row = self.line.connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        let seen = row.try_get("seen")?;
        let is_over = leap.since.elapsed() > LONGEST_TRANSACTION;
        // Rows that are deleted meanwhile may hide what has come: at the end it is announced in any case.
        if seen > leap.seen || is_over {
            announce(Change::Everything);
        }
        leap.seen = seen;
        if is_over {
            self.seen.leapt = None;
        }
        Ok(())
    }
}

impl Seen {
    fn see(&mut self, id: i64, now: Instant) {
        self.missing.remove(&id);
        // Of a leap in the numbers, as after a crash of the server or beside one large transaction, those that are nearest are asked for.
        let (after, nearest) = (self.newest.saturating_add(1), id.saturating_sub(NEAREST));
        self.missing.extend((after.max(nearest)..id).map(|between| (between, now)));
        if after < nearest {
            // From the first one on, so that it ends however often the numbers leap.
            let (first, since, seen) = self.leapt.as_ref().map_or((after, now, 0), |leap| (leap.first, leap.since, leap.seen));
            self.leapt = Some(Leap { first, last: nearest - 1, since, seen });
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "when a number was seen has nothing to do with tokens' times")]
    async fn numbers_that_were_leapt_over_are_asked_for_one_by_one_or_looked_at_together() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for id in [1, 2, 5] {
            seen.see(id, now);
        }
        assert_eq!(seen.missing.keys().copied().collect::<Vec<_>>(), [3, 4]);
        seen.see(3, now);
        assert!(seen.leapt.is_none() && seen.missing.len() == 1);
        seen.see(5000, now);
        assert_eq!((seen.newest, seen.missing.len()), (5000, 1 + 1000));
        assert_eq!(seen.leapt.as_ref().map(|leap| (leap.first, leap.last)), Some((6, 3999)), "none of which comes unheard");
        seen.see(9000, now);
        assert_eq!(seen.leapt.as_ref().map(|leap| (leap.first, leap.last)), Some((6, 7999)));
    }
}
