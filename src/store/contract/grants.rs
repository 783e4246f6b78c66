//! Grants: reading one, and what changes one outside a renewal.

use super::Store;
use crate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Grant, GrantId},
    identity::Identity,
    reading::Reading,
    secret::Secret,
    store::{
        Change, Fence, IdleExpiry, StoreError, Unverified,
        operation::{Read, Write},
        rows::{self, GrantRow},
        sealing,
    },
};

impl Store {
    /// Reads a grant, even if the row is old, as one of a standby may be.
    ///
    /// # Errors
    /// Those of [`Store::look_up_grant`].
    pub async fn grant(&self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(self.look_up_grant(id).await?.map(Reading::even_if_old))
    }

    /// Reads a grant. A row that is older than what this replica saw committed is put right first, or is no answer if it is a standby's.
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn look_up_grant(&self, id: GrantId) -> Result<Option<Reading<Grant>>, StoreError> {
        let Some(row) = self.grant_row(id).await? else { return Ok(None) };
        let is_current = row.is_current();
        let mut grant = row.even_if_old().open(&self.keys)?;
        if self.reads_id_tokens {
            grant.id_token = match self.id_token(id).await {
                Ok(token) => token,
                // Whoever is served without the key is served without the token.
                Err(StoreError::Sealed(_)) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(Some(if is_current { Reading::Current(grant) } else { Reading::PerhapsOld(grant) }))
    }

    async fn grant_row(&self, id: GrantId) -> Result<Option<Reading<GrantRow>>, StoreError> {
        let read = async || self.read(Read::Grant, |connection| Box::pin(connection.grant(id))).await?.found();
        let row = read().await?;
        let lost = match &row {
            None => None,
            Some(Reading::Current(row)) => self.committed.lost(row),
            Some(Reading::PerhapsOld(row)) if self.committed.lost(row).is_some() => return Err(StoreError::Standby),
            Some(Reading::PerhapsOld(_)) => None,
        };
        let Some(lost) = lost else { return Ok(row) };
        self.put_right(id, &lost).await?;
        let row = read().await?;
        match &row {
            Some(Reading::Current(row) | Reading::PerhapsOld(row)) if self.committed.lost(row).is_some() => {
                Err(StoreError::Outdated)
            }
            Some(_) | None => Ok(row),
        }
    }

    /// Reads the last ID token of a grant, for `id_token_hint` (OpenID Connect RP-Initiated Logout, section 2).
    ///
    /// # Errors
    /// Any [`StoreError`] but a failed migration.
    pub async fn id_token(&self, id: GrantId) -> Result<Option<Secret>, StoreError> {
        let sealed = self.read(Read::IdToken, |connection| Box::pin(connection.id_token(id))).await?.found_even_if_old()?;
        sealed.map(|sealed| sealing::open(&self.keys, "id_token", id, &sealed)).transpose()
    }

    /// Whether a session still points to a grant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn has_sessions(&self, id: GrantId) -> Result<bool, StoreError> {
        self.read(Read::HasSessions, |connection| Box::pin(connection.has_sessions(id))).await?.current()
    }

    /// Ends a grant and erases its refresh token. `false`: the fence did not hold, and nothing was changed. A call that is repeated
    /// `by` the same one finds its own end.
    ///
    /// # Errors
    /// Whether the grant ended is unknown, unless [`StoreError::nothing_was_written`].
    pub async fn end_grant(
        &self,
        id: GrantId,
        by: AttemptId,
        fence: Fence,
        reason: EndReason,
        code: Option<&str>,
    ) -> Result<bool, StoreError> {
        let end = self.write(Write::EndGrant, |connection| Box::pin(connection.end_grant(id, by, fence, reason, code)));
        let ended = end.await?;
        if ended {
            self.committed.grant_ended(id);
        }
        self.announce(Change::Grant(id));
        Ok(ended)
    }

    /// Has this process forget what it knows of a grant whose end cannot be recorded yet, so that nobody is served from memory whom
    /// the provider has cut off.
    pub fn announce_doubt(&self, id: GrantId) {
        self.hear(Change::Grant(id));
    }

    /// Replaces a grant's identity by one that is verified, unless the grant was renewed again since `generation`.
    ///
    /// # Errors
    /// The old identity may have stayed.
    pub async fn save_identity(&self, id: GrantId, generation: i64, identity: &Identity) -> Result<(), StoreError> {
        let text = rows::identity_to_text(identity)?;
        self.write(Write::SaveIdentity, |connection| Box::pin(connection.save_identity(id, generation, &text))).await?;
        self.committed.amend(id, generation, |renewal| {
            if renewal.unverified_since.take().is_some() {
                renewal.retry_at = None;
            }
            renewal.identity = Some(text);
        });
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Marks that the response of the renewal to `generation` is not verified, unless it was marked before.
    ///
    /// # Errors
    /// The grant may not have been marked.
    pub async fn mark_unverified(&self, id: GrantId, generation: i64, unverified: Unverified) -> Result<(), StoreError> {
        self.write(Write::MarkUnverified, |connection| Box::pin(connection.mark_unverified(id, generation, unverified))).await?;
        self.committed.amend(id, generation, |renewal| {
            if renewal.unverified_since.is_none() {
                (renewal.unverified_since, renewal.retry_at) = (Some(unverified.since), Some(unverified.retry_at));
            }
        });
        self.announce(Change::Grant(id));
        Ok(())
    }

    /// Finds grants that are in use and whose refresh token soon expires for want of use, a batch at a time. A grant that is found
    /// is found again only after a while.
    ///
    /// # Errors
    /// Some may have been found, and are found again later.
    pub async fn due_before_idle_expiry(&self, now: Timestamp) -> Result<IdleExpiry, StoreError> {
        self.write(Write::DueBeforeIdleExpiry, |connection| Box::pin(connection.due_before_idle_expiry(now))).await
    }
}
