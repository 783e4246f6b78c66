//! Ends that concern what is not there yet, or not any more: logouts at the provider that come before the login that they mean,
//! and sessions that another login of the same browser's followed.

use std::time::Duration;

use super::{Store, StoreError, Whose, operation::Operation};
use crate::{
    clock::Timestamp,
    secret::sha256,
    session::{Session, SessionHash},
};

/// For so long, in which every login that was under way must have come back.
pub const REMEMBERED: Duration = Duration::from_secs(15 * 60);

impl Store {
    /// Remembers that the provider has logged somebody out, for logins that are under way.
    ///
    /// # Errors
    /// It may have been remembered; remembering it again does no harm.
    pub async fn remember_logout(&self, whose: Whose<'_>, at: Timestamp) -> Result<(), StoreError> {
        self.call(Operation::RememberLogout, |connection| Box::pin(connection.remember(name(whose), at.plus(REMEMBERED)))).await
    }

    /// Whether the provider has logged somebody out since `then`, by their session there or altogether.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn was_logged_out_since(&self, whose: Whose<'_>, then: Timestamp) -> Result<bool, StoreError> {
        let person = Whose { provider_session: None, ..whose };
        let session = Whose { subject: None, ..whose };
        let names = [name(whose), name(person), name(if whose.provider_session.is_some() { session } else { person })];
        let until = self.call(Operation::WasLoggedOut, |connection| Box::pin(connection.remembered_until(names))).await?;
        Ok(until.is_some_and(|until| until > then.plus(REMEMBERED)))
    }

    /// The session that took the place of this one when its user logged in again in the same browser.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn successor(&self, hash: SessionHash) -> Result<Option<Session>, StoreError> {
        self.call(Operation::Successor, |connection| Box::pin(connection.successor(hash))).await
    }
}

fn name(whose: Whose<'_>) -> [u8; 32] {
    let Whose { issuer, client_id, subject, provider_session } = whose;
    sha256(format!("{:?}", ("logged out at the provider", issuer, client_id, subject, provider_session)).as_bytes())
}
