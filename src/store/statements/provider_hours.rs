//! Statements on the hourly aggregates of token refreshes, and on a sample of grants.

use crate::{
    clock::Timestamp,
    store::{GrantSample, ProviderHour, StoreError, connection::Connection, provider_hours::Key},
};

impl Connection<'_> {
    /// Adds to the aggregates. Replicas do so in the same order, so that none waits for one that waits for it.
    pub(in crate::store) async fn add_provider_hours(&mut self, rows: &[(Key, i64)]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for ((hour, issuer, client_id, outcome, bucket), calls) in rows {
            transaction
                .connection()
                .query(
                    "INSERT INTO provider_hours (hour, issuer, client_id, outcome, bucket, calls) VALUES ($1, $2, $3, $4, $5, $6) \
                     ON CONFLICT (hour, issuer, client_id, outcome, bucket) \
                     DO UPDATE SET calls = provider_hours.calls + excluded.calls",
                )
                .bind(*hour)
                .bind(issuer)
                .bind(client_id)
                .bind(outcome)
                .bind(i64::try_from(*bucket).unwrap_or(i64::MAX))
                .bind(*calls)
                .execute()
                .await?;
        }
        transaction.commit().await
    }

    pub(in crate::store) async fn provider_hours(&mut self, since: Timestamp) -> Result<Vec<ProviderHour>, StoreError> {
        let rows = self
            .query(
                "SELECT hour, issuer, client_id, outcome, bucket, calls FROM provider_hours WHERE hour >= $1 \
                 ORDER BY hour, issuer, client_id, outcome, bucket",
            )
            .bind(since.0)
            .fetch_all()
            .await?;
        rows.iter()
            .map(|row| {
                Ok(ProviderHour {
                    hour: Timestamp(row.get("hour")?),
                    issuer: row.get("issuer")?,
                    client_id: row.get("client_id")?,
                    outcome: row.get("outcome")?,
                    bucket: usize::try_from(row.get::<i64>("bucket")?).unwrap_or(usize::MAX),
                    calls: row.get("calls")?,
                })
            })
            .collect()
    }

    /// Looks at the grants of the sessions with the smallest hashes, as the count of sessions does.
    pub(in crate::store) async fn sample_grants(&mut self) -> Result<Vec<GrantSample>, StoreError> {
        // One subquery, because each is a read of the grant. A fingerprint and an issuer have no spaces.
        let rows = self
            .query(
                "SELECT described, COUNT(*) AS grants FROM (SELECT (SELECT fingerprint || ' ' || \
                 CASE WHEN refresh_token IS NULL THEN '0' ELSE '1' END || ' ' || issuer || ' ' || client_id \
                 FROM grants WHERE grants.id = sample.grant_id) AS described \
                 FROM (SELECT grant_id FROM sessions ORDER BY hash LIMIT 1024) AS sample) AS all_of_them \
                 WHERE described IS NOT NULL GROUP BY described ORDER BY described",
            )
            .fetch_all()
            .await?;
        rows.iter()
            .map(|row| {
                let described: &str = row.get("described")?;
                let mut parts = described.splitn(4, ' ').map(str::to_owned);
                let (Some(fingerprint), Some(renewable), Some(issuer), Some(client_id)) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return Err(StoreError::Malformed("grant"));
                };
                Ok(GrantSample { issuer, client_id, fingerprint, is_renewable: renewable == "1", grants: row.get("grants")? })
            })
            .collect()
    }
}
