//! The statements that both stores run. Postgres and SQLite understand the same SQL here, but for how they
//! tell the time and lock a row; sqlx gives each its own types. So the text is written once, and this macro
//! makes it the methods of either.

/// Implements the contract on `$Backend`, which has a `pool` of `$Db`.
/// `$now` is the database's own clock in milliseconds; `$lock` ends a select whose row is to be held.
macro_rules! implement_statements {
    ($Backend:ty, row: $Row:ty, now: $now:literal, lock: $lock:literal) => {
        impl $Backend {
            pub(super) async fn ping(&self) -> Result<(), StoreError> {
                sqlx::query("SELECT 1").execute(&self.pool).await?;
                Ok(())
            }

            pub(super) async fn keep_login(
                &self,
                grant: &NewGrant,
                identity: &str,
                sealed: &SealedTokens,
                session: &Session,
                replaces: Option<SessionHash>,
            ) -> Result<(), StoreError> {
                let mut transaction = self.pool.begin().await?;
                sqlx::query(
                    "INSERT INTO grants (id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, \
                     refresh_token, id_token, expires_at, lifetime, created_at, renewed_at, rotation) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, 'unknown')",
                )
                .bind(&grant.id.0[..])
                .bind(&grant.issuer)
                .bind(&grant.client_id)
                .bind(&grant.identity.subject)
                .bind(identity)
                .bind(&grant.scopes)
                .bind(&grant.fingerprint)
                .bind(&sealed.access)
                .bind(sealed.refresh.as_ref())
                .bind(sealed.id.as_ref())
                .bind(grant.tokens.expires_at.0)
                .bind(millis(grant.tokens.lifetime))
                .bind(session.created_at.0)
                .execute(&mut *transaction)
                .await?;
                sqlx::query("INSERT INTO sessions (hash, grant_id, created_at, last_seen) VALUES ($1, $2, $3, $4)")
                    .bind(&session.hash.0[..])
                    .bind(&session.grant.0[..])
                    .bind(session.created_at.0)
                    .bind(session.last_seen.0)
                    .execute(&mut *transaction)
                    .await?;
                if let Some(hash) = replaces {
                    sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(&hash.0[..]).execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
                Ok(())
            }

            pub(super) async fn session(&self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
                let row = sqlx::query("SELECT grant_id, created_at, last_seen FROM sessions WHERE hash = $1")
                    .bind(&hash.0[..])
                    .fetch_optional(&self.pool)
                    .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Session {
                    hash,
                    grant: rows::grant_from(row.try_get("grant_id")?)?,
                    created_at: Timestamp(row.try_get("created_at")?),
                    last_seen: Timestamp(row.try_get("last_seen")?),
                }))
            }

            pub(super) async fn grant(&self, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
                let row: Option<$Row> = sqlx::query(concat!(
                    "SELECT issuer, client_id, identity, scopes, fingerprint, access_token, refresh_token IS NOT NULL AS has_refresh_token, \
                     expires_at, lifetime, renewed_at, generation, rotation, presented, attempt, \
                     COALESCE(lease_until, 0) <= ", $now, " AS lapsed, retry_at, ended_reason, ended_code \
                     FROM grants WHERE id = $1"
                ))
                .bind(&id.0[..])
                .fetch_optional(&self.pool)
                .await?;
                let Some(row) = row else { return Ok(None) };
                Ok(Some(GrantRow {
                    id,
                    issuer: row.try_get("issuer")?,
                    client_id: row.try_get("client_id")?,
                    identity: row.try_get("identity")?,
                    scopes: row.try_get("scopes")?,
                    fingerprint: row.try_get("fingerprint")?,
                    access_token: row.try_get("access_token")?,
                    has_refresh_token: row.try_get("has_refresh_token")?,
                    expires_at: row.try_get("expires_at")?,
                    lifetime: row.try_get("lifetime")?,
                    renewed_at: row.try_get("renewed_at")?,
                    generation: row.try_get("generation")?,
                    rotation: row.try_get("rotation")?,
                    presented: row.try_get("presented")?,
                    attempt: row.try_get("attempt")?,
                    lapsed: row.try_get("lapsed")?,
                    retry_at: row.try_get("retry_at")?,
                    ended_reason: row.try_get("ended_reason")?,
                    ended_code: row.try_get("ended_code")?,
                }))
            }

            pub(super) async fn begin_renewal(
                &self,
                id: GrantId,
                attempt: AttemptId,
                generation: i64,
                lease: Duration,
                takes_over: Option<AttemptId>,
            ) -> Result<Option<Vec<u8>>, StoreError> {
                // One statement, committed on its own: the intent is on disk before the token is in our hands.
                let row = sqlx::query(concat!(
                    "UPDATE grants SET attempt = $2, lease_until = ", $now, " + $3, presented = presented + 1 \
                     WHERE id = $1 AND generation = $4 AND ended_reason IS NULL AND refresh_token IS NOT NULL \
                     AND (attempt IS NULL OR (attempt = $5 AND lease_until <= ", $now, ")) \
                     RETURNING refresh_token"
                ))
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(millis(lease))
                .bind(generation)
                .bind(takes_over.map(|attempt| attempt.0.to_vec()))
                .fetch_optional(&self.pool)
                .await?;
                Ok(row.map(|row| row.try_get("refresh_token")).transpose()?)
            }

            pub(super) async fn save_renewal(
                &self,
                id: GrantId,
                attempt: AttemptId,
                generation: i64,
                renewed: &Renewed,
                sealed: &SealedTokens,
            ) -> Result<bool, StoreError> {
                // Fenced by the generation, not by the intent: should a lapsed attempt have been followed by another, the
                // tokens that come first are the ones to keep, and the follower fails its own fence.
                let updated = sqlx::query(
                    "UPDATE grants SET access_token = $3, refresh_token = COALESCE($4, refresh_token), \
                     id_token = COALESCE($5, id_token), expires_at = $6, lifetime = $7, renewed_at = $8, rotation = $9, \
                     generation = generation + 1, attempt = NULL, lease_until = NULL, last_attempt = $2, presented = 0, \
                     retry_at = NULL, ended_reason = NULL WHERE id = $1 AND generation = $10 \
                     AND COALESCE(ended_reason, 'outcome_unknown') = 'outcome_unknown'",
                )
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(&sealed.access)
                .bind(sealed.refresh.as_ref())
                .bind(sealed.id.as_ref())
                .bind(renewed.tokens.expires_at.0)
                .bind(millis(renewed.tokens.lifetime))
                .bind(renewed.at.0)
                .bind(renewed.rotation.as_str())
                .bind(generation)
                .execute(&self.pool)
                .await?
                .rows_affected();
                if updated > 0 {
                    return Ok(true);
                }
                // An earlier try of ours may have been committed though its answer was lost (RF-20).
                let ours = sqlx::query("SELECT 1 AS one FROM grants WHERE id = $1 AND last_attempt = $2")
                    .bind(&id.0[..])
                    .bind(&attempt.0[..])
                    .fetch_optional(&self.pool)
                    .await?;
                Ok(ours.is_some())
            }

            pub(super) async fn release_renewal(
                &self,
                id: GrantId,
                attempt: AttemptId,
                retry_at: Option<Timestamp>,
            ) -> Result<(), StoreError> {
                sqlx::query(
                    "UPDATE grants SET attempt = NULL, lease_until = NULL, presented = presented - 1, retry_at = $3 \
                     WHERE id = $1 AND attempt = $2",
                )
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(retry_at.map(|at| at.0))
                .execute(&self.pool)
                .await?;
                Ok(())
            }

            pub(super) async fn lapse_renewal(
                &self,
                id: GrantId,
                attempt: AttemptId,
                retry_at: Option<Timestamp>,
            ) -> Result<(), StoreError> {
                sqlx::query("UPDATE grants SET lease_until = 0, retry_at = $3 WHERE id = $1 AND attempt = $2")
                    .bind(&id.0[..])
                    .bind(&attempt.0[..])
                    .bind(retry_at.map(|at| at.0))
                    .execute(&self.pool)
                    .await?;
                Ok(())
            }

            pub(super) async fn give_up_renewal(&self, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
                // The attempt's name stays: should its outcome be saved after all, it is unknown no more.
                let updated = sqlx::query(concat!(
                    "UPDATE grants SET ended_reason = 'outcome_unknown' WHERE id = $1 AND attempt = $2 AND lease_until <= ", $now,
                    " AND ended_reason IS NULL"
                ))
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .execute(&self.pool)
                .await?
                .rows_affected();
                Ok(updated > 0)
            }

            pub(super) async fn end_grant(
                &self,
                id: GrantId,
                fence: Fence,
                reason: EndReason,
                code: Option<&str>,
            ) -> Result<bool, StoreError> {
                let statement = match fence {
                    Fence::Attempt(_) =>
                        "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, \
                         lease_until = NULL WHERE id = $1 AND attempt = $4 AND ended_reason IS NULL",
                    Fence::Generation(_) =>
                        "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, \
                         lease_until = NULL WHERE id = $1 AND generation = $4 AND ended_reason IS NULL",
                };
                let query = sqlx::query(statement).bind(&id.0[..]).bind(reason.as_str()).bind(code);
                let query = match fence {
                    Fence::Attempt(attempt) => query.bind(attempt.0.to_vec()),
                    Fence::Generation(generation) => query.bind(generation),
                };
                Ok(query.execute(&self.pool).await?.rows_affected() > 0)
            }

            pub(super) async fn save_identity(&self, id: GrantId, generation: i64, identity: &str) -> Result<(), StoreError> {
                sqlx::query("UPDATE grants SET identity = $3 WHERE id = $1 AND generation = $2")
                    .bind(&id.0[..])
                    .bind(generation)
                    .bind(identity)
                    .execute(&self.pool)
                    .await?;
                Ok(())
            }

            /// The grant, whether it went with the session, and its sealed refresh and ID tokens.
            pub(super) async fn end_session(
                &self,
                hash: SessionHash,
            ) -> Result<Option<(GrantId, bool, Option<Vec<u8>>, Option<Vec<u8>>)>, StoreError> {
                let mut transaction = self.pool.begin().await?;
                let row = sqlx::query("DELETE FROM sessions WHERE hash = $1 RETURNING grant_id")
                    .bind(&hash.0[..])
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some(row) = row else { return Ok(None) };
                let id = rows::grant_from(row.try_get("grant_id")?)?;
                // The row is held while its sessions are counted, so that two last sessions cannot both stay.
                let grant = sqlx::query(concat!("SELECT refresh_token, id_token FROM grants WHERE id = $1", $lock))
                    .bind(&id.0[..])
                    .fetch_one(&mut *transaction)
                    .await?;
                let orphaned = sqlx::query("DELETE FROM grants WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE grant_id = $1)")
                    .bind(&id.0[..])
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected()
                    > 0;
                transaction.commit().await?;
                Ok(Some((id, orphaned, grant.try_get("refresh_token")?, grant.try_get("id_token")?)))
            }

            pub(super) async fn touch(&self, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
                let mut transaction = self.pool.begin().await?;
                // In the order of the rows' names, so that two replicas cannot wait for each other.
                let mut seen = seen.to_vec();
                seen.sort_unstable_by_key(|(hash, _)| hash.0);
                for (hash, at) in seen {
                    sqlx::query("UPDATE sessions SET last_seen = $2 WHERE hash = $1 AND last_seen < $2")
                        .bind(&hash.0[..])
                        .bind(at.0)
                        .execute(&mut *transaction)
                        .await?;
                }
                transaction.commit().await?;
                Ok(())
            }

            pub(super) async fn returned(&self, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
                let inserted = sqlx::query("INSERT INTO returned_attempts (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(&hash[..])
                    .bind(expires_at.0)
                    .execute(&self.pool)
                    .await?
                    .rows_affected();
                Ok(inserted > 0)
            }

            pub(super) async fn sweep(
                &self,
                created_before: Timestamp,
                seen_before: Timestamp,
                now: Timestamp,
                batch: i64,
            ) -> Result<u64, StoreError> {
                let sessions = sqlx::query(
                    "DELETE FROM sessions WHERE hash IN \
                     (SELECT hash FROM sessions WHERE created_at <= $1 OR last_seen <= $2 LIMIT $3)",
                )
                .bind(created_before.0)
                .bind(seen_before.0)
                .bind(batch)
                .execute(&self.pool)
                .await?
                .rows_affected();
                // A grant under an intent is left: its renewal is still to be saved or revoked.
                let grants = sqlx::query(concat!(
                    "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE COALESCE(lease_until, 0) <= ", $now,
                    " AND NOT EXISTS (SELECT 1 FROM sessions WHERE grant_id = grants.id) LIMIT $1)"
                ))
                .bind(batch)
                .execute(&self.pool)
                .await?
                .rows_affected();
                let attempts = sqlx::query(
                    "DELETE FROM returned_attempts WHERE hash IN (SELECT hash FROM returned_attempts WHERE expires_at <= $1 LIMIT $2)",
                )
                .bind(now.0)
                .bind(batch)
                .execute(&self.pool)
                .await?
                .rows_affected();
                Ok(sessions + grants + attempts)
            }

            pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
                let row: $Row = sqlx::query(
                    "SELECT COUNT(*) AS sessions, COUNT(grants.refresh_token) AS with_refresh_token \
                     FROM sessions JOIN grants ON grants.id = sessions.grant_id",
                )
                .fetch_one(&self.pool)
                .await?;
                Ok(Counts { sessions: row.try_get("sessions")?, with_refresh_token: row.try_get("with_refresh_token")? })
            }
        }
    };
}

pub(super) use implement_statements;
