//! Personal access tokens.

use super::Store;
use crate::{
    client_registration::ClientRegistration,
    reading::Reading,
    store::{
        NewToken, OwnToken, StoreError, TokenSaved,
        operation::{Read, Write},
    },
};

impl Store {
    /// Saves a personal access token with the grant of the session that it is made from.
    ///
    /// # Errors
    /// Nothing was saved, unless the error is [`StoreError::Commit`] or [`StoreError::TimedOut`].
    pub async fn save_token(&self, new: &NewToken<'_>) -> Result<TokenSaved, StoreError> {
        self.write(Write::SaveToken, |connection| Box::pin(connection.save_token(new))).await
    }

    /// The personal access tokens of a user, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`], [`StoreError::Malformed`].
    pub async fn tokens_of(&self, registration: ClientRegistration<'_>, subject: &str) -> Result<Vec<OwnToken>, StoreError> {
        self.read(Read::TokensOf, |connection| Box::pin(connection.tokens_of(registration, subject)))
            .await
            .map(Reading::even_if_old)
    }
}
