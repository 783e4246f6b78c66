//! Whether Postgres may forget what it has committed: an intent that is lost is a refresh token that may be presented twice.

use sqlx::{Executor as _, PgConnection, Row};

/// What decides about it.
#[derive(Debug)]
pub(super) struct Durability {
    /// `synchronous_commit`.
    level: String,
    /// `synchronous_standby_names`.
    waited_for: String,
    /// How many standbys are connected.
    standbys: i64,
}

/// Logs what can be lost, if anything can. A database that does not know these settings says nothing of itself.
pub(super) async fn warn(connection: &mut PgConnection) {
    match read(connection).await {
        Ok(durability) => {
            if let Some(warning) = warning(&durability) {
                tracing::warn!(
                    postgres.synchronous_commit = durability.level,
                    postgres.synchronous_standby_names = durability.waited_for,
                    postgres.standbys = durability.standbys,
                    "{warning}"
                );
            }
        }
        Err(error) => tracing::debug!(%error, "Postgres does not say how it commits"),
    }
}

pub(super) async fn read(connection: &mut PgConnection) -> Result<Durability, sqlx::Error> {
    let statement = "SELECT current_setting('synchronous_commit') AS level, \
         COALESCE(current_setting('synchronous_standby_names', true), '') AS waited_for, \
         (SELECT COUNT(*) FROM pg_stat_replication) AS standbys";
    let row = connection.fetch_one(sqlx::raw_sql(statement)).await?;
    Ok(Durability { level: row.try_get("level")?, waited_for: row.try_get("waited_for")?, standbys: row.try_get("standbys")? })
}

/// What can be lost.
pub(super) fn warning(durability: &Durability) -> Option<&'static str> {
    let is_asynchronous = durability.waited_for.is_empty() || durability.level == "local";
    if durability.level == "off" {
        Some(
            "synchronous_commit is off in this Postgres: after a crash of it, a refresh token that was spent may be presented again, \
             and a provider that rotates strictly ends that grant",
        )
    } else if durability.standbys > 0 && is_asynchronous {
        Some(
            "replication is asynchronous in this Postgres: after a failover to a standby that lags, the last renewals, logins and logouts \
             are lost. Replicas that live put right what they renewed and ended themselves; synchronous_standby_names, with \
             synchronous_commit on, loses nothing",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_lost_is_said() {
        let said = |level: &str, waited_for: &str, standbys| {
            warning(&Durability { level: level.to_owned(), waited_for: waited_for.to_owned(), standbys })
                .map(|text| text.split(' ').next().unwrap())
        };
        for (level, waited_for, standbys, expected) in [
            ("on", "", 0, None),
            ("on", "", 1, Some("replication")),
            ("on", "ANY 1 (*)", 2, None),
            ("remote_apply", "one", 1, None),
            ("local", "one", 1, Some("replication")),
            ("off", "one", 1, Some("synchronous_commit")),
            ("off", "", 0, Some("synchronous_commit")),
        ] {
            assert_eq!(said(level, waited_for, standbys), expected, "{level} {waited_for:?} {standbys}");
        }
    }
}
