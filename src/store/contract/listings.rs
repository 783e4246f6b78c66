//! Sessions as they are listed: those of one user, and as an administrator sees them, all of them, a page at a time, or those that a name
//! finds. Administrators are told them even if they are old.

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    grant::GrantId,
    reading::Reading,
    store::{
        ListPosition, ListedSession, NameKind, SeenPosition, SessionKind, StoreError, operation::Read, statements::PrefixRange,
    },
};

impl Store {
    /// A part of the sessions and personal access tokens of a provider's user whose grants live or are in their remaining use, those that
    /// were used last first, and where the next part begins.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn sessions_of_user(
        &self,
        registration: ClientRegistration<'_>,
        subject: &str,
        of_kind: SessionKind,
        after: SeenPosition,
    ) -> Result<Reading<(Vec<ListedSession>, Option<SeenPosition>)>, StoreError> {
        self.read(Read::SessionsOfUser, |connection| Box::pin(connection.sessions_of_user(registration, subject, of_kind, after)))
            .await
    }

    /// Lists a page of all sessions with their grants, the last login first, and says where the next page begins.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn list_sessions(&self, after: ListPosition) -> Result<(Vec<ListedSession>, Option<ListPosition>), StoreError> {
        self.read(Read::ListSessions, |connection| Box::pin(connection.list_sessions(after))).await.map(Reading::even_if_old)
    }

    /// Finds the sessions of grants whose subject may be `name`, or whose user name or e-mail address in whichever case (ASCII), the last
    /// login first. Whoever calls compares the names: one that is escaped in JSON is compared up to the first quotation mark.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sessions_named(&self, name: &str) -> Result<Vec<ListedSession>, StoreError> {
        self.read(Read::SessionsNamed, |connection| Box::pin(connection.sessions_named(name))).await.map(Reading::even_if_old)
    }

    /// Finds the sessions of a hundred grants whose user name or e-mail address begins so, in whichever case, in the order of these names,
    /// each with the name by which it was found, and the last of these grants if there may be more. `from`: from this grant of this name
    /// on, itself included. Whoever calls compares the names, as of [`Store::sessions_named`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sessions_beginning(
        &self,
        beginning: &str,
        by: NameKind,
        from: Option<(&str, GrantId)>,
    ) -> Result<(Vec<(ListedSession, String)>, Option<(String, GrantId)>), StoreError> {
        self.read(Read::SessionsBeginning, |connection| Box::pin(connection.sessions_beginning(beginning, by, from)))
            .await
            .map(Reading::even_if_old)
    }

    /// Finds the sessions whose hash, or whose grant's id, begins with these lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn sessions_by_prefix(&self, prefix: &str) -> Result<Vec<ListedSession>, StoreError> {
        let Some(range) = PrefixRange::of(prefix) else { return Ok(Vec::new()) };
        self.read(Read::SessionsByPrefix, |connection| Box::pin(connection.sessions_by_prefix(&range)))
            .await
            .map(Reading::even_if_old)
    }
}
