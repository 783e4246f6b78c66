//! Which keys the tokens in the store were sealed under, who has them, and the way from one to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use super::{Store, StoreError, heartbeat::DEAD_AFTER, operation::Operation, place};
use crate::{
    grant::GrantId,
    seal::{KeyId, KeyRing, SealError},
};

/// So many grants are looked at for keys that are missing.
const LOOKED_AT: i64 = 1000;

/// How many grants were sealed under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedUnder {
    /// The key.
    pub key: KeyId,
    /// So many.
    pub grants: i64,
    /// Whether it is on our ring.
    pub is_known: bool,
}

/// What came of sealing some grants anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// They are sealed under the sealing key now.
    pub done: u64,
    /// They were renewed or ended meanwhile, and are to be looked at again: a renewal may leave a token as it was.
    pub changed: u64,
    /// They cannot be opened.
    pub unreadable: u64,
    /// The last that was looked at; nothing at the end.
    pub last: Option<GrantId>,
}

/// The tokens of a grant as they are stored, to be sealed anew.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) id: GrantId,
    pub(super) generation: i64,
    pub(super) access: Vec<u8>,
    pub(super) refresh: Option<Vec<u8>>,
    pub(super) id_token: Option<Vec<u8>>,
}

impl Sealed {
    /// The keys of its tokens, each once.
    fn keys(&self) -> impl Iterator<Item = KeyId> {
        let tokens = [Some(&self.access), self.refresh.as_ref(), self.id_token.as_ref()];
        tokens.into_iter().flatten().filter_map(|sealed| KeyRing::key_of(sealed)).collect::<BTreeSet<_>>().into_iter()
    }
}

impl Store {
    /// The names of our keys, as the heartbeat tells them.
    pub(super) fn key_names(&self) -> String {
        self.keys.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    }

    /// The key that seals here.
    pub fn sealing_key(&self) -> KeyId {
        self.keys.sealing()
    }

    /// How many of up to `most` grants behind `after` have a token that was sealed under which key, and the last of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn sealed_under(
        &self,
        after: Option<GrantId>,
        most: i64,
    ) -> Result<(Vec<SealedUnder>, Option<GrantId>), StoreError> {
        let found = self.call(Operation::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, most))).await?;
        let mut counts = BTreeMap::new();
        for key in found.iter().flat_map(Sealed::keys) {
            *counts.entry(key).or_insert(0) += 1;
        }
        let counts = counts.into_iter().map(|(key, grants)| SealedUnder { key, grants, is_known: self.keys.has(key) });
        Ok((counts.collect(), found.last().map(|sealed| sealed.id)))
    }

    /// Looks which keys are missing here, and says so in the log and to whoever asks [`Store::missing_keys`]. Only the first of
    /// very many grants are looked at: their names are chance, so that a key of many is among them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn look_for_missing_keys(&self) -> Result<(), StoreError> {
        let (counts, _) = self.sealed_under(None, LOOKED_AT).await?;
        let missing: Vec<SealedUnder> = counts.into_iter().filter(|under| !under.is_known).collect();
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

    /// The keys that were missing when it was last looked.
    pub fn missing_keys(&self) -> Vec<SealedUnder> {
        self.missing_keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether another replica that lives has this key, or does not say which it has.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::TimedOut`].
    pub async fn others_may_have(&self, key: KeyId) -> Result<bool, StoreError> {
        let others = self
            .call(Operation::KeysOfOthers, |connection| Box::pin(connection.keys_of_others(self.replica(), DEAD_AFTER)))
            .await?;
        let name = key.to_string();
        Ok(others.iter().any(|keys| keys.as_deref().is_none_or(|keys| keys.split(',').any(|known| known == name))))
    }

    /// Looks at up to `most` grants behind `after`, and seals those anew of which a token is not sealed under the sealing key.
    /// Gateways may run meanwhile.
    ///
    /// # Errors
    /// Some may have been sealed anew; it is safe to begin again anywhere.
    pub async fn reseal(&self, after: Option<GrantId>, most: i64) -> Result<Resealed, StoreError> {
        let sealing = self.keys.sealing();
        let found = self.call(Operation::SealedTokens, |connection| Box::pin(connection.sealed_tokens(after, most))).await?;
        let mut resealed = Resealed { last: found.last().map(|sealed| sealed.id), ..Resealed::default() };
        for sealed in found.into_iter().filter(|sealed| sealed.keys().any(|key| key != sealing)) {
            let Ok(anew) = self.sealed_anew(&sealed) else {
                resealed.unreadable += 1;
                continue;
            };
            let kept =
                self.call(Operation::SaveResealed, |connection| Box::pin(connection.keep_resealed(&sealed, &anew))).await?;
            *if kept { &mut resealed.done } else { &mut resealed.changed } += 1;
        }
        Ok(resealed)
    }

    fn sealed_anew(&self, sealed: &Sealed) -> Result<Sealed, SealError> {
        let anew = |column, token: &Vec<u8>| self.keys.reseal(&place(column, sealed.id), token);
        Ok(Sealed {
            id: sealed.id,
            generation: sealed.generation,
            access: anew("access_token", &sealed.access)?,
            refresh: sealed.refresh.as_ref().map(|token| anew("refresh_token", token)).transpose()?,
            id_token: sealed.id_token.as_ref().map(|token| anew("id_token", token)).transpose()?,
        })
    }

    /// Marks all grants as of unknown fate, because the store was restored from a backup: their refresh tokens may have been
    /// used since. Returns how many.
    ///
    /// # Errors
    /// Some may have been marked; marking them again does no harm.
    pub async fn mark_restored(&self) -> Result<u64, StoreError> {
        self.call(Operation::MarkRestored, |connection| Box::pin(connection.mark_restored())).await
    }
}
