//! The steps of a renewal in the store, each one statement that is committed on its own.

use std::time::Duration;

use super::{
    Change, Fence, Followed, Knowledge, Renewed, Store, StoreError, heartbeat::DEAD_AFTER, operation::Operation, place, rows,
};
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, GrantId},
    identity::Identity,
    secret::Secret,
};

impl Store {
    /// Writes the intent of `attempt` to present the refresh token of the grant's `generation`, for `lease` by the
    /// database's clock, and reads the token. `takes_over` names a lapsed attempt that may be followed, where that matters
    /// only for so long after it presented the token.
    /// `None`: somebody else holds the intent, or the grant was renewed, ended or removed. Asking again for the same attempt
    /// does no harm.
    ///
    /// # Errors
    /// The intent may have been written, unless [`StoreError::nothing_was_written`]; [`Store::release_renewal`] gives it back
    /// if it was.
    pub async fn begin_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        lease: Duration,
        takes_over: Option<Followed>,
    ) -> Result<Option<Secret>, StoreError> {
        let sealed = self
            .call(Operation::BeginRenewal, |connection| {
                Box::pin(connection.begin_renewal(id, attempt, self.replica(), generation, lease, takes_over))
            })
            .await?;
        sealed.map(|sealed| rows::open_text(&self.keys, &place("refresh_token", id), &sealed)).transpose()
    }

    /// Saves what `attempt` brought for the grant's `generation`, even after it was given up as unknown. `false`: the
    /// grant was removed, ended, or renewed by somebody else, and nothing was saved.
    ///
    /// # Errors
    /// Whether it was saved is unknown; asking again is safe.
    pub async fn save_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        renewed: &Renewed,
    ) -> Result<bool, StoreError> {
        let sealed = self.seal(id, &renewed.tokens)?;
        let saved = self
            .call(Operation::SaveRenewal, |connection| {
                Box::pin(connection.save_renewal(id, attempt, generation, renewed, &sealed))
            })
            .await?;
        self.announce(Change::Grant(id));
        Ok(saved)
    }

    /// Gives an intent back whose request surely had no effect. `retry_at`: not to be tried again before. `refused`: the
    /// provider's code, where it refused this grant without saying that it is dead.
    ///
    /// # Errors
    /// It lapses by itself then.
    pub async fn release_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        self.call(Operation::ReleaseIntent, |connection| Box::pin(connection.release_renewal(id, attempt, retry_at, refused)))
            .await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Marks an intent whose outcome is unknown as lapsed at once. `retry_at`: not to be followed before.
    ///
    /// # Errors
    /// It lapses by itself then.
    pub async fn lapse_renewal(&self, id: GrantId, attempt: AttemptId, retry_at: Option<Timestamp>) -> Result<(), StoreError> {
        self.call(Operation::ExpireLease, |connection| Box::pin(connection.lapse_renewal(id, attempt, retry_at))).await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Ends a grant whose lapsed `attempt` must not be followed by another. `false`: something else happened
    /// to it first.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn give_up_renewal(&self, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        let ended = self.call(Operation::AbandonAttempt, |connection| Box::pin(connection.give_up_renewal(id, attempt))).await?;
        self.announce(Change::Grant(id));
        Ok(ended)
    }

    /// Ends a grant and wipes its refresh token. `false`: the fence did not hold, and nothing was changed.
    ///
    /// # Errors
    /// Whether it ended is unknown.
    pub async fn end_grant(&self, id: GrantId, fence: Fence, reason: EndReason, code: Option<&str>) -> Result<bool, StoreError> {
        let ended = self.call(Operation::EndGrant, |connection| Box::pin(connection.end_grant(id, fence, reason, code))).await?;
        self.announce(Change::Grant(id));
        Ok(ended)
    }

    /// Replaces a grant's identity by one that is verified, unless it was renewed again since `generation`.
    ///
    /// # Errors
    /// The old identity may have stayed.
    pub async fn save_identity(&self, id: GrantId, generation: i64, identity: &Identity) -> Result<(), StoreError> {
        let text = rows::identity_to_text(identity)?;
        self.call(Operation::SaveIdentity, |connection| Box::pin(connection.save_identity(id, generation, &text))).await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Notes that what the renewal to `generation` brought cannot be verified, since `at` unless it was so before.
    ///
    /// # Errors
    /// It may not have been noted.
    pub async fn mark_unverified(&self, id: GrantId, generation: i64, at: Timestamp) -> Result<(), StoreError> {
        self.call(Operation::MarkUnverified, |connection| Box::pin(connection.mark_unverified(id, generation, at))).await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Marks the intent of `attempt` as lapsed if the replica that holds it is dead, by its heartbeat and the database's clock.
    /// `false`: it lives, or something else happened first.
    ///
    /// # Errors
    /// It lapses by itself then.
    pub async fn expire_dead_owners_lease(&self, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        let expired = self
            .call(Operation::ExpireDeadOwnersLease, |connection| {
                Box::pin(connection.expire_dead_owners_lease(id, attempt, DEAD_AFTER))
            })
            .await?;
        if expired {
            self.announce(Change::Grant(id));
        }
        Ok(expired)
    }

    /// What renewals by any replica have shown of a provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn knowledge(&self, issuer: &str, client_id: &str) -> Result<Knowledge, StoreError> {
        self.call(Operation::ProviderKnowledge, |connection| Box::pin(connection.knowledge(issuer, client_id))).await
    }

    /// Keeps what was learnt of a provider. That it rotates is never forgotten.
    ///
    /// # Errors
    /// It may have been kept; asking again does no harm.
    pub async fn learn(&self, issuer: &str, client_id: &str, learnt: Knowledge) -> Result<(), StoreError> {
        self.call(Operation::SaveProviderKnowledge, |connection| Box::pin(connection.learn(issuer, client_id, learnt))).await
    }
}
