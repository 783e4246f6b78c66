//! Tokens as they are stored: encrypted, and bound to their column and row, so that none can be moved to another.

use std::collections::BTreeSet;

use super::{error::StoreError, records::Tokens};
use crate::{
    grant::GrantId,
    seal::{KeyId, KeyRing, SealError},
    secret::Secret,
};

/// The tokens of a grant, encrypted.
#[derive(Debug)]
pub(super) struct SealedTokens {
    pub(super) access: Vec<u8>,
    pub(super) refresh: Option<Vec<u8>>,
    pub(super) id: Option<Vec<u8>>,
}

impl SealedTokens {
    pub(super) fn seal(keys: &KeyRing, id: GrantId, tokens: &Tokens) -> Result<Self, SealError> {
        Ok(Self {
            access: seal(keys, "access_token", id, &tokens.access)?,
            refresh: tokens.refresh.as_ref().map(|token| seal(keys, "refresh_token", id, token)).transpose()?,
            id: tokens.id.as_ref().map(|token| seal(keys, "id_token", id, token)).transpose()?,
        })
    }
}

/// All tokens of a grant as they are stored, to be encrypted anew.
#[derive(Debug)]
pub(super) struct SealedGrant {
    pub(super) id: GrantId,
    pub(super) generation: i64,
    pub(super) access: Vec<u8>,
    pub(super) refresh: Option<Vec<u8>>,
    pub(super) id_token: Option<Vec<u8>>,
}

impl SealedGrant {
    /// The keys of the tokens, each once.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyId> {
        let tokens = [Some(&self.access), self.refresh.as_ref(), self.id_token.as_ref()];
        tokens.into_iter().flatten().filter_map(|sealed| KeyRing::key_of(sealed)).collect::<BTreeSet<_>>().into_iter()
    }

    /// The same tokens, encrypted with the newest key.
    ///
    /// # Errors
    /// A token cannot be decrypted.
    pub(super) fn reseal(&self, keys: &KeyRing) -> Result<Self, SealError> {
        let anew = |column, token: &Vec<u8>| keys.reseal(&context(column, self.id), token);
        Ok(Self {
            id: self.id,
            generation: self.generation,
            access: anew("access_token", &self.access)?,
            refresh: self.refresh.as_ref().map(|token| anew("refresh_token", token)).transpose()?,
            id_token: self.id_token.as_ref().map(|token| anew("id_token", token)).transpose()?,
        })
    }
}

/// A refresh token that waits for its revocation, as it is stored: bound to the grant that it was of.
#[derive(Debug)]
pub(super) struct SealedRevocation {
    pub(super) id: Vec<u8>,
    pub(super) grant: GrantId,
    pub(super) refresh: Vec<u8>,
}

impl SealedRevocation {
    /// The same token, encrypted with the newest key.
    ///
    /// # Errors
    /// It cannot be decrypted.
    pub(super) fn reseal(&self, keys: &KeyRing) -> Result<Vec<u8>, SealError> {
        keys.reseal(&context("refresh_token", self.grant), &self.refresh)
    }
}

/// Encrypts a token for a column of a grant's row.
pub(super) fn seal(keys: &KeyRing, column: &str, id: GrantId, token: &Secret) -> Result<Vec<u8>, SealError> {
    keys.seal(&context(column, id), token.expose().as_bytes())
}

/// Decrypts a token of a column of a grant's row.
pub(super) fn open(keys: &KeyRing, column: &str, id: GrantId, sealed: &[u8]) -> Result<Secret, StoreError> {
    let plain = keys.open(&context(column, id), sealed)?;
    String::from_utf8(plain).map(Secret::new).map_err(|_| StoreError::Malformed("token"))
}

/// The associated data that binds an encrypted token to its column and row.
fn context(column: &str, id: GrantId) -> String {
    format!("grants.{column}/{id}")
}
