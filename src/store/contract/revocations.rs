//! Refresh tokens that wait to be revoked at the provider (RFC 7009). They are enqueued in the transaction that deletes their
//! grant, so that no restart and no outage leaves one alive that nobody knows of any more.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    seal::SealError,
    secret::{Secret, random},
    store::{
        SessionFilter, StoreError,
        operation::{Read, Write},
        rows, sealing,
        statements::{DueRevocation, NewRevocation},
    },
};

/// A refresh token that is to be revoked now.
#[derive(Debug)]
pub struct Revocation {
    id: Vec<u8>,
    /// The refresh token.
    pub token: RevocationToken,
    /// How many times it has been tried, this time included.
    pub tries: u32,
    /// Whether nobody asked for it: its sessions expired, or its login was never used.
    pub nobody_asked: bool,
    /// Whether it is dropped where it would end another grant: nobody asked for it, or it comes late, when its user may be back.
    pub spares_others: bool,
    subject: String,
    provider_session: Option<String>,
    grant: GrantId,
    session: Option<String>,
    issuer: String,
    identity: Identity,
    reason: String,
}

impl Revocation {
    /// The event of its outcome.
    pub fn event(&self, at: Timestamp, outcome: &str) -> Event {
        let event = Event::of(Kind::Revocation, self.grant, &self.issuer, &self.identity, at).because(&self.reason);
        Event { session: self.session.clone(), outcome: outcome.to_owned(), ..event }
    }
}

/// Describes a refresh token that is to be revoked and belongs to no stored grant.
#[derive(Clone, Copy, Debug)]
pub struct OrphanedToken<'a> {
    /// The client registration that the token was issued to.
    pub registration: ClientRegistration<'a>,
    /// The user.
    pub identity: &'a Identity,
    /// The user's session at the provider (`sid`), where it is known.
    pub provider_session: Option<&'a str>,
    /// The reason in the history.
    pub reason: &'a str,
    /// Whether somebody asked for its end.
    pub end: TokenEnd,
}

/// Whether somebody asked for the end of a refresh token: a user, an administrator or the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// It is revoked, as at any logout.
    Requested,
    /// It is revoked unless that would end another grant of its user's.
    Unrequested,
    /// It is not known yet: after so long it is revoked as one whose end nobody asked for, unless [`Store::request_revocation`] comes first.
    UnrequestedAfter(Duration),
}

/// Identifies a token that waits for its revocation.
#[derive(Debug)]
pub struct RevocationId(Vec<u8>);

/// The refresh token of a revocation.
#[derive(Debug)]
pub enum RevocationToken {
    /// The token.
    Readable(Secret),
    /// The token was encrypted under a key that this replica does not have.
    KeyMissing,
    /// The token has expired, or its ciphertext was altered.
    Dead,
}

impl Store {
    /// Enqueues the revocation of a token that belongs to no stored grant.
    ///
    /// # Errors
    /// It may have been enqueued.
    pub async fn enqueue_revocation(
        &self,
        grant: GrantId,
        token: &Secret,
        orphaned: OrphanedToken<'_>,
    ) -> Result<RevocationId, StoreError> {
        let sealed = sealing::seal(&self.keys, "refresh_token", grant, token)?;
        let (sparing, after) = match orphaned.end {
            TokenEnd::Requested => (false, Duration::ZERO),
            TokenEnd::Unrequested => (true, Duration::ZERO),
            TokenEnd::UnrequestedAfter(pause) => (true, pause),
        };
        let revocation = NewRevocation {
            id: random::<16>().to_vec(),
            grant,
            session: None,
            issuer: orphaned.registration.issuer.to_owned(),
            client_id: orphaned.registration.client_id.to_owned(),
            subject: orphaned.identity.subject.clone(),
            provider_session: orphaned.provider_session.map(str::to_owned),
            identity: rows::identity_to_text(orphaned.identity)?,
            reason: orphaned.reason.to_owned(),
            sparing,
            after,
        };
        self.write(Write::EnqueueRevocation, |connection| Box::pin(connection.enqueue_revocation(&revocation, &sealed, None)))
            .await?;
        Ok(RevocationId(revocation.id))
    }

    /// Has a token revoked as at any logout, and now: somebody asked for its end.
    ///
    /// # Errors
    /// It may still be revoked as one whose end nobody asked for.
    pub async fn request_revocation(&self, RevocationId(id): &RevocationId) -> Result<(), StoreError> {
        self.write(Write::RequestRevocation, |connection| Box::pin(connection.request_revocation(id))).await
    }

    /// Claims a revocation that is due at this provider, for `lease`.
    ///
    /// # Errors
    /// One may have been claimed, and is due again after `lease`.
    pub async fn claim_revocation(
        &self,
        registration: ClientRegistration<'_>,
        lease: Duration,
    ) -> Result<Option<Revocation>, StoreError> {
        let due =
            self.write(Write::ClaimRevocation, |connection| Box::pin(connection.claim_revocation(registration, lease))).await?;
        let read = |due: DueRevocation| {
            let token = match sealing::open(&self.keys, "refresh_token", due.grant, &due.sealed) {
                Ok(token) if !due.expired => RevocationToken::Readable(token),
                Err(StoreError::Sealed(SealError::UnknownKey(_))) if !due.expired => RevocationToken::KeyMissing,
                Ok(_) | Err(_) => RevocationToken::Dead,
            };
            let tries = u32::try_from(due.tries).unwrap_or(1);
            Revocation {
                id: due.id,
                token,
                tries,
                nobody_asked: due.sparing,
                spares_others: due.sparing || tries > 1,
                subject: due.subject,
                provider_session: due.provider_session,
                grant: due.grant,
                session: due.session,
                issuer: registration.issuer.to_owned(),
                identity: rows::identity_from(&due.identity).unwrap_or_default(),
                reason: due.reason,
            }
        };
        Ok(due.map(read))
    }

    /// Whether a revocation could end a grant of the same user's that is in use. Where a provider keeps one refresh token for all
    /// logins (`shared`), that is any; where a revocation ends a whole session at the provider (Keycloak), one of that session.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn would_end_others(
        &self,
        revocation: &Revocation,
        registration: ClientRegistration<'_>,
        shared: bool,
    ) -> Result<bool, StoreError> {
        let filter = SessionFilter {
            registration,
            subject: Some(&revocation.subject),
            provider_session: revocation.provider_session.as_deref(),
        };
        self.read(Read::WouldEndOthers, |connection| Box::pin(connection.has_grant_in_use(filter, shared))).await?.current()
    }

    /// Whether somebody asked for the end of a grant that is gone, and its refresh token was to be revoked for it: that revocation is
    /// due, or in the history. What is not found may be on its way into the history, for [`Store::HISTORY_DELAY`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn end_was_requested(&self, grant: GrantId) -> Result<bool, StoreError> {
        self.read(Read::EndWasRequested, |connection| Box::pin(connection.end_was_requested(grant))).await?.current()
    }

    /// Deletes a revocation that is done, or not to be done.
    ///
    /// # Errors
    /// It may be claimed again.
    pub async fn delete_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.write(Write::DeleteRevocation, |connection| Box::pin(connection.delete_revocation(&revocation.id))).await
    }

    /// Makes a revocation due again after `pause`.
    ///
    /// # Errors
    /// It is due again when its lease ends.
    pub async fn postpone_revocation(&self, revocation: &Revocation, pause: Duration) -> Result<(), StoreError> {
        self.write(Write::PostponeRevocation, |connection| Box::pin(connection.postpone_revocation(&revocation.id, pause))).await
    }
}
