//! Statements on what tokens are sealed under.

/// Implements the keys' part of the contract.
macro_rules! implement_keys {
    ($Backend:ty, row: $Row:ty, connection: $Connection:ty, now: $now:literal) => {
        impl $Backend {
            /// What the other replicas that live say of their keys.
            pub(super) async fn keys_of_others(
                connection: &mut $Connection,
                replica: &str,
                dead_after: Duration,
            ) -> Result<Vec<Option<String>>, StoreError> {
                let rows = sqlx::query(concat!("SELECT keys FROM replicas WHERE name <> $1 AND seen_at > ", $now, " - $2"))
                    .bind(replica)
                    .bind(millis(dead_after))
                    .fetch_all(&mut *connection)
                    .await?;
                rows.iter().map(|row: &$Row| Ok(row.try_get("keys")?)).collect()
            }

            /// The tokens of the next grants by their names, which are chance.
            pub(super) async fn sealed_tokens(
                connection: &mut $Connection,
                after: Option<GrantId>,
                most: i64,
            ) -> Result<Vec<Sealed>, StoreError> {
                let rows = sqlx::query(
                    "SELECT id, generation, access_token, refresh_token, id_token FROM grants \
                     WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
                )
                .bind(after.map(|id| id.0.to_vec()))
                .bind(most)
                .fetch_all(&mut *connection)
                .await?;
                rows.iter()
                    .map(|row: &$Row| {
                        Ok(Sealed {
                            id: rows::grant_from(row.try_get("id")?)?,
                            generation: row.try_get("generation")?,
                            access: row.try_get("access_token")?,
                            refresh: row.try_get("refresh_token")?,
                            id_token: row.try_get("id_token")?,
                        })
                    })
                    .collect()
            }

            /// `false`: the grant was renewed, or ended, since it was read.
            pub(super) async fn keep_resealed(
                connection: &mut $Connection,
                read: &Sealed,
                anew: &Sealed,
            ) -> Result<bool, StoreError> {
                let updated = sqlx::query(
                    "UPDATE grants SET access_token = $4, refresh_token = CASE WHEN refresh_token IS NULL THEN NULL ELSE $5 END, \
                     id_token = $6 WHERE id = $1 AND generation = $2 AND access_token IN ($3, $4)",
                )
                .bind(&read.id.0[..])
                .bind(read.generation)
                .bind(&read.access)
                .bind(&anew.access)
                .bind(anew.refresh.as_ref())
                .bind(anew.id_token.as_ref())
                .execute(&mut *connection)
                .await?
                .rows_affected();
                Ok(updated > 0)
            }

            /// As if each had been presented long ago, by nobody that lives.
            pub(super) async fn mark_restored(connection: &mut $Connection) -> Result<u64, StoreError> {
                let marked = sqlx::query(
                    "UPDATE grants SET attempt = COALESCE(attempt, id), attempt_owner = NULL, lease_until = 0, presented = 1, \
                     presented_at = 0, retry_at = NULL WHERE refresh_token IS NOT NULL AND ended_reason IS NULL",
                )
                .execute(&mut *connection)
                .await?
                .rows_affected();
                Ok(marked)
            }
        }
    };
}

pub(in crate::store) use implement_keys;
