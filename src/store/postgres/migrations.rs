//! Brings the schema up to date, each migration in a transaction of its own, which holds for poolers as well as for servers. What is
//! finished stays: a process that dies, or gives up, leaves a schema that the releases before work with, and the next one goes on from
//! there. A lock is held no longer than the migration that takes it.
//!
//! What is recorded is what sqlx's migrator records, so that a replica of an earlier release finds its own migrations applied. Its
//! migrator itself takes a lock of the session and names its statements, neither of which a pooler keeps.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use sqlx::{
    Connection as _, PgConnection, Row,
    migrate::{MigrateError, Migration, MigrationType},
};

use super::holders;
use crate::{backoff::back_off, store::StoreError};

/// How often a migration is tried if other sessions hold what it needs, and the pauses in between. A statement that waits for
/// a table has all later ones wait behind it, so it does not wait long.
const TRIES: u32 = 10;
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));

macro_rules! migrations {
    ($($version:literal $description:literal $file:literal)*) => {
        [$(Migration::new(
            $version,
            Cow::Borrowed($description),
            MigrationType::Simple,
            sqlx::SqlSafeStr::into_sql_str(include_str!(concat!("../../../migrations/postgres/", $file))),
            false,
        )),*]
    };
}

/// All migrations, in their order.
fn all() -> impl IntoIterator<Item = Migration> {
    migrations! {
        1 "grants and sessions" "0001_grants_and_sessions.sql"
        2 "history and shared grants" "0002_history_and_shared_grants.sql"
        3 "replicas and knowledge" "0003_replicas_and_knowledge.sql"
        4 "logins, revocations and keys" "0004_logins_revocations_and_keys.sql"
        5 "announcements" "0005_announcements.sql"
        6 "costs that do not grow" "0006_costs_that_do_not_grow.sql"
        7 "heartbeats are counted" "0007_heartbeats_are_counted.sql"
        8 "sessions have a site" "0008_sessions_have_a_site.sql"
        9 "tokens are stored apart" "0009_tokens_are_stored_apart.sql"
        10 "personal access tokens" "0010_personal_access_tokens.sql"
        11 "sessions share a login" "0011_sessions_share_a_login.sql"
        12 "sessions tell what opened them" "0012_sessions_tell_what_opened_them.sql"
        13 "users are ended" "0013_users_are_ended.sql"
        14 "posts are kept" "0014_posts_are_kept.sql"
        15 "administrators search" "0015_administrators_search.sql"
        16 "SCIM users" "0016_scim_users.sql"
        17 "provider hours" "0017_provider_hours.sql"
        18 "history is searched" "0018_history_is_searched.sql"
        19 "administrators are named" "0019_administrators_are_named.sql"
        20 "clients follow one another" "0020_clients_follow_one_another.sql"
        21 "tokens by age" "0021_tokens_by_age.sql"
        22 "codes are dated" "0022_codes_are_dated.sql"
        23 "deleted users come back" "0023_deleted_users_come_back.sql"
    }
}

/// How many there are.
pub(super) fn count() -> usize {
    all().into_iter().count()
}

/// The statements of all migrations.
#[cfg(test)]
pub(super) fn statements() -> impl Iterator<Item = String> {
    all().into_iter().map(|migration| migration.sql.as_str().to_owned())
}

/// Applies what has not been applied, for as long as it takes.
///
/// # Errors
/// A migration failed, or one that was applied is not ours. Those before it have been applied, and nothing of it.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (mut tried, mut has_told) = (1, false);
    loop {
        let when = if tried < TRIES { Begin::OnceOthersAreGone } else { Begin::Now };
        let given_up = match apply_next(connection, when).await {
            Ok(Progress::Complete) => return Ok(()),
            Ok(Progress::Applied) => {
                (tried, has_told) = (1, false);
                continue;
            }
            // It may build indexes for minutes, and is no failure.
            Ok(Progress::TurnIsTaken) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::info!("another process brings the database up to date, which this one waits for");
                }
                continue;
            }
            Ok(Progress::Held(version, holders)) => {
                if !std::mem::replace(&mut has_told, true) {
                    tracing::warn!(
                        migration.version = version,
                        postgres.processes = holders,
                        "a migration waits for others' locks"
                    );
                }
                None
            }
            Err(Failure { migration, error }) if is_contended(&error) => Some((migration, error)),
            Err(failure) => return Err(failure.error.into()),
        };
        if tried >= TRIES
            && let Some((migration, error)) = given_up
        {
            let Some(migration) = migration else { return Err(error.into()) };
            let holders = holders::lasting(connection, migration.sql.as_str()).await.unwrap_or_default();
            return Err(if holders.is_empty() {
                error.into()
            } else {
                StoreError::Held { version: migration.version, holders, source: error }
            });
        }
        tokio::time::sleep(back_off(tried, PAUSE.0, PAUSE.1)).await;
        tried += 1;
    }
}

/// How far one step has come.
enum Progress {
    /// Nothing is left to apply.
    Complete,
    /// One migration more has been applied, by this process or another.
    Applied,
    /// Another process migrates.
    TurnIsTaken,
    /// The migration of this number was not begun, because these processes hold locks that it needs.
    Held(i64, String),
}

/// When a migration is begun while other processes hold locks that it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Not before they are gone: one that builds indexes, and then waits in vain, would have held writes up for nothing.
    OnceOthersAreGone,
    /// Now, because they may stay.
    Now,
}

/// Why a step failed.
struct Failure {
    /// The migration whose statements failed; `None`, if it failed before any of them.
    migration: Option<Migration>,
    error: MigrateError,
}

impl<E: Into<MigrateError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { migration: None, error: error.into() }
    }
}

/// What the schema has of the migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// How many have not been applied.
    pub(super) pending: usize,
    /// The tables of those that have not been applied and are there all the same: what a backup is restored over stays, unless it is
    /// emptied before. No migration can make them.
    pub(super) leftovers: Vec<String>,
}

/// Compares the schema with the migrations. A role that may not change it needs nothing but the right to read what is recorded.
pub(super) async fn state(connection: &mut PgConnection) -> Result<State, MigrateError> {
    let mut transaction = connection.begin().await?;
    // One snapshot, so that what another replica commits in between is in neither answer or in both.
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *transaction).await?;
    let pending = pending(&mut transaction).await?;
    let created: Vec<&str> = pending.iter().flat_map(|migration| created_tables(migration.sql.as_str())).collect();
    let existing = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY($1) ORDER BY 1";
    let leftovers = sqlx::query_scalar(existing).persistent(false).bind(created).fetch_all(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(State { pending: pending.len(), leftovers })
}

/// The names of the tables that a migration's statements create.
pub(super) fn created_tables(sql: &str) -> impl Iterator<Item = &str> {
    sql.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split(' ').next())
}

/// Applies the next migration.
async fn apply_next(connection: &mut PgConnection, begin: Begin) -> Result<Progress, Failure> {
    let mut transaction = connection.begin().await?;
    // How long a statement takes depends on the tables' sizes. One that the role's own limit cut off would begin anew without end.
    let turn = "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = 0; \
         CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, \
         execution_time BIGINT NOT NULL); \
         LOCK TABLE _sqlx_migrations IN EXCLUSIVE MODE";
    match sqlx::raw_sql(turn).execute(&mut *transaction).await {
        Err(error) if code_of(&error).as_deref() == Some(LOCK_NOT_AVAILABLE) => return Ok(Progress::TurnIsTaken),
        taken => taken?,
    };
    // Another replica may have applied them before the lock was ours.
    let Some(migration) = pending(&mut transaction).await?.into_iter().next() else { return Ok(Progress::Complete) };
    let (version, sql) = (migration.version, migration.sql.as_str());
    if begin == Begin::OnceOthersAreGone {
        let holders = holders::lasting(&mut transaction, sql).await?;
        if !holders.is_empty() {
            transaction.rollback().await?;
            return Ok(Progress::Held(version, holders));
        }
    }
    let failed = |error| Failure { migration: Some(migration.clone()), error: MigrateError::ExecuteMigration(error, version) };
    sqlx::raw_sql(migration.sql.clone()).execute(&mut *transaction).await.map_err(failed)?;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES ($1, $2, TRUE, $3, 0)",
    )
    .persistent(false)
    .bind(version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Progress::Applied)
}

/// The migrations that have not been applied. A newer replica may have applied more; what it added, this one does not miss.
async fn pending(transaction: &mut PgConnection) -> Result<Vec<Migration>, MigrateError> {
    let exists = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS exists";
    let exists: bool = sqlx::query(exists).persistent(false).fetch_one(&mut *transaction).await?.try_get("exists")?;
    let mut applied = HashMap::new();
    if exists {
        let recorded = sqlx::query("SELECT version, checksum, success FROM _sqlx_migrations").persistent(false);
        for row in recorded.fetch_all(&mut *transaction).await? {
            let version: i64 = row.try_get("version")?;
            if !row.try_get::<bool, _>("success")? {
                return Err(MigrateError::Dirty(version));
            }
            applied.insert(version, row.try_get::<Vec<u8>, _>("checksum")?);
        }
    }
    let mut pending = Vec::new();
    for migration in all() {
        match applied.get(&migration.version) {
            None => pending.push(migration),
            Some(checksum) if *checksum == *migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
        }
    }
    Ok(pending)
}

/// The SQLSTATE of a statement that has waited for a lock for long enough.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Whether others stood in the way: a lock, a deadlock, or a replica that created the same table at the same moment.
fn is_contended(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    let contended = [LOCK_NOT_AVAILABLE, "40P01", "40001", "23505", "42701", "42710", "42723", "42P07"];
    code_of(error).is_some_and(|code| contended.contains(&&*code))
}

fn code_of(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}
