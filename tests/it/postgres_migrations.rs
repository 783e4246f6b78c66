//! How Postgres' schema is brought up to date beside others who use it, and in which databases it is not.

use std::time::Duration;

use evergate::{
    seal::KeyRing,
    store::{Settings, Store},
    telemetry::{logs::causes, metrics::Metrics},
};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use crate::harness::{
    Kind, Stopwatch, World,
    eventually::eventually,
    logs,
    postgres::{self, Cluster, held, read, waiting},
};

fn open(url: &str) -> Store {
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    Store::open(&Settings::Postgres(postgres::settings(url, 2)), keys, Metrics::default()).unwrap()
}

const NEWEST: &str = "SELECT MAX(version) FROM _sqlx_migrations";

#[tokio::test]
async fn a_database_that_lacks_letters_of_names_is_refused_at_the_start_and_by_check() {
    let cluster = Cluster::start_own().await;
    let mut world = World::build().on(Kind::Postgres).start().await;
    for encoding in ["LATIN1", "WIN1252"] {
        let url = cluster.empty_database_with(&format!("TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'")).await;
        let told = causes(&open(&url).migrate().await.unwrap_err());
        assert!(told.contains(&format!("encoding is {encoding}")) && told.contains("docs/postgres.md"), "{told}");
        world.change(&[("pg_connection_url", &url)]);
        let (code, told) = world.command(&["check"]).await;
        assert!(code == 2 && told.contains(&format!("the database's encoding is {encoding}")), "{told}");
    }
}

#[tokio::test]
async fn a_database_that_keeps_bytes_as_they_are_holds_every_name() {
    let cluster = Cluster::start_own().await;
    let url = cluster.empty_database_with("TEMPLATE template0 LOCALE 'C' ENCODING 'SQL_ASCII'").await;
    open(&url).migrate().await.unwrap();
    let mut world = World::build().on(Kind::Postgres).start().await;
    world.restart_with(&[("pg_connection_url", &url)]).await;
    world.idp.log_in_as(
        json!({"sub": "sub-lukasz", "preferred_username": "Łukasz", "email": "łukasz@example.com", "email_verified": true}),
    );
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    let stored: String = read(&url, "SELECT identity FROM grants").await;
    assert!(stored.contains("Łukasz") && stored.contains("łukasz@example.com"), "{stored}");
}

#[tokio::test]
async fn what_is_finished_of_a_migration_stays_where_a_reader_keeps_a_later_one_waiting_and_writes_wait_for_neither() {
    let cluster = Cluster::start_own().await;
    let url = cluster.empty_database().await;
    postgres::migrate_before(&url, 13).await;
    // As pg_dump holds what it reads, which an index may be built beside, and no column added.
    let reader = held(&url, "SET application_name = 'pg_dump'; BEGIN; LOCK TABLE events, grants IN ACCESS SHARE MODE").await;
    let mut writer = held(&url, "SET lock_timeout = '100ms'").await;
    let store = open(&url);
    let since = Stopwatch::start();
    let migrating = {
        let store = store.clone();
        tokio::spawn(async move { store.migrate().await })
    };
    eventually("it goes as far as it can", async || read::<i64>(&url, NEWEST).await == 17).await;
    // Whoever waits for a table has all later ones wait behind it: the migration waits for nothing that it has asked for, and has built
    // nothing that writes wait for. Its last try, which does wait, is the tenth, and the pauses before that take longer than this.
    let write = "INSERT INTO events (at, kind, grant_id, subject, who, outcome, reason, replica) \
                 VALUES (1, 'login', 'x', 'ann', 'ann', 'ok', 'ok', 'one')";
    for round in 0..50 {
        if round > 0 && since.elapsed() > Duration::from_secs(10) {
            break;
        }
        writer.execute(write).await.unwrap();
        assert_eq!(waiting(&url, "%").await, 0);
    }
    let told = causes(&migrating.await.unwrap().unwrap_err());
    assert!(
        told.contains("migration 18 waits for locks of others, which are process ") && told.contains("(pg_dump, role postgres)"),
        "{told}"
    );
    assert_eq!(read::<i64>(&url, NEWEST).await, 17);
    reader.close().await.unwrap();
    store.migrate().await.unwrap();
    assert!(read::<i64>(&url, NEWEST).await > 17);
}

#[tokio::test]
async fn whoever_migrates_is_waited_for_and_what_it_has_applied_is_not_applied_again() {
    let cluster = Cluster::start_own().await;
    let url = cluster.empty_database().await;
    postgres::migrate_before(&url, 18).await;
    let other = held(&url, "BEGIN; LOCK TABLE _sqlx_migrations IN EXCLUSIVE MODE").await;
    let migrating: Vec<_> = (0..2)
        .map(|_| {
            let store = open(&url);
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    let waits = "another process brings the database up to date, which this one waits for";
    eventually("both say that they wait", async || logs::lines_with(&[waits]).len() == 2).await;
    eventually("both wait on", async || waiting(&url, "%LOCK TABLE _sqlx_migrations%").await == 2).await;
    other.close().await.unwrap();
    for replica in migrating {
        replica.await.unwrap().unwrap();
    }
    assert_eq!(read::<i64>(&url, "SELECT COUNT(*) FROM _sqlx_migrations").await, read::<i64>(&url, NEWEST).await);
}
