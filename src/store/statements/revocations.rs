//! Statements on refresh tokens that are to be revoked at the provider.

/// Implements the revocations' part of the contract.
macro_rules! implement_revocations {
    ($Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal, lock: $lock:literal) => {
        impl $Backend {
            /// Removes grants that no session points to, up to `most`, or this one alone, and leaves what is to be revoked of them.
            /// One under an intent is left unless it is named: its renewal is still to be saved or revoked.
            pub(super) async fn remove_orphans(
                transaction: &mut $Connection,
                only: Option<GrantId>,
                session: Option<String>,
                most: i64,
            ) -> Result<u64, StoreError> {
                let gone = sqlx::query(concat!(
                    "DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE (id = $1 OR ($1 IS NULL AND COALESCE(lease_until, 0) <= ",
                    $now, ")) AND NOT EXISTS (SELECT 1 FROM sessions WHERE grant_id = grants.id) LIMIT $2) \
                     RETURNING id, issuer, client_id, subject, provider_session, identity, refresh_token, refresh_until"
                ))
                .bind(only.map(|id| id.0.to_vec()))
                .bind(most)
                .fetch_all(&mut *transaction)
                .await?;
                for row in &gone {
                    let Some(token) = row.try_get::<Option<Vec<u8>>, _>("refresh_token")? else { continue };
                    let revocation = NewRevocation {
                        id: row.try_get::<Vec<u8>, _>("id")?,
                        grant: rows::grant_from(row.try_get("id")?)?,
                        session: session.clone(),
                        issuer: row.try_get("issuer")?,
                        client_id: row.try_get("client_id")?,
                        subject: row.try_get("subject")?,
                        provider_session: row.try_get("provider_session")?,
                        identity: row.try_get("identity")?,
                        reason: if only.is_some() { "" } else { "left" }.to_owned(),
                        sparing: only.is_none(),
                        after: if only.is_some() { Duration::ZERO } else { LEFT_FOR },
                    };
                    Self::revoke_later(transaction, &revocation, &token, row.try_get("refresh_until")?).await?;
                }
                Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
            }

            /// Puts a token down to be revoked, until it is dead by itself.
            pub(super) async fn revoke_later(
                connection: &mut $Connection,
                revocation: &NewRevocation,
                sealed: &[u8],
                until: Option<i64>,
            ) -> Result<(), StoreError> {
                sqlx::query(concat!(
                    "INSERT INTO revocations (id, grant_id, session, issuer, client_id, subject, provider_session, identity, \
                     refresh_token, reason, sparing, tries, due_at, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, 0, ", $now, " + $13, COALESCE($11, ", $now, " + 2592000000)) \
                     ON CONFLICT (id) DO NOTHING"
                ))
                .bind(&revocation.id)
                .bind(&revocation.grant.0[..])
                .bind(revocation.session.as_ref())
                .bind(&revocation.issuer)
                .bind(&revocation.client_id)
                .bind(&revocation.subject)
                .bind(revocation.provider_session.as_ref())
                .bind(&revocation.identity)
                .bind(sealed)
                .bind(&revocation.reason)
                .bind(until)
                .bind(revocation.sparing)
                .bind(millis(revocation.after))
                .execute(&mut *connection)
                .await?;
                Ok(())
            }

            /// One that is due, taken for `lease`, after which somebody else may try: people's own sign-outs first.
            pub(super) async fn due_revocation(
                connection: &mut $Connection,
                issuer: &str,
                client_id: &str,
                lease: Duration,
            ) -> Result<Option<DueRevocation>, StoreError> {
                // Read to its end, because SQLite commits what returns rows after the last of them.
                let rows = sqlx::query(concat!(
                    "UPDATE revocations SET tries = tries + 1, due_at = ", $now, " + $3 WHERE id IN (SELECT id FROM revocations \
                     WHERE issuer = $1 AND client_id = $2 AND due_at <= ", $now, " ORDER BY sparing, tries, due_at LIMIT 1", $lock, ") \
                     RETURNING id, grant_id, session, subject, provider_session, identity, refresh_token, reason, sparing, tries, \
                     CASE WHEN expires_at <= ", $now, " THEN 1 ELSE 0 END AS expired"
                ))
                .bind(issuer)
                .bind(client_id)
                .bind(millis(lease))
                .fetch_all(&mut *connection)
                .await?;
                rows.first()
                    .map(|row: &$Row| {
                        Ok(DueRevocation {
                            id: row.try_get("id")?,
                            grant: rows::grant_from(row.try_get("grant_id")?)?,
                            session: row.try_get("session")?,
                            subject: row.try_get("subject")?,
                            provider_session: row.try_get("provider_session")?,
                            identity: row.try_get("identity")?,
                            sealed: row.try_get("refresh_token")?,
                            reason: row.try_get("reason")?,
                            sparing: row.try_get("sparing")?,
                            tries: row.try_get("tries")?,
                            expired: row.try_get::<i32, _>("expired")? != 0,
                        })
                    })
                    .transpose()
            }

            /// Whether a living grant of this person's could be hurt: any, or one of what may be the same session at the provider.
            pub(super) async fn is_in_use(
                connection: &mut $Connection,
                whose: Whose<'_>,
                by_any: bool,
            ) -> Result<bool, StoreError> {
                let found = sqlx::query(
                    "SELECT 1 AS one FROM grants JOIN sessions ON sessions.grant_id = grants.id \
                     WHERE issuer = $1 AND client_id = $2 AND subject = $3 AND ended_reason IS NULL \
                     AND ($4 OR $5 IS NULL OR sessions.provider_session IS NULL OR sessions.provider_session = $5) LIMIT 1",
                )
                .bind(whose.issuer)
                .bind(whose.client_id)
                .bind(whose.subject)
                .bind(by_any)
                .bind(whose.provider_session)
                .fetch_optional(&mut *connection)
                .await?;
                Ok(found.is_some())
            }

            /// Removes those whose token is dead by itself, also of a provider that nobody asks any more.
            pub(super) async fn forget_dead_revocations(connection: &mut $Connection) -> Result<u64, StoreError> {
                let gone = sqlx::query(concat!("DELETE FROM revocations WHERE expires_at <= ", $now, " - 86400000"))
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                Ok(gone)
            }

            /// It is over with this one.
            pub(super) async fn forget_revocation(connection: &mut $Connection, id: &[u8]) -> Result<(), StoreError> {
                sqlx::query("DELETE FROM revocations WHERE id = $1").bind(id).execute(&mut *connection).await?;
                Ok(())
            }

            /// It is tried again after `pause`.
            pub(super) async fn put_revocation_off(
                connection: &mut $Connection,
                id: &[u8],
                pause: Duration,
            ) -> Result<(), StoreError> {
                sqlx::query(concat!("UPDATE revocations SET due_at = ", $now, " + $2 WHERE id = $1"))
                    .bind(id)
                    .bind(millis(pause))
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            }
        }
    };
}

pub(in crate::store) use implement_revocations;
