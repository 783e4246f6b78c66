//! Statements on sessions: login, use, logout.

/// Implements the sessions' part of the contract.
macro_rules! implement_sessions {
    ($Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal, lock: $lock:literal, exclude: $exclude:literal) => {
        impl $Backend {
            /// Keeps a login; `None` if its seat is taken away meanwhile. Also returns the sessions that were taken over.
            pub(super) async fn keep_login(
                connection: &mut $Connection,
                grant: &NewGrant,
                identity: &str,
                sealed: &SealedTokens,
                seat: &Seat,
                sharing: Sharing,
                at: Timestamp,
            ) -> Result<Option<(Seated, Vec<SessionHash>)>, StoreError> {
                let mut transaction = connection.begin().await?;
                let brings_token = sealed.refresh.is_some();
                if sharing == Sharing::Shared {
                    // One user's logins take turns, so that none misses the grant of another; and their sessions are locked in
                    // the order in which last-seen times are written, so that neither waits for the other.
                    sqlx::query($exclude)
                        .bind(format!("{} {} {}", grant.issuer, grant.client_id, grant.identity.subject))
                        .execute(&mut *transaction)
                        .await?;
                    sqlx::query(concat!(
                        "SELECT sessions.hash FROM sessions WHERE grant_id IN (SELECT id FROM grants \
                         WHERE issuer = $1 AND client_id = $2 AND subject = $3) ORDER BY hash", $lock
                    ))
                    .bind(&grant.issuer)
                    .bind(&grant.client_id)
                    .bind(&grant.identity.subject)
                    .fetch_all(&mut *transaction)
                    .await?;
                }
                let mut joined = None;
                if !brings_token {
                    // A refresh token that lives is worth more than an answer without one: the user's, where there is one in
                    // all, or that of the session that is to go on.
                    let kept = match seat {
                        Seat::Kept(hash) => Some(hash.0.to_vec()),
                        Seat::New { .. } => None,
                    };
                    joined = sqlx::query(
                        "UPDATE grants SET identity = $4, fingerprint = $5 WHERE ended_reason IS NULL AND id = \
                         (SELECT id FROM grants WHERE issuer = $1 AND client_id = $2 AND subject = $3 AND ended_reason IS NULL \
                         AND refresh_token IS NOT NULL AND ($6 OR id = (SELECT grant_id FROM sessions WHERE hash = $7)) \
                         ORDER BY renewed_at DESC LIMIT 1) RETURNING id",
                    )
                    .bind(&grant.issuer)
                    .bind(&grant.client_id)
                    .bind(&grant.identity.subject)
                    .bind(identity)
                    .bind(grant.fingerprint.as_str())
                    .bind(sharing == Sharing::Shared)
                    .bind(kept)
                    .fetch_optional(&mut *transaction)
                    .await?
                    .map(|row| rows::grant_from(row.try_get("id")?))
                    .transpose()?;
                }
                let id = joined.unwrap_or(grant.id);
                let mut replaced = None;
                if joined.is_none() {
                    sqlx::query(
                        "INSERT INTO grants (id, issuer, client_id, subject, identity, scopes, fingerprint, access_token, \
                         refresh_token, id_token, expires_at, lifetime, created_at, renewed_at, rotation, refresh_until, \
                         refresh_life, provider_session) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, 'unknown', $14, $15, $16)",
                    )
                    .bind(&grant.id.0[..])
                    .bind(&grant.issuer)
                    .bind(&grant.client_id)
                    .bind(&grant.identity.subject)
                    .bind(identity)
                    .bind(&grant.scopes)
                    .bind(grant.fingerprint.as_str())
                    .bind(&sealed.access)
                    .bind(sealed.refresh.as_ref())
                    .bind(sealed.id.as_ref())
                    .bind(grant.tokens.expires_at.0)
                    .bind(millis(grant.tokens.lifetime))
                    .bind(at.0)
                    .bind(grant.tokens.refresh_life.map(|life| at.plus(life).0))
                    .bind(grant.tokens.refresh_life.map(millis))
                    .bind(grant.provider_session.as_ref())
                    .execute(&mut *transaction)
                    .await?;
                }
                match seat {
                    Seat::New { session, replaces } => {
                        sqlx::query(
                            "INSERT INTO sessions (hash, grant_id, created_at, last_seen, provider_session, follows) \
                             VALUES ($1, $2, $3, $4, $5, (SELECT sessions.hash FROM sessions JOIN grants ON grants.id = grant_id \
                             WHERE (sessions.hash = $6 OR follows = $6) AND issuer = $7 AND client_id = $8 AND subject = $9 LIMIT 1))",
                        )
                            .bind(&session.hash.0[..])
                            .bind(&id.0[..])
                            .bind(session.created_at.0)
                            .bind(session.last_seen.0)
                            .bind(grant.provider_session.as_ref())
                            .bind(replaces.map(|hash| hash.0.to_vec()))
                            .bind(&grant.issuer)
                            .bind(&grant.client_id)
                            .bind(&grant.identity.subject)
                            .execute(&mut *transaction)
                            .await?;
                        if let Some(hash) = replaces {
                            // Of two tabs that come back with one cookie the second finds what the first has made in its place.
                            let before = sqlx::query(
                                "DELETE FROM sessions WHERE hash <> $2 AND (hash = $1 OR (follows = $1 AND grant_id IN \
                                 (SELECT id FROM grants WHERE issuer = $3 AND client_id = $4 AND subject = $5))) RETURNING hash",
                            )
                            .bind(&hash.0[..])
                            .bind(&session.hash.0[..])
                            .bind(&grant.issuer)
                            .bind(&grant.client_id)
                            .bind(&grant.identity.subject)
                            .fetch_all(&mut *transaction)
                            .await?;
                            replaced = (!before.is_empty()).then_some(*hash);
                        }
                    }
                    Seat::Kept(hash) => {
                        let moved = sqlx::query(
                            "UPDATE sessions SET grant_id = $2, last_seen = $3, provider_session = COALESCE($4, provider_session) \
                             WHERE hash = $1",
                        )
                            .bind(&hash.0[..])
                            .bind(&id.0[..])
                            .bind(at.0)
                            .bind(grant.provider_session.as_ref())
                            .execute(&mut *transaction)
                            .await?
                            .rows_affected();
                        if moved == 0 {
                            transaction.rollback().await?;
                            return Ok(None);
                        }
                    }
                }
                let mut taken_over = Vec::new();
                if sharing == Sharing::Shared && brings_token {
                    // The provider has ended their grants by this login, or keeps one in all. A session whose grant had ended
                    // before does not come to life by somebody's login elsewhere.
                    let rows = sqlx::query(
                        "UPDATE sessions SET grant_id = $1 WHERE grant_id IN (SELECT id FROM grants \
                         WHERE issuer = $2 AND client_id = $3 AND subject = $4 AND id <> $1 \
                         AND COALESCE(ended_reason, 'outcome_unknown') = 'outcome_unknown') RETURNING hash",
                    )
                    .bind(&id.0[..])
                    .bind(&grant.issuer)
                    .bind(&grant.client_id)
                    .bind(&grant.identity.subject)
                    .fetch_all(&mut *transaction)
                    .await?;
                    for row in rows {
                        taken_over.push(rows::session_hash_from(row.try_get("hash")?)?);
                    }
                }
                transaction.commit().await.map_err(StoreError::Commit)?;
                let session = match seat {
                    Seat::New { session, .. } => session.hash,
                    Seat::Kept(hash) => *hash,
                };
                Ok(Some((Seated { session, grant: id, renewable: joined.is_some() || brings_token, replaced }, taken_over)))
            }

            pub(super) async fn session(connection: &mut $Connection, hash: SessionHash) -> Result<Option<Session>, StoreError> {
                let row: Option<$Row> = sqlx::query("SELECT hash, grant_id, created_at, last_seen FROM sessions WHERE hash = $1")
                    .bind(&hash.0[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                row.as_ref().map(Self::session_of).transpose()
            }

            pub(super) async fn successor(connection: &mut $Connection, hash: SessionHash) -> Result<Option<Session>, StoreError> {
                let row: Option<$Row> = sqlx::query("SELECT hash, grant_id, created_at, last_seen FROM sessions WHERE follows = $1")
                    .bind(&hash.0[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                row.as_ref().map(Self::session_of).transpose()
            }

            fn session_of(row: &$Row) -> Result<Session, StoreError> {
                Ok(Session {
                    hash: rows::session_hash_from(row.try_get("hash")?)?,
                    grant: rows::grant_from(row.try_get("grant_id")?)?,
                    created_at: Timestamp(row.try_get("created_at")?),
                    last_seen: Timestamp(row.try_get("last_seen")?),
                })
            }

            /// The session's grant as it was left. It goes with its last session, and its refresh token is to be revoked.
            pub(super) async fn end_session(connection: &mut $Connection, hash: SessionHash) -> Result<Option<LeftGrant>, StoreError> {
                let mut transaction = connection.begin().await?;
                let row = sqlx::query("DELETE FROM sessions WHERE hash = $1 RETURNING grant_id")
                    .bind(&hash.0[..])
                    .fetch_optional(&mut *transaction)
                    .await?;
                let Some(row) = row else { return Ok(None) };
                let id = rows::grant_from(row.try_get("grant_id")?)?;
                // The row is held while its sessions are counted, so that two last sessions cannot both stay.
                let grant = sqlx::query(concat!("SELECT issuer, client_id, identity, id_token FROM grants WHERE id = $1", $lock))
                    .bind(&id.0[..])
                    .fetch_one(&mut *transaction)
                    .await?;
                Self::remove_orphans(&mut transaction, Some(id), Some(hash.short()), 1).await?;
                transaction.commit().await.map_err(StoreError::Commit)?;
                Ok(Some(LeftGrant {
                    id,
                    issuer: grant.try_get("issuer")?,
                    client_id: grant.try_get("client_id")?,
                    identity: grant.try_get("identity")?,
                    id_token: grant.try_get("id_token")?,
                }))
            }

            pub(super) async fn touch(connection: &mut $Connection, seen: &[(SessionHash, Timestamp)]) -> Result<(), StoreError> {
                let mut transaction = connection.begin().await?;
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
                transaction.commit().await.map_err(StoreError::Commit)?;
                Ok(())
            }

            pub(super) async fn returned(connection: &mut $Connection, hash: [u8; 32], expires_at: Timestamp) -> Result<bool, StoreError> {
                let inserted = sqlx::query("INSERT INTO returned_attempts (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(&hash[..])
                    .bind(expires_at.0)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                Ok(inserted > 0)
            }

            /// The same for what may be told again, later each time.
            pub(super) async fn remember(connection: &mut $Connection, name: [u8; 32], until: Timestamp) -> Result<(), StoreError> {
                sqlx::query(
                    "INSERT INTO returned_attempts (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO UPDATE \
                     SET expires_at = CASE WHEN returned_attempts.expires_at > excluded.expires_at \
                     THEN returned_attempts.expires_at ELSE excluded.expires_at END",
                )
                .bind(&name[..])
                .bind(until.0)
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            /// Until when the latest of these is remembered.
            pub(super) async fn remembered_until(
                connection: &mut $Connection,
                names: [[u8; 32]; 3],
            ) -> Result<Option<Timestamp>, StoreError> {
                let row: $Row = sqlx::query("SELECT MAX(expires_at) AS until FROM returned_attempts WHERE hash IN ($1, $2, $3)")
                    .bind(&names[0][..])
                    .bind(&names[1][..])
                    .bind(&names[2][..])
                    .fetch_one(&mut *connection)
                    .await?;
                Ok(row.try_get::<Option<i64>, _>("until")?.map(Timestamp))
            }

            pub(super) async fn has_returned(connection: &mut $Connection, hash: [u8; 32]) -> Result<bool, StoreError> {
                let found = sqlx::query("SELECT 1 AS one FROM returned_attempts WHERE hash = $1")
                    .bind(&hash[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                Ok(found.is_some())
            }

            pub(super) async fn park(
                connection: &mut $Connection,
                name: [u8; 32],
                sealed: &[u8],
                expires_at: Timestamp,
                most: i64,
            ) -> Result<bool, StoreError> {
                let inserted = sqlx::query(
                    "INSERT INTO parked_addresses (name, sealed, expires_at) SELECT $1, $2, $3 \
                     WHERE (SELECT COUNT(*) FROM parked_addresses) < $4 \
                     ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
                )
                .bind(&name[..])
                .bind(sealed)
                .bind(expires_at.0)
                .bind(most)
                .execute(&mut *connection)
                .await?
                .rows_affected();
                Ok(inserted > 0)
            }

            pub(super) async fn parked(connection: &mut $Connection, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
                let row: Option<$Row> = sqlx::query("SELECT sealed FROM parked_addresses WHERE name = $1")
                    .bind(&name[..])
                    .fetch_optional(&mut *connection)
                    .await?;
                Ok(row.map(|row| row.try_get("sealed")).transpose()?)
            }

            pub(super) async fn sessions_of(connection: &mut $Connection, whose: Whose<'_>) -> Result<Vec<SessionHash>, StoreError> {
                let rows = sqlx::query(
                    "SELECT sessions.hash FROM sessions JOIN grants ON grants.id = sessions.grant_id \
                     WHERE grants.issuer = $1 AND grants.client_id = $2 AND ($3 IS NULL OR grants.subject = $3) \
                     AND ($4 IS NULL OR sessions.provider_session = $4)",
                )
                .bind(whose.issuer)
                .bind(whose.client_id)
                .bind(whose.subject)
                .bind(whose.provider_session)
                .fetch_all(&mut *connection)
                .await?;
                rows.iter().map(|row| rows::session_hash_from(row.try_get("hash")?)).collect()
            }

            /// All sessions, the last used first, with their grants.
            pub(super) async fn listed(connection: &mut $Connection) -> Result<Vec<(Session, GrantRow)>, StoreError> {
                let rows: Vec<$Row> = sqlx::query(concat!(
                    "SELECT sessions.hash, sessions.grant_id, sessions.created_at AS began_at, sessions.last_seen, ",
                    grant_columns!($now),
                    " FROM sessions JOIN grants ON grants.id = sessions.grant_id ORDER BY sessions.last_seen DESC, sessions.hash"
                ))
                .fetch_all(&mut *connection)
                .await?;
                rows.iter()
                    .map(|row| {
                        let grant = rows::grant_from(row.try_get("grant_id")?)?;
                        let session = Session {
                            hash: rows::session_hash_from(row.try_get("hash")?)?,
                            grant,
                            created_at: Timestamp(row.try_get("began_at")?),
                            last_seen: Timestamp(row.try_get("last_seen")?),
                        };
                        Ok((session, Self::grant_row(grant, row)?))
                    })
                    .collect()
            }
        }
    };
}

pub(in crate::store) use implement_sessions;
