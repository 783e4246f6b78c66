//! Refresh tokens on their way to be revoked at the provider. They are put down where their grant goes, in one transaction, so
//! that no restart and no outage leaves one alive that nobody knows of any more.

use std::time::Duration;

use super::{Store, StoreError, Whose, operation::Operation, place, rows};
use crate::{
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    seal::SealError,
    secret::{Secret, random},
};

/// A revocation as it is put down.
#[derive(Debug)]
pub(super) struct NewRevocation {
    pub(super) id: Vec<u8>,
    pub(super) grant: GrantId,
    pub(super) session: Option<String>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) provider_session: Option<String>,
    pub(super) identity: String,
    pub(super) reason: String,
    /// It is let be where it would hurt another grant.
    pub(super) sparing: bool,
    /// Not before.
    pub(super) after: Duration,
}

/// A grant that nobody asked to end is left for a while: its user may be about to come back with the session at the provider that
/// its revocation would end.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(60);

/// One that is due, as it is stored.
#[derive(Debug)]
pub(super) struct DueRevocation {
    pub(super) id: Vec<u8>,
    pub(super) grant: GrantId,
    pub(super) session: Option<String>,
    pub(super) subject: String,
    pub(super) provider_session: Option<String>,
    pub(super) identity: String,
    pub(super) sealed: Vec<u8>,
    pub(super) reason: String,
    pub(super) sparing: bool,
    pub(super) tries: i32,
    pub(super) expired: bool,
}

/// A refresh token that is to be revoked now.
#[derive(Debug)]
pub struct Revocation {
    id: Vec<u8>,
    /// The token.
    pub token: Token,
    /// So often it has been tried, with this time.
    pub tries: u32,
    /// Nobody asked for it: its grant was left, or never used.
    pub nobody_asked: bool,
    /// It is let be where it would hurt another grant: nobody asked for it, or it comes late, when its user may be back.
    pub spares_others: bool,
    subject: String,
    provider_session: Option<String>,
    grant: GrantId,
    session: Option<String>,
    identity: Identity,
    reason: String,
}

impl Revocation {
    /// Its line in the history.
    pub fn event(&self, at: crate::clock::Timestamp, outcome: &str) -> Event {
        let event = Event::of(Kind::Revocation, self.grant, &self.identity, at).because(&self.reason);
        Event { session: self.session.clone(), outcome: outcome.to_owned(), ..event }
    }
}

/// Whose token is to be revoked that no grant keeps, and why.
#[derive(Clone, Copy, Debug)]
pub struct Unkept<'a> {
    /// Its provider.
    pub issuer: &'a str,
    /// Its client.
    pub client_id: &'a str,
    /// Whom it speaks for.
    pub identity: &'a Identity,
    /// Their session at the provider, where it tells.
    pub provider_session: Option<&'a str>,
    /// As the history tells it.
    pub reason: &'a str,
}

/// A refresh token that is to be revoked.
#[derive(Debug)]
pub enum Token {
    /// It can be.
    Known(Secret),
    /// It was sealed under a key that this replica does not have.
    KeyMissing,
    /// It is dead by itself, or was altered.
    Dead,
}

impl Store {
    /// Puts down a token that no grant keeps.
    ///
    /// # Errors
    /// It may have been put down.
    pub async fn revoke_later(&self, grant: GrantId, token: &Secret, unkept: Unkept<'_>) -> Result<(), StoreError> {
        let sealed = self.keys.seal(&place("refresh_token", grant), token.expose().as_bytes())?;
        let revocation = NewRevocation {
            id: random::<16>().to_vec(),
            grant,
            session: None,
            issuer: unkept.issuer.to_owned(),
            client_id: unkept.client_id.to_owned(),
            subject: unkept.identity.subject.clone(),
            provider_session: unkept.provider_session.map(str::to_owned),
            identity: rows::identity_to_text(unkept.identity)?,
            reason: unkept.reason.to_owned(),
            sparing: true,
            after: Duration::ZERO,
        };
        self.call(Operation::EnqueueRevocation, |connection| Box::pin(connection.revoke_later(&revocation, &sealed, None))).await
    }

    /// Takes one that is due at this provider. Whoever takes it has `lease` to say what came of it.
    ///
    /// # Errors
    /// One may have been taken, and is due again after `lease`.
    pub async fn due_revocation(&self, issuer: &str, client_id: &str, lease: Duration) -> Result<Option<Revocation>, StoreError> {
        let due = self
            .call(Operation::ClaimRevocation, |connection| Box::pin(connection.due_revocation(issuer, client_id, lease)))
            .await?;
        let read = |due: DueRevocation| {
            let token = match rows::open_text(&self.keys, &place("refresh_token", due.grant), &due.sealed) {
                Ok(token) if !due.expired => Token::Known(token),
                Err(StoreError::Sealed(SealError::UnknownKey(_))) if !due.expired => Token::KeyMissing,
                Ok(_) | Err(_) => Token::Dead,
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
                identity: rows::identity_from(&due.identity).unwrap_or_default(),
                reason: due.reason,
            }
        };
        Ok(due.map(read))
    }

    /// Whether its revocation could end a grant of the same person's that is in use: any where a provider keeps one for all, and
    /// where it ends a whole session (Keycloak does), one of that.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn would_hurt(
        &self,
        revocation: &Revocation,
        issuer: &str,
        client_id: &str,
        shared: bool,
    ) -> Result<bool, StoreError> {
        let whose = Whose {
            issuer,
            client_id,
            subject: Some(&revocation.subject),
            provider_session: revocation.provider_session.as_deref(),
        };
        self.call(Operation::WouldEndOthers, |connection| Box::pin(connection.is_in_use(whose, shared))).await
    }

    /// It is over with this one.
    ///
    /// # Errors
    /// It may come again.
    pub async fn forget_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.call(Operation::DeleteRevocation, |connection| Box::pin(connection.forget_revocation(&revocation.id))).await
    }

    /// It is due again after `pause`.
    ///
    /// # Errors
    /// It is due when its lease is over.
    pub async fn put_revocation_off(&self, revocation: &Revocation, pause: Duration) -> Result<(), StoreError> {
        self.call(Operation::PostponeRevocation, |connection| Box::pin(connection.put_revocation_off(&revocation.id, pause)))
            .await
    }
}
