//! Logouts at the provider (OpenID Connect Back-Channel Logout) that come before the login that they mean has been saved.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    secret::sha256,
    store::{SessionFilter, StoreError, operation::Operation},
};

/// How long a logout is remembered. Every login that was under way must have come back within this time.
pub const LOGOUT_RETENTION: Duration = Duration::from_secs(15 * 60);

impl Store {
    /// Remembers that the provider has logged somebody out, for logins that are under way.
    ///
    /// # Errors
    /// It may have been remembered; remembering it again does no harm.
    pub async fn remember_logout(&self, filter: SessionFilter<'_>, at: Timestamp) -> Result<(), StoreError> {
        let (name, until) = (name(filter), at.plus(LOGOUT_RETENTION));
        self.call(Operation::RememberLogout, |connection| Box::pin(connection.remember_logout(name, until))).await
    }

    /// Whether the provider has logged a user out since `then`, by the session at the provider or altogether.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn was_logged_out_since(&self, filter: SessionFilter<'_>, then: Timestamp) -> Result<bool, StoreError> {
        let user = SessionFilter { provider_session: None, ..filter };
        let session = SessionFilter { subject: None, ..filter };
        let names = [name(filter), name(user), name(if filter.provider_session.is_some() { session } else { user })];
        let until = self.call(Operation::WasLoggedOut, |connection| Box::pin(connection.logout_remembered_until(names))).await?;
        Ok(until.is_some_and(|until| until > then.plus(LOGOUT_RETENTION)))
    }
}

fn name(filter: SessionFilter<'_>) -> [u8; 32] {
    let SessionFilter { registration: ClientRegistration { issuer, client_id }, subject, provider_session } = filter;
    sha256(format!("{:?}", ("logged out at the provider", issuer, client_id, subject, provider_session)).as_bytes())
}
