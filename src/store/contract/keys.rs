//! The keys that stored tokens are encrypted with: which are in use, which replicas have them, and the change to a new one.

use std::collections::BTreeMap;

use super::Store;
use crate::{
    grant::GrantId,
    seal::{KeyId, KeyRing},
    store::{
        KeyUsage, Resealed, StoreError,
        operation::{Read, Write},
        replica::DEAD_AFTER,
        sealing::{SealedGrant, SealedRevocation},
    },
};

/// How many grants are checked for keys that are missing.
const CHECKED_GRANTS: i64 = 1000;
/// Revocations per batch.
const BATCH: i64 = 100;

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
        let found =
            self.read(Read::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, limit))).await?.current()?;
        let mut counts = BTreeMap::new();
        for key in found.iter().flat_map(SealedGrant::keys) {
            *counts.entry(key).or_insert(0) += 1;
        }
        let counts =
            counts.into_iter().map(|(key, grants)| KeyUsage { key, grants, revocations: 0, is_known: self.keys.has(key) });
        Ok((counts.collect(), found.last().map(|sealed| sealed.id)))
    }

    /// Counts by key the refresh tokens that wait for their revocation.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn key_usage_of_revocations(&self) -> Result<Vec<KeyUsage>, StoreError> {
        let (mut counts, mut after) = (BTreeMap::new(), Vec::new());
        loop {
            let found = self.revocations_after(&after).await?;
            for key in found.iter().filter_map(|sealed| KeyRing::key_of(&sealed.refresh)) {
                *counts.entry(key).or_insert(0) += 1;
            }
            let Some(last) = found.into_iter().last() else { break };
            after = last.id;
        }
        let counts = counts.into_iter();
        Ok(counts.map(|(key, revocations)| KeyUsage { key, grants: 0, revocations, is_known: self.keys.has(key) }).collect())
    }

    async fn revocations_after(&self, after: &[u8]) -> Result<Vec<SealedRevocation>, StoreError> {
        self.read(Read::SealedRevocations, |connection| Box::pin(connection.sealed_revocations(after, BATCH))).await?.current()
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
        self.metrics.encryption_keys_missing(missing.len());
        *self.missing_keys.lock() = missing;
        Ok(())
    }

    /// The keys that the last [`Store::check_for_missing_keys`] found missing.
    pub fn missing_keys(&self) -> Vec<KeyUsage> {
        self.missing_keys.lock().clone()
    }

    /// Whether another live replica has this key, or does not publish its keys.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn others_may_have(&self, key: KeyId) -> Result<bool, StoreError> {
        Ok(self.others_that_may_have(key).await?.contains(&true))
    }

    /// How many other live replicas lack this key, so that they cannot read what is encrypted with it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn others_that_lack(&self, key: KeyId) -> Result<usize, StoreError> {
        Ok(self.others_that_may_have(key).await?.iter().filter(|has_it| !**has_it).count())
    }

    /// Of each other live replica whether it has this key, or does not publish its keys.
    async fn others_that_may_have(&self, key: KeyId) -> Result<Vec<bool>, StoreError> {
        let others = self
            .read(Read::KeysOfOthers, |connection| Box::pin(connection.keys_of_others(&self.replica, DEAD_AFTER)))
            .await?
            .current()?;
        let name = key.to_string();
        let may_have = |keys: &Option<String>| keys.as_deref().is_none_or(|keys| keys.split(',').any(|known| known == name));
        Ok(others.iter().map(may_have).collect())
    }

    /// Reads up to `limit` grants that come after `after`, and encrypts anew those with a token that is not encrypted with the
    /// newest key. Gateways may run meanwhile.
    ///
    /// # Errors
    /// Some may have been encrypted anew; it is safe to begin again anywhere.
    pub async fn reseal(&self, after: Option<GrantId>, limit: i64) -> Result<Resealed, StoreError> {
        let sealing = self.keys.sealing();
        let found =
            self.read(Read::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, limit))).await?.current()?;
        let mut resealed = Resealed { last: found.last().map(|sealed| sealed.id), ..Resealed::default() };
        for sealed in found.into_iter().filter(|sealed| sealed.keys().any(|key| key != sealing)) {
            let Ok(anew) = sealed.reseal(&self.keys) else {
                resealed.unreadable += 1;
                continue;
            };
            let is_saved =
                self.write(Write::SaveResealed, |connection| Box::pin(connection.save_resealed(&sealed, &anew))).await?;
            *if is_saved { &mut resealed.done } else { &mut resealed.changed } += 1;
        }
        Ok(resealed)
    }

    /// Encrypts anew the refresh tokens that wait for their revocation and are not encrypted with the newest key. Gateways may run
    /// meanwhile.
    ///
    /// # Errors
    /// Some may have been encrypted anew; it is safe to begin again.
    pub async fn reseal_revocations(&self) -> Result<Resealed, StoreError> {
        let (mut resealed, mut after) = (Resealed::default(), Vec::new());
        loop {
            let found = self.revocations_after(&after).await?;
            let Some(last) = found.last() else { return Ok(resealed) };
            after.clone_from(&last.id);
            for sealed in found.iter().filter(|sealed| KeyRing::key_of(&sealed.refresh) != Some(self.keys.sealing())) {
                let Ok(anew) = sealed.reseal(&self.keys) else {
                    resealed.unreadable += 1;
                    continue;
                };
                let save = self.write(Write::SaveResealedRevocation, |connection| {
                    Box::pin(connection.save_resealed_revocation(&sealed.id, &anew))
                });
                save.await?;
                resealed.done += 1;
            }
        }
    }

    /// Marks the refresh tokens of all grants as possibly used, because the database was restored from a backup. Returns how many
    /// grants were marked.
    ///
    /// # Errors
    /// Some may have been marked; marking them again does no harm.
    pub async fn mark_restored(&self) -> Result<u64, StoreError> {
        let (mut all, mut after) = (0, None);
        loop {
            let (marked, last) = self.write(Write::MarkRestored, |connection| Box::pin(connection.mark_restored(after))).await?;
            all += marked;
            after = last;
            if last.is_none() {
                return Ok(all);
            }
        }
    }
}
