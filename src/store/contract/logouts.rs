//! Logouts at the provider (OpenID Connect Back-Channel Logout) that come before the login that they mean has been saved.

use std::time::Duration;

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    secret::{hex, sha256},
    session::UserName,
    store::{
        SessionFilter, StoreError,
        operation::{Read, Write},
    },
};

/// How long a logout is remembered. Every login that was under way must have come back within this time.
pub const LOGOUT_RETENTION: Duration = Duration::from_secs(15 * 60);

impl Store {
    /// Remembers that the provider has logged somebody out, for logins that are under way.
    ///
    /// # Errors
    /// It may have been remembered; remembering it again does no harm.
    pub async fn remember_logout(&self, filter: SessionFilter<'_>, at: Timestamp) -> Result<(), StoreError> {
        let until = at.plus(LOGOUT_RETENTION);
        // Only of a user's one session may a login that names none be: a user's logout altogether is found by the user.
        let unsaid = (filter.subject.is_some() && filter.provider_session.is_some()).then(|| of_unsaid_session(filter));
        for filter in std::iter::once(filter).chain(unsaid) {
            let name = name(filter);
            self.write(Write::RememberLogout, |connection| Box::pin(connection.remember_logout(name, until))).await?;
        }
        Ok(())
    }

    /// Remembers that the provider has ended a session of users with these names, for logins under way that do not say of which one they come.
    ///
    /// # Errors
    /// As above.
    pub async fn remember_logout_of_unsaid(&self, names: &[UserName], at: Timestamp) -> Result<(), StoreError> {
        let until = at.plus(LOGOUT_RETENTION);
        for name in names.iter().map(unsaid_name) {
            self.write(Write::RememberLogout, |connection| Box::pin(connection.remember_logout(name, until))).await?;
        }
        Ok(())
    }

    /// Whether the provider has logged a user out since `then`, who has these names, by the session at the provider or altogether.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn was_logged_out_since(
        &self,
        filter: SessionFilter<'_>,
        user: &[UserName],
        then: Timestamp,
    ) -> Result<bool, StoreError> {
        let altogether = SessionFilter { provider_session: None, ..filter };
        // One that does not say of which session at the provider it comes may be of any that ended there.
        let session = match filter.provider_session {
            Some(_) => SessionFilter { subject: None, ..filter },
            None => of_unsaid_session(filter),
        };
        let mut names = vec![name(filter), name(altogether), name(session)];
        if filter.provider_session.is_none() {
            names.extend(user.iter().map(unsaid_name));
        }
        let until = self.read(Read::WasLoggedOut, |connection| Box::pin(connection.logout_remembered_until(&names))).await?;
        Ok(until.current()?.is_some_and(|until| until > then.plus(LOGOUT_RETENTION)))
    }
}

/// What stands for a user's logins that do not say of which session at the provider they come: no `sid` is empty.
fn of_unsaid_session(filter: SessionFilter<'_>) -> SessionFilter<'_> {
    SessionFilter { provider_session: Some(""), ..filter }
}

fn unsaid_name(user: &UserName) -> [u8; 32] {
    sha256(format!("{:?}", ("logged out of a session at the provider", hex(&user.0))).as_bytes())
}

fn name(filter: SessionFilter<'_>) -> [u8; 32] {
    let SessionFilter { registration: ClientRegistration { issuer, client_id }, subject, provider_session } = filter;
    sha256(format!("{:?}", ("logged out at the provider", issuer, client_id, subject, provider_session)).as_bytes())
}
