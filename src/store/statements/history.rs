//! Statements on history, and what keeps the tables small.

/// Implements the history's part of the contract.
macro_rules! implement_history {
    ($Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal) => {
        impl $Backend {
            /// Writes that this replica lives.
            async fn write_heartbeat(connection: &mut $Connection, replica: &str, keys: &str) -> Result<(), sqlx::Error> {
                let beat = concat!(
                    "INSERT INTO replicas (name, keys, seen_at) VALUES ($1, $2, ", $now, ") \
                     ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at, keys = excluded.keys"
                );
                sqlx::query(beat).bind(replica).bind(keys).execute(&mut *connection).await?;
                Ok(())
            }

            pub(super) async fn forget_replica(connection: &mut $Connection, replica: &str) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM replicas WHERE name = $1").bind(replica).execute(&mut *connection).await?;
                Ok(())
            }

            pub(super) async fn now(connection: &mut $Connection) -> Result<Timestamp, StoreError> {
                let row: $Row = sqlx::query(concat!("SELECT ", $now, " AS now")).fetch_one(&mut *connection).await?;
                Ok(Timestamp(row.try_get("now")?))
            }

            pub(super) async fn record(connection: &mut $Connection, events: &[Event], replica: &str) -> Result<(), StoreError> {
                let mut transaction = connection.begin().await?;
                for event in events {
                    Self::record_one(&mut transaction, event, replica).await?;
                }
                transaction.commit().await.map_err(StoreError::Commit)?;
                Ok(())
            }

            async fn record_one(connection: &mut $Connection, event: &Event, replica: &str) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO events (at, kind, grant_id, session, subject, who, outcome, reason, code, duration, rotated, replica, detail) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                )
                .bind(event.at.0)
                .bind(event.kind.as_str())
                .bind(&event.grant.0[..])
                .bind(event.session.as_ref())
                .bind(&event.subject)
                .bind(&event.who)
                .bind(&event.outcome)
                .bind(&event.reason)
                .bind(event.code.as_ref())
                .bind(event.duration.map(millis))
                .bind(event.rotated)
                .bind(replica)
                .bind(event.detail.as_ref())
                .execute(connection)
                .await?;
                Ok(())
            }

            /// The newest events of a person, a session or a grant, the newest first, and which replica wrote each.
            pub(super) async fn events(
                connection: &mut $Connection,
                name: &str,
                grant: Option<GrantId>,
                most: i64,
            ) -> Result<Vec<(Event, String)>, StoreError> {
                let rows: Vec<$Row> = sqlx::query(
                    "SELECT at, kind, grant_id, session, subject, who, outcome, reason, code, duration, rotated, detail, replica FROM events \
                     WHERE who = $1 OR subject = $1 OR session = $1 OR grant_id = $2 ORDER BY at DESC, id DESC LIMIT $3",
                )
                .bind(name)
                .bind(grant.map(|grant| grant.0.to_vec()))
                .bind(most)
                .fetch_all(&mut *connection)
                .await?;
                // A newer replica may write kinds of events that this one does not know.
                let known = rows.iter().filter_map(|row| match row.try_get::<&str, _>("kind") {
                    Ok(text) => Kind::parse(text).map(|kind| Ok((kind, row))),
                    Err(error) => Some(Err(StoreError::from(error))),
                });
                known
                    .map(|known| {
                        let (kind, row) = known?;
                        let event = Event {
                            at: Timestamp(row.try_get("at")?),
                            kind,
                            grant: rows::grant_from(row.try_get("grant_id")?)?,
                            session: row.try_get("session")?,
                            subject: row.try_get("subject")?,
                            who: row.try_get("who")?,
                            outcome: row.try_get("outcome")?,
                            reason: row.try_get("reason")?,
                            code: row.try_get("code")?,
                            duration: row.try_get::<Option<i64>, _>("duration")?.map(rows::duration),
                            rotated: row.try_get("rotated")?,
                            detail: row.try_get("detail")?,
                        };
                        Ok((event, row.try_get("replica")?))
                    })
                    .collect()
            }

            pub(super) async fn sweep(connection: &mut $Connection, expired: &Expired, batch: i64, replica: &str) -> Result<u64, StoreError> {
                let mut transaction = connection.begin().await?;
                let sessions = sqlx::query(
                    "DELETE FROM sessions WHERE hash IN \
                     (SELECT hash FROM sessions WHERE created_at <= $1 OR last_seen <= $2 LIMIT $3) \
                     RETURNING hash, grant_id, created_at",
                )
                .bind(expired.created_before.0)
                .bind(expired.seen_before.0)
                .bind(batch)
                .fetch_all(&mut *transaction)
                .await?;
                for session in &sessions {
                    let grant = rows::grant_from(session.try_get("grant_id")?)?;
                    let row = sqlx::query("SELECT identity FROM grants WHERE id = $1")
                        .bind(&grant.0[..])
                        .fetch_one(&mut *transaction)
                        .await?;
                    // A row that cannot be read goes like any other, without a word.
                    let Ok(identity) = rows::identity_from(row.try_get("identity")?) else { continue };
                    let too_old = session.try_get::<i64, _>("created_at")? <= expired.created_before.0;
                    let event = Event::of(Kind::Limit, grant, &identity, expired.now)
                        .of_session(rows::session_hash_from(session.try_get("hash")?)?)
                        .because(if too_old { "absolute" } else { "idle" });
                    Self::record_one(&mut transaction, &event, replica).await?;
                }
                transaction.commit().await.map_err(StoreError::Commit)?;
                let mut transaction = connection.begin().await?;
                let grants = Self::remove_orphans(&mut transaction, None, None, batch).await?;
                transaction.commit().await.map_err(StoreError::Commit)?;
                let attempts = sqlx::query(
                    "DELETE FROM returned_attempts WHERE hash IN (SELECT hash FROM returned_attempts WHERE expires_at <= $1 LIMIT $2)",
                )
                .bind(expired.now.0)
                .bind(batch)
                .execute(&mut *connection)
                .await?
                .rows_affected();
                let revocations = Self::forget_dead_revocations(&mut *connection).await?;
                let parked = sqlx::query("DELETE FROM parked_addresses WHERE expires_at <= $1")
                    .bind(expired.now.0)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                let replicas = sqlx::query(concat!("DELETE FROM replicas WHERE seen_at < ", $now, " - 86400000"))
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                let events = sqlx::query("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at <= $1 ORDER BY at LIMIT $2)")
                    .bind(expired.events_before.0)
                    .bind(batch)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                Ok(u64::try_from(sessions.len()).unwrap_or(u64::MAX).saturating_add(grants + attempts + parked + revocations + replicas + events))
            }

            pub(super) async fn counts(connection: &mut $Connection) -> Result<Counts, StoreError> {
                let row: $Row = sqlx::query(
                    "SELECT COUNT(*) AS sessions, COUNT(grants.refresh_token) AS with_refresh_token \
                     FROM sessions JOIN grants ON grants.id = sessions.grant_id",
                )
                .fetch_one(&mut *connection)
                .await?;
                Ok(Counts { sessions: row.try_get("sessions")?, with_refresh_token: row.try_get("with_refresh_token")? })
            }
        }
    };
}

pub(in crate::store) use implement_history;
