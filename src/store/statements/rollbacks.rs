//! Puts right a row of a database that went back in time.

use crate::{
    clock::millis,
    grant::GrantId,
    store::{
        StoreError,
        committed::{CommittedIntent, CommittedRenewal, Lost},
        connection::Connection,
        rows::owner_prefix,
        sql::Template,
    },
};

impl Connection<'_> {
    /// Gives a row back what it has lost, if it still lacks it. `false`: it does not, or the grant has ended or is gone.
    pub(in crate::store) async fn put_right(&mut self, id: GrantId, lost: &Lost, replica: &str) -> Result<bool, StoreError> {
        match lost {
            Lost::Renewal(renewal) => self.restore_renewal(id, renewal).await,
            Lost::Intent(intent) => self.restore_intent(id, intent, replica).await,
        }
    }

    async fn restore_renewal(&mut self, id: GrantId, renewal: &CommittedRenewal) -> Result<bool, StoreError> {
        // Fenced by the generation, as the renewal was: whoever has saved a newer one wins.
        let updated = self
            .query(
                "UPDATE grants SET access_token = $3, refresh_token = $4, id_token = COALESCE($5, id_token), expires_at = $6, \
                 lifetime = $7, renewed_at = $8, rotation = $9, generation = $10, attempt = NULL, attempt_owner = NULL, \
                 lease_until = NULL, last_attempt = $2, presented = 0, retry_at = $15, refused_code = NULL, \
                 ended_reason = NULL, refresh_until = $11, refresh_life = $12, scopes = COALESCE($13, scopes), \
                 unverified_since = $14, identity = COALESCE($16, identity) WHERE id = $1 AND generation < $10 \
                 AND COALESCE(ended_reason, 'outcome_unknown') = 'outcome_unknown'",
            )
            .bind(&id.0[..])
            .bind(&renewal.attempt.0[..])
            .bind(&renewal.access)
            .bind(&renewal.refresh)
            .bind(renewal.id.as_ref())
            .bind(renewal.expires_at.0)
            .bind(millis(renewal.lifetime))
            .bind(renewal.at.0)
            .bind(renewal.rotation.as_str())
            .bind(renewal.generation)
            .bind(renewal.refresh_life.map(|life| renewal.at.plus(life).0))
            .bind(renewal.refresh_life.map(millis))
            .bind(renewal.scopes.as_ref())
            .bind(renewal.unverified_since.map(|since| since.0))
            .bind(renewal.retry_at.map(|at| at.0))
            .bind(renewal.identity.as_ref())
            .execute()
            .await?;
        Ok(updated > 0)
    }

    async fn restore_intent(&mut self, id: GrantId, intent: &CommittedIntent, replica: &str) -> Result<bool, StoreError> {
        const SQL: &Template = &Template::new(
            "UPDATE grants SET attempt = $2, attempt_owner = $3, lease_until = {now} + $4, presented = 1, \
             presented_at = {now} - $5 WHERE id = $1 AND generation = $6 AND attempt IS NULL AND presented = 0 \
             AND ended_reason IS NULL AND refresh_token IS NOT NULL",
        );
        let updated = self
            .query(SQL)
            .bind(&id.0[..])
            .bind(&intent.attempt.0[..])
            .bind(owner_prefix(intent.attempt) + replica)
            .bind(millis(intent.lease_left()))
            .bind(millis(intent.age()))
            .bind(intent.generation)
            .execute()
            .await?;
        Ok(updated > 0)
    }
}
