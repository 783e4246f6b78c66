//! The keys that stored tokens are encrypted with: which are in use, which replicas have them, and the change to a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use super::{Store, StoreError, heartbeat::DEAD_AFTER, operation::Operation, sealing_context};
use crate::{
    grant::GrantId,
    seal::{KeyId, KeyRing, SealError},
};

/// How many grants are checked for keys that are missing.
const CHECKED_GRANTS: i64 = 1000;

/// How many grants have a token that is encrypted with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key: KeyId,
    /// The number of grants.
    pub grants: i64,
    /// Whether this replica has the key.
    pub is_known: bool,
}

/// The result of encrypting some grants with the newest key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Grants that were encrypted anew.
    pub done: u64,
    /// Grants that were renewed or ended meanwhile, and are to be read again: a renewal may leave a token as it was.
    pub changed: u64,
    /// Grants with a token that cannot be decrypted.
    pub unreadable: u64,
    /// The last grant that was read; `None` at the end.
    pub last: Option<GrantId>,
}

/// The tokens of a grant as they are stored.
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
    fn keys(&self) -> impl Iterator<Item = KeyId> {
        let tokens = [Some(&self.access), self.refresh.as_ref(), self.id_token.as_ref()];
        tokens.into_iter().flatten().filter_map(|sealed| KeyRing::key_of(sealed)).collect::<BTreeSet<_>>().into_iter()
    }
}

impl Store {
    /// The ids of this replica's keys, as its heartbeat publishes them.
    pub(super) fn key_names(&self) -> String {
        self.keys.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The key that this replica encrypts with.
    pub fn sealing_key(&self) -> KeyId {
        self.keys.sealing()
    }

    /// Counts by key up to `limit` grants that come after `after`, and returns the last of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn key_usage(&self, after: Option<GrantId>, limit: i64) -> Result<(Vec<KeyUsage>, Option<GrantId>), StoreError> {
        let found = self.call(Operation::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, limit))).await?;
        let mut counts = BTreeMap::new();
        for key in found.iter().flat_map(SealedGrant::keys) {
            *counts.entry(key).or_insert(0) += 1;
        }
        let counts = counts.into_iter().map(|(key, grants)| KeyUsage { key, grants, is_known: self.keys.has(key) });
        Ok((counts.collect(), found.last().map(|sealed| sealed.id)))
    }

    /// Checks which keys this replica is missing, for the log and for [`Store::missing_keys`]. Of very many grants only the first
    /// are read: their ids are random, so that a key of many grants is among them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn check_for_missing_keys(&self) -> Result<(), StoreError> {
        let (counts, _) = self.key_usage(None, CHECKED_GRANTS).await?;
        let missing: Vec<KeyUsage> = counts.into_iter().filter(|under| !under.is_known).collect();
        for under in &missing {
            tracing::error!(
                key = %under.key, grants = under.grants,
                "tokens were sealed under a key that is not among CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS: their users sign in again, \
                 silently where the provider allows it; if the key is not lost, put it back behind the first"
            );
        }
        *self.missing_keys.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        Ok(())
    }

    /// The keys that the last [`Store::check_for_missing_keys`] found missing.
    pub fn missing_keys(&self) -> Vec<KeyUsage> {
        self.missing_keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another live replica has this key, or does not publish its keys.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn others_may_have(&self, key: KeyId) -> Result<bool, StoreError> {
        let others = self
            .call(Operation::KeysOfOthers, |connection| Box::pin(connection.keys_of_others(&self.replica, DEAD_AFTER)))
            .await?;
        let name = key.to_string();
        Ok(others.iter().any(|keys| keys.as_deref().is_none_or(|keys| keys.split(',').any(|known| known == name))))
    }

    /// Reads up to `limit` grants that come after `after`, and encrypts anew those with a token that is not encrypted with the
    /// newest key. Gateways may run meanwhile.
    ///
    /// # Errors
    /// Some may have been encrypted anew; it is safe to begin again anywhere.
    pub async fn reseal(&self, after: Option<GrantId>, limit: i64) -> Result<Resealed, StoreError> {
        let sealing = self.keys.sealing();
        let found = self.call(Operation::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, limit))).await?;
        let mut resealed = Resealed { last: found.last().map(|sealed| sealed.id), ..Resealed::default() };
        for sealed in found.into_iter().filter(|sealed| sealed.keys().any(|key| key != sealing)) {
            let Ok(anew) = self.sealed_anew(&sealed) else {
                resealed.unreadable += 1;
                continue;
            };
            let is_saved =
                self.call(Operation::SaveResealed, |connection| Box::pin(connection.save_resealed(&sealed, &anew))).await?;
            *if is_saved { &mut resealed.done } else { &mut resealed.changed } += 1;
        }
        Ok(resealed)
    }

    fn sealed_anew(&self, sealed: &SealedGrant) -> Result<SealedGrant, SealError> {
        let anew = |column, token: &Vec<u8>| self.keys.reseal(&sealing_context(column, sealed.id), token);
        Ok(SealedGrant {
            id: sealed.id,
            generation: sealed.generation,
            access: anew("access_token", &sealed.access)?,
            refresh: sealed.refresh.as_ref().map(|token| anew("refresh_token", token)).transpose()?,
            id_token: sealed.id_token.as_ref().map(|token| anew("id_token", token)).transpose()?,
        })
    }

    /// Marks the refresh tokens of all grants as possibly used, because the database was restored from a backup. Returns how many
    /// grants were marked.
    ///
    /// # Errors
    /// Some may have been marked; marking them again does no harm.
    pub async fn mark_restored(&self) -> Result<u64, StoreError> {
        let (mut all, mut after) = (0, None);
        loop {
            let (marked, last) =
                self.call(Operation::MarkRestored, |connection| Box::pin(connection.mark_restored(after))).await?;
            all += marked;
            after = last;
            if last.is_none() {
                return Ok(all);
            }
        }
    }
}
