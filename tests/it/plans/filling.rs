//! Fifty thousand users, as they are after a month: each with a session, a grant and a history.

use sqlx::PgConnection;

use super::run;

/// When the first of them logged in, in milliseconds since the epoch; another one does every fifty seconds.
pub(super) const START: i64 = 1_700_000_000_000;
pub(super) const EACH: i64 = 50_000;
pub(super) const USERS: i64 = 50_000;
pub(super) const NOW: i64 = START + USERS * EACH;

const GRANTS: &str = "INSERT INTO grants (id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, \
    refresh_token, id_token, expires_at, lifetime, created_at, renewed_at, rotation, refresh_until, refresh_life, provider_session) \
    SELECT substring(sha256(convert_to('grant ' || n, 'UTF8')) FOR 16), 'https://idp', 'c', 'user-' || n / 2, \
    format('{\"subject\":\"user-%s\",\"username\":\"name-%s\",\"email\":\"user-%s@example.com\",\"groups\":[\"staff\"]}', n / 2, n, n), \
    'openid', 'f', decode(repeat('00', 400), 'hex'), decode(repeat('00', 100), 'hex'), decode(repeat('00', 300), 'hex'), \
    {start} + n * 50000 + 3600000, 3600000, {start} + n * 50000, {start} + n * 50000, 'rotating', \
    {start} + n * 50000 + 1800000, 1800000, 'sid-' || n FROM generate_series(1::BIGINT, {users}) AS n";
const SESSIONS: &str = "INSERT INTO sessions (hash, grant_id, created_at, last_seen, provider_session, follows) \
    SELECT sha256(convert_to('session ' || n, 'UTF8')), substring(sha256(convert_to('grant ' || n, 'UTF8')) FOR 16), \
    {start} + n * 50000, {start} + n * 50000 + (n * 7919) % 3600000, 'sid-' || n, \
    CASE WHEN n % 5 = 0 THEN sha256(convert_to('before ' || n, 'UTF8')) END FROM generate_series(1::BIGINT, {users}) AS n";
const EVENTS: &str = "INSERT INTO events (at, kind, grant_id, session, subject, who, outcome, reason, replica) \
    SELECT {start} + n * 50000, 'login', substring(sha256(convert_to('grant ' || n, 'UTF8')) FOR 16), \
    substring(encode(sha256(convert_to('session ' || n, 'UTF8')), 'hex') FOR 12), 'user-' || n / 2, \
    'user-' || n || '@example.com', 'ok', '', 'r' FROM generate_series(1::BIGINT, {users}) AS n";
const REST: &str = "INSERT INTO returned_attempts (hash, expires_at) \
    SELECT sha256(convert_to('attempt ' || n, 'UTF8')), {start} + n * 50000 FROM generate_series(1::BIGINT, {users}) AS n; \
    INSERT INTO left_grants (grant_id, due_at) \
    SELECT substring(sha256(convert_to('grant ' || n, 'UTF8')) FOR 16), 4000000000000 FROM generate_series(1::BIGINT, {users}) AS n; \
    UPDATE keep_alive SET due_at = 4000000000000 WHERE due_at < {now} - 1000000; \
    VACUUM ANALYZE";

pub(super) async fn fill(connection: &mut PgConnection) {
    // Each on its own, because VACUUM runs in no transaction.
    for sql in [GRANTS, SESSIONS, EVENTS].into_iter().chain(REST.split(';')) {
        let numbers = [("{start}", START), ("{users}", USERS), ("{now}", NOW)];
        let sql = numbers.iter().fold(sql.to_owned(), |sql, (name, number)| sql.replace(name, &number.to_string()));
        run(connection, &sql).await;
    }
}
