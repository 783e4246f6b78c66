//! The steps of a token refresh (renewal), each one statement that is committed on its own.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::{AttemptId, GrantId},
    secret::Secret,
    store::{
        Change, Knowledge, NewIntent, Renewed, StoreError,
        committed::CommittedRenewal,
        operation::{Read, Write},
        replica::DEAD_AFTER,
        sealing::{self, SealedTokens},
        statements::{Begun, DeadLease},
    },
};

/// How much longer than those of this replica the leases of others may be, whose provider may be given more time.
const LEASE_TOLERANCE: Duration = Duration::from_secs(120);

/// How often a renewal is written to a row that other replicas put right meanwhile.
const MAX_WRITES: u32 = 3;

/// What came of writing the result of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Saving {
    Saved,
    /// The grant was deleted, ended, or renewed by another attempt.
    Outdone,
    /// The row is older than the generation whose token was presented: the database went back in time.
    RowIsOlder,
}

impl Store {
    /// Writes the intent to present a grant's refresh token, and reads the refresh token.
    ///
    /// `None`: another attempt holds the intent or has made a pause, or the grant was renewed, ended or deleted, or the database's clock
    /// makes a lease look expired, or tokens are held back ([`Store::holds_tokens_back`]), from now on if the database turns out to have
    /// gone back in time. Calling this again for the same attempt does no harm.
    ///
    /// # Errors
    /// [`StoreError::Sealed`]: the intent is written, and the token cannot be opened. Otherwise the intent may have been written, unless
    /// [`StoreError::nothing_was_written`]. [`Store::release_intent`] releases it.
    pub async fn begin_renewal(&self, id: GrantId, intent: NewIntent) -> Result<Option<Secret>, StoreError> {
        if self.holds_tokens_back() {
            return Ok(None);
        }
        let own = self.last_beat();
        let begun = self.write(Write::BeginRenewal, |connection| Box::pin(connection.begin_renewal(id, intent, own))).await?;
        match begun {
            Begun::Written(sealed) => {
                self.committed.begun(id, &intent, &sealed);
                sealing::open(&self.keys, "refresh_token", id, &sealed).map(Some)
            }
            Begun::Outdone => Ok(None),
            Begun::LacksHeartbeat => {
                self.notice_rollback();
                Ok(None)
            }
        }
    }

    /// Whether this replica has seen more of a grant's renewals than its row as it was read, or cached, at `generation`.
    pub fn knows_more_of(&self, id: GrantId, generation: i64) -> bool {
        self.committed.knows_more_of(id, generation)
    }

    /// Saves the result of `attempt` for the grant's `generation`, even after the attempt was abandoned. `false`: the grant was
    /// deleted, ended, or renewed by another attempt, and nothing was saved.
    ///
    /// # Errors
    /// Whether it was saved is unknown; saving it again is safe.
    pub async fn save_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        renewed: &Renewed,
    ) -> Result<bool, StoreError> {
        let sealed = SealedTokens::seal(&self.keys, id, &renewed.tokens)?;
        let saving = self.write_renewal(id, attempt, generation, renewed, &sealed).await?;
        if saving != Saving::Outdone {
            self.committed.renewed(id, attempt, |presented| {
                Some(CommittedRenewal {
                    generation: generation.saturating_add(1),
                    attempt,
                    access: sealed.access,
                    refresh: sealed.refresh.or(presented)?,
                    id: sealed.id,
                    expires_at: renewed.tokens.expires_at,
                    lifetime: renewed.tokens.lifetime,
                    refresh_life: renewed.tokens.refresh_life,
                    scopes: renewed.scopes.clone(),
                    rotation: renewed.rotation,
                    at: renewed.at,
                    unverified_since: renewed.unverified.map(|unverified| unverified.since),
                    retry_at: renewed.unverified.map(|unverified| unverified.retry_at),
                    identity: None,
                })
            });
        }
        let saved = match saving {
            Saving::Saved => true,
            Saving::Outdone => false,
            // Reading the row puts it right. Whether by this renewal, its generation says: nobody else can have presented its token.
            Saving::RowIsOlder => {
                let grant = self.grant(id).await?;
                grant.is_some_and(|grant| grant.generation == generation.saturating_add(1) && grant.ended.is_none())
            }
        };
        self.announce(Change::Grant(id));
        Ok(saved)
    }

    /// Writes the result of an attempt, and finds out why a row did not take it.
    async fn write_renewal(
        &self,
        id: GrantId,
        attempt: AttemptId,
        generation: i64,
        renewed: &Renewed,
        sealed: &SealedTokens,
    ) -> Result<Saving, StoreError> {
        for _ in 0..MAX_WRITES {
            let saved = self.write(Write::SaveRenewal, |connection| {
                Box::pin(connection.save_renewal(id, attempt, generation, renewed, sealed))
            });
            if saved.await? {
                return Ok(Saving::Saved);
            }
            let row = self.read(Read::Grant, |connection| Box::pin(connection.grant(id))).await?.current()?;
            match row {
                Some(row) if row.generation < generation => return Ok(Saving::RowIsOlder),
                // It was older when it was written to, and another replica has put it right since.
                Some(row) if row.generation == generation && row.takes_renewals() => {}
                Some(_) | None => return Ok(Saving::Outdone),
            }
        }
        Err(StoreError::Outdated)
    }

    /// Releases the intent of an attempt whose token request certainly had no effect. The next attempt is not made before
    /// `retry_at`. `refused` is the provider's error code, where it refused this grant without saying that the grant is dead.
    ///
    /// # Errors
    /// The lease expires by itself then.
    pub async fn release_intent(
        &self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        self.committed.released(id, attempt);
        self.write(Write::ReleaseIntent, |connection| Box::pin(connection.release_intent(id, attempt, retry_at, refused)))
            .await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Makes the lease of an attempt whose outcome is unknown, and whose token call has ended, expire after `settling`. The next attempt
    /// is not made before `retry_at` either, which is by this replica's clock and not by the database's.
    ///
    /// # Errors
    /// The lease expires by itself then.
    pub async fn expire_lease(
        &self,
        id: GrantId,
        attempt: AttemptId,
        retry_at: Option<Timestamp>,
        settling: Duration,
    ) -> Result<(), StoreError> {
        self.committed.lease_expires(id, attempt, settling);
        self.write(Write::ExpireLease, |connection| Box::pin(connection.expire_lease(id, attempt, retry_at, settling))).await?;
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Makes the lease of `attempt` expire if the replica that holds it is dead, by its heartbeat and the database's clock, and if no
    /// more than `left` of it is left, where that is given. `own` is the lease of this replica's own intents: one that runs on for much
    /// longer was dated before the database's clock was set back, and is dated anew. `false`: the lease has not expired by this.
    ///
    /// # Errors
    /// The lease expires by itself then.
    pub async fn expire_dead_owners_lease(
        &self,
        id: GrantId,
        attempt: AttemptId,
        left: Option<Duration>,
        own: Duration,
    ) -> Result<bool, StoreError> {
        let longest = own.saturating_add(LEASE_TOLERANCE);
        let limits = DeadLease { dead_after: DEAD_AFTER, left: left.unwrap_or(longest), own, longest };
        let own = self.last_beat();
        let is_expired = self
            .write(Write::ExpireDeadOwnersLease, |connection| {
                Box::pin(connection.expire_dead_owners_lease(id, attempt, limits, own))
            })
            .await?;
        if is_expired {
            self.announce(Change::Grant(id));
        }
        Ok(is_expired)
    }

    /// Ends a grant whose refresh token must not be presented again after `attempt`, whose lease has expired. `false`: something
    /// else happened to the grant first, or to the database's clock.
    ///
    /// # Errors
    /// Whether the grant ended is unknown.
    pub async fn abandon_attempt(&self, id: GrantId, attempt: AttemptId) -> Result<bool, StoreError> {
        let own = self.last_beat();
        let ended =
            self.write(Write::AbandonAttempt, |connection| Box::pin(connection.abandon_attempt(id, attempt, own))).await?;
        if ended {
            self.announce(Change::Grant(id));
        }
        Ok(ended)
    }

    /// Reads what renewals by any replica have shown of a provider.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn provider_knowledge(&self, registration: ClientRegistration<'_>) -> Result<Knowledge, StoreError> {
        self.read(Read::ProviderKnowledge, |connection| Box::pin(connection.provider_knowledge(registration))).await?.current()
    }

    /// Adds what was observed of a provider. That it rotates is never forgotten.
    ///
    /// # Errors
    /// It may have been saved; saving it again does no harm.
    pub async fn save_provider_knowledge(
        &self,
        registration: ClientRegistration<'_>,
        observed: Knowledge,
    ) -> Result<(), StoreError> {
        self.write(Write::SaveProviderKnowledge, |connection| {
            Box::pin(connection.save_provider_knowledge(registration, observed))
        })
        .await
    }
}
