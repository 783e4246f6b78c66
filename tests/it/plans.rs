//! The plans that Postgres makes of the store's statements on tables that grow: none reads a whole table.
//!
//! A store does all that it can do, on a database with fifty thousand logins, once with plans that know the arguments and once with
//! plans that do not; the server logs each plan with what it read. Which statements there are is read from the sources: one that the
//! test leaves out is a failure too.

mod filling;
mod logged;
mod statements;
mod workload;

use std::collections::BTreeSet;

use evergate::seal::KeyRing;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::postgres::Cluster;
use logged::Logged;

/// The tables that grow with users, logins or renewals.
const GROWING: [&str; 6] = ["grants", "sessions", "events", "left_grants", "keep_alive", "returned_attempts"];
/// As many rows as one statement may read of a table of fifty thousand: the sample that counts has 4,096.
const MOST: f64 = 5000.0;
/// As many grants: at a million, each is on a page of its own.
const MOST_GRANTS: f64 = 1500.0;

#[tokio::test]
async fn every_statement_on_a_table_that_grows_has_an_index_whether_its_plan_knows_the_arguments_or_not() {
    let server = Cluster::start_own().await;
    let (url, _) = server.fresh_database().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let key = KeyRing::generate();
    filling::fill(&url, &key, &mut admin).await;
    let mut seen = 0;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        logged::log_plans(&mut admin, mode).await;
        workload::everything(&url, &key).await;
        let logged = logged::read(&mut admin).await.split_off(seen);
        let missing = statements::missing(&logged);
        assert!(missing.is_empty(), "not run by the workload:\n{}", missing.join("\n"));
        seen += logged.len();
        let problems: BTreeSet<_> = logged.iter().flat_map(Logged::problems).collect();
        assert!(problems.is_empty(), "{mode}:\n{}", problems.into_iter().collect::<Vec<_>>().join("\n"));
    }
}

/// Runs SQL of our own, several statements at a time.
async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
}
