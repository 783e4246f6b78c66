//! Fifty thousand logins, as they are after a month: each with a session, a grant and a history, by what fills the tables of the
//! benchmark of growth.

use std::process::Command;

use sqlx::PgConnection;

use super::run;

/// When the first of them logged in, in milliseconds since the epoch; another one does every fifty seconds.
pub(super) const START: i64 = 1_700_000_000_000;
pub(super) const EACH: i64 = 50_000;
pub(super) const USERS: i64 = 50_000;
pub(super) const NOW: i64 = START + USERS * EACH;

const REST: &str = "INSERT INTO returned_attempts (hash, expires_at) \
    SELECT sha256(convert_to('attempt ' || n, 'UTF8')), {start} + n * 50000 FROM generate_series(1::BIGINT, {users}) AS n; \
    INSERT INTO left_grants (grant_id, due_at) \
    SELECT substring(sha256(convert_to('grant ' || n, 'UTF8')) FOR 16), 4000000000000 FROM generate_series(1::BIGINT, {users}) AS n; \
    UPDATE keep_alive SET due_at = 4000000000000 WHERE due_at < {now} - 1000000; \
    VACUUM ANALYZE";

/// Fills a database whose tokens `key` encrypts.
pub(super) async fn fill(url: &str, key: &str, connection: &mut PgConnection) {
    let mut rows = Command::new("python3");
    rows.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scale/rows.py")).args([url, "--key", key]);
    rows.args(["--issuer", "https://idp", "--client", "c", "--fingerprint", "f", "--events", "1"]);
    for (option, number) in [("grants", USERS), ("now", NOW), ("span", USERS * EACH), ("refresh-life", 1_800_000)] {
        rows.arg(format!("--{option}={number}"));
    }
    assert!(tokio::task::spawn_blocking(move || rows.status()).await.unwrap().unwrap().success());
    // Each on its own, because VACUUM runs in no transaction.
    for sql in REST.split(';') {
        let numbers = [("{start}", START), ("{users}", USERS), ("{now}", NOW)];
        let sql = numbers.iter().fold(sql.to_owned(), |sql, (name, number)| sql.replace(name, &number.to_string()));
        run(connection, &sql).await;
    }
}
