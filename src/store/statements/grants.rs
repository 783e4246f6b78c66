//! Statements on grants: reading one, and the steps of a renewal.

/// What is read of a grant, for [`GrantRow`](crate::store::rows::GrantRow).
macro_rules! grant_columns {
    ($now:literal) => {
        concat!(
            "grants.issuer, grants.client_id, grants.identity, grants.scopes, grants.fingerprint, grants.access_token, \
             substr(grants.refresh_token, 1, 5) AS refresh_token_head, grants.expires_at, grants.lifetime, \
             grants.created_at AS granted_at, grants.renewed_at, grants.generation, grants.rotation, grants.presented, ",
            $now,
            " - grants.presented_at AS presented_ago, grants.refresh_until, grants.attempt, \
             COALESCE(grants.lease_until, 0) <= ",
            $now,
            " AS lapsed, grants.retry_at, grants.refused_code, grants.unverified_since, grants.ended_reason, grants.ended_code"
        )
    };
}

pub(in crate::store) use grant_columns;

/// Implements the renewal's part of the contract.
macro_rules! implement_grants {
    ($Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal) => {
        impl $Backend {
            pub(super) async fn grant(connection: &mut $Connection, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
                let row: Option<$Row> = sqlx::query(concat!("SELECT ", grant_columns!($now), " FROM grants WHERE id = $1"))
                    .bind(&id.0[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                Ok(row.map(|row| Self::grant_row(id, &row)).transpose()?)
            }

            pub(super) async fn id_token(connection: &mut $Connection, id: GrantId) -> Result<Option<Vec<u8>>, StoreError> {
                let row: Option<$Row> =
                    sqlx::query("SELECT id_token FROM grants WHERE id = $1").bind(&id.0[..]).fetch_optional(&mut *connection).await?;
                Ok(row.map(|row| row.try_get("id_token")).transpose()?.flatten())
            }

            fn grant_row(id: GrantId, row: &$Row) -> Result<GrantRow, sqlx::Error> {
                Ok(GrantRow {
                    id,
                    issuer: row.try_get("issuer")?,
                    client_id: row.try_get("client_id")?,
                    identity: row.try_get("identity")?,
                    scopes: row.try_get("scopes")?,
                    fingerprint: row.try_get("fingerprint")?,
                    access_token: row.try_get("access_token")?,
                    refresh_token_head: row.try_get("refresh_token_head")?,
                    expires_at: row.try_get("expires_at")?,
                    lifetime: row.try_get("lifetime")?,
                    created_at: row.try_get("granted_at")?,
                    renewed_at: row.try_get("renewed_at")?,
                    generation: row.try_get("generation")?,
                    rotation: row.try_get("rotation")?,
                    presented: row.try_get("presented")?,
                    presented_ago: row.try_get("presented_ago")?,
                    refresh_until: row.try_get("refresh_until")?,
                    attempt: row.try_get("attempt")?,
                    lapsed: row.try_get("lapsed")?,
                    retry_at: row.try_get("retry_at")?,
                    refused_code: row.try_get("refused_code")?,
                    unverified_since: row.try_get("unverified_since")?,
                    ended_reason: row.try_get("ended_reason")?,
                    ended_code: row.try_get("ended_code")?,
                })
            }

            pub(super) async fn begin_renewal(
                connection: &mut $Connection,
                id: GrantId,
                attempt: AttemptId,
                owner: &str,
                generation: i64,
                lease: Duration,
                takes_over: Option<Followed>,
            ) -> Result<Option<Vec<u8>>, StoreError> {
                // One statement, committed on its own: the intent is on disk before the token is in our hands. Asked again after
                // a lost answer, it finds its own intent. A reuse interval runs from when the token was first presented.
                let rows = sqlx::query(concat!(
                    "UPDATE grants SET attempt = $2, attempt_owner = $7, lease_until = ", $now, " + $3, \
                     presented = CASE WHEN attempt = $2 THEN presented ELSE presented + 1 END, \
                     presented_at = CASE WHEN attempt IS NOT NULL AND presented > 0 THEN presented_at ELSE ", $now, " END \
                     WHERE id = $1 AND generation = $4 AND ended_reason IS NULL AND refresh_token IS NOT NULL \
                     AND (attempt IS NULL OR attempt = $2 OR (attempt = $5 AND lease_until <= ", $now, " \
                     AND ($6 IS NULL OR presented_at > ", $now, " - $6))) \
                     RETURNING refresh_token"
                ))
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(millis(lease))
                .bind(generation)
                .bind(takes_over.map(|followed| followed.attempt.0.to_vec()))
                .bind(takes_over.and_then(|followed| followed.within).map(millis))
                .bind(owned(attempt) + owner)
                // All rows, of which there is one at most: SQLite commits after the last, and sqlx hears nothing of a commit that
                // failed if it was asked for the first alone.
                .fetch_all(&mut *connection)
                .await?;
                Ok(rows.first().map(|row| row.try_get("refresh_token")).transpose()?)
            }

            pub(super) async fn save_renewal(
                connection: &mut $Connection,
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
                     generation = generation + 1, attempt = NULL, attempt_owner = NULL, lease_until = NULL, last_attempt = $2, presented = 0, \
                     retry_at = $15, refused_code = NULL, ended_reason = NULL, refresh_until = $11, refresh_life = $12, \
                     scopes = COALESCE($13, scopes), unverified_since = $14 WHERE id = $1 AND generation = $10 \
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
                .bind(renewed.tokens.refresh_life.map(|life| renewed.at.plus(life).0))
                .bind(renewed.tokens.refresh_life.map(millis))
                .bind(renewed.scopes.as_ref())
                .bind(renewed.unverified.map(|unverified| unverified.since.0))
                .bind(renewed.unverified.map(|unverified| unverified.retry_at.0))
                .execute(&mut *connection)
                .await?
                .rows_affected();
                if updated > 0 {
                    return Ok(true);
                }
                // An earlier try of ours may have been committed though its answer was lost (RF-20).
                let ours = sqlx::query("SELECT 1 AS one FROM grants WHERE id = $1 AND last_attempt = $2")
                    .bind(&id.0[..])
                    .bind(&attempt.0[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                Ok(ours.is_some())
            }

            pub(super) async fn release_renewal(
                connection: &mut $Connection,
                id: GrantId,
                attempt: AttemptId,
                retry_at: Option<Timestamp>,
                refused: Option<&str>,
            ) -> Result<(), StoreError> {
                sqlx::query(
                    "UPDATE grants SET attempt = CASE WHEN presented > 1 THEN $5 END, lease_until = CASE WHEN presented > 1 THEN 0 END, \
                     attempt_owner = NULL, presented = presented - 1, retry_at = $3, refused_code = $4 \
                     WHERE id = $1 AND attempt = $2",
                )
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(retry_at.map(|at| at.0))
                .bind(refused)
                // What was presented before this attempt is still of unknown fate, under a name that no other write has.
                .bind(AttemptId::random().0.to_vec())
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            pub(super) async fn lapse_renewal(
                connection: &mut $Connection,
                id: GrantId,
                attempt: AttemptId,
                retry_at: Option<Timestamp>,
            ) -> Result<(), StoreError> {
                sqlx::query("UPDATE grants SET lease_until = 0, retry_at = $3 WHERE id = $1 AND attempt = $2")
                    .bind(&id.0[..])
                    .bind(&attempt.0[..])
                    .bind(retry_at.map(|at| at.0))
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            }

            pub(super) async fn expire_dead_owners_lease(
                connection: &mut $Connection,
                id: GrantId,
                attempt: AttemptId,
                dead_after: Duration,
            ) -> Result<bool, StoreError> {
                let updated = sqlx::query(concat!(
                    "UPDATE grants SET lease_until = 0 WHERE id = $1 AND attempt = $2 AND attempt_owner LIKE $4 || '%' \
                     AND NOT EXISTS (SELECT 1 FROM replicas WHERE attempt_owner = $4 || name AND seen_at > ", $now, " - $3)"
                ))
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .bind(millis(dead_after))
                .bind(owned(attempt))
                .execute(&mut *connection)
                .await?
                .rows_affected();
                Ok(updated > 0)
            }

            pub(super) async fn knowledge(
                connection: &mut $Connection,
                issuer: &str,
                client_id: &str,
            ) -> Result<Knowledge, StoreError> {
                let row = sqlx::query("SELECT rotates, rejects_dummy FROM provider_knowledge WHERE issuer = $1 AND client_id = $2")
                    .bind(issuer)
                    .bind(client_id)
                    .fetch_optional(&mut *connection)
                    .await?;
                let Some(row) = row else { return Ok(Knowledge::default()) };
                Ok(Knowledge { rotates: row.try_get("rotates")?, rejects_dummy: row.try_get("rejects_dummy")? })
            }

            pub(super) async fn learn(
                connection: &mut $Connection,
                issuer: &str,
                client_id: &str,
                learnt: Knowledge,
            ) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO provider_knowledge (issuer, client_id, rotates, rejects_dummy) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (issuer, client_id) DO UPDATE SET \
                     rotates = CASE WHEN provider_knowledge.rotates THEN provider_knowledge.rotates \
                     ELSE COALESCE(excluded.rotates, provider_knowledge.rotates) END, \
                     rejects_dummy = COALESCE(excluded.rejects_dummy, provider_knowledge.rejects_dummy)",
                )
                .bind(issuer)
                .bind(client_id)
                .bind(learnt.rotates)
                .bind(learnt.rejects_dummy)
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            pub(super) async fn give_up_renewal(connection: &mut $Connection, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
                // The attempt's name stays: should its outcome be saved after all, it is unknown no more.
                let updated = sqlx::query(concat!(
                    "UPDATE grants SET ended_reason = 'outcome_unknown' WHERE id = $1 AND attempt = $2 AND lease_until <= ", $now,
                    " AND ended_reason IS NULL"
                ))
                .bind(&id.0[..])
                .bind(&attempt.0[..])
                .execute(&mut *connection)
                .await?
                .rows_affected();
                Ok(updated > 0)
            }

            pub(super) async fn end_grant(
                connection: &mut $Connection,
                id: GrantId,
                fence: Fence,
                reason: EndReason,
                code: Option<&str>,
            ) -> Result<bool, StoreError> {
                let statement = match fence {
                    Fence::Attempt(_) =>
                        "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, \
                         attempt_owner = NULL, lease_until = NULL WHERE id = $1 AND attempt = $4 AND ended_reason IS NULL",
                    Fence::Generation(_) =>
                        "UPDATE grants SET ended_reason = $2, ended_code = $3, refresh_token = NULL, attempt = NULL, \
                         attempt_owner = NULL, lease_until = NULL WHERE id = $1 AND generation = $4 AND ended_reason IS NULL",
                };
                let query = sqlx::query(statement).bind(&id.0[..]).bind(reason.as_str()).bind(code);
                let query = match fence {
                    Fence::Attempt(attempt) => query.bind(attempt.0.to_vec()),
                    Fence::Generation(generation) => query.bind(generation),
                };
                Ok(query.execute(&mut *connection).await?.rows_affected() > 0)
            }

            pub(super) async fn save_identity(connection: &mut $Connection, id: GrantId, generation: i64, identity: &str) -> Result<(), StoreError> {
                // With the pause that not being able to verify it made, if there was one.
                sqlx::query(
                    "UPDATE grants SET identity = $3, \
                     retry_at = CASE WHEN unverified_since IS NULL THEN retry_at END, unverified_since = NULL \
                     WHERE id = $1 AND generation = $2",
                )
                .bind(&id.0[..])
                .bind(generation)
                .bind(identity)
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            pub(super) async fn mark_unverified(connection: &mut $Connection, id: GrantId, generation: i64, at: Timestamp) -> Result<(), StoreError> {
                sqlx::query(
                    "UPDATE grants SET unverified_since = COALESCE(unverified_since, $3) WHERE id = $1 AND generation = $2",
                )
                .bind(&id.0[..])
                .bind(generation)
                .bind(at.0)
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            /// Grants whose refresh token dies soon for want of use, though somebody used them within one life of it.
            pub(super) async fn due_to_keep_alive(connection: &mut $Connection, now: Timestamp, most: i64) -> Result<Vec<GrantId>, StoreError> {
                let rows = sqlx::query(
                    "SELECT id FROM grants WHERE refresh_until > $1 AND refresh_until - refresh_life / 4 <= $1 \
                     AND refresh_life >= 60000 AND refresh_token IS NOT NULL AND ended_reason IS NULL \
                     AND COALESCE(retry_at, 0) <= $1 \
                     AND EXISTS (SELECT 1 FROM sessions WHERE grant_id = grants.id AND last_seen > $1 - grants.refresh_life) \
                     ORDER BY refresh_until - refresh_life / 4 LIMIT $2",
                )
                .bind(now.0)
                .bind(most)
                .fetch_all(&mut *connection)
                .await?;
                rows.iter().map(|row| rows::grant_from(row.try_get("id")?)).collect()
            }
        }
    };
}

pub(in crate::store) use implement_grants;
