//! Encrypts values that are stored, or that a browser carries: AES-256-GCM under a ring of keys.
//!
//! The first key encrypts and all keys decrypt, so a key can be replaced while values encrypted under the old one stay readable.
//! The additional authenticated data is the context (column and row, or cookie): whoever can write to the database cannot copy
//! one user's encrypted token to another user's row, because there it does not decrypt.

mod key_file;

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use base64::prelude::*;
use zeroize::Zeroizing;

use crate::secret::{hex, random, sha256};

pub use key_file::KeyFileError;

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 4;

/// The keys that encrypt and decrypt.
#[derive(Clone)]
pub struct KeyRing {
    seals: Arc<Key>,
    opens: Arc<[Arc<Key>]>,
}

/// Identifies a key without revealing anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; KEY_ID_LEN]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

struct Key {
    id: KeyId,
    cipher: LessSafeKey,
    /// What further keys are derived from.
    derivation: Prk,
}

/// What the derived keys of one context are told from all others by. It must not change.
const DERIVATION_SALT: &[u8] = b"evergate derived keys";

/// Why a key or an encrypted value was refused. The texts reveal nothing of their content.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum SealError {
    /// No key was given.
    #[error("no key was given")]
    NoKey,
    /// A key is not base64 of 32 bytes.
    #[error("key {0} is not base64 of exactly 32 bytes")]
    BadKey(usize),
    /// The value does not have the format of an encrypted one.
    #[error("the sealed value is malformed")]
    Malformed,
    /// The value is encrypted under a key that is not on the ring.
    #[error("the value was sealed under key {0}, which is not on the ring")]
    UnknownKey(KeyId),
    /// The value was altered, or belongs to another context.
    #[error("the sealed value was altered or belongs to another row")]
    Altered,
}

impl KeyRing {
    /// Parses keys in base64, the encrypting key first.
    ///
    /// # Errors
    /// [`SealError::NoKey`] or [`SealError::BadKey`] with the position, counted from 1.
    pub fn from_base64<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, SealError> {
        let opens = keys
            .into_iter()
            .enumerate()
            .map(|(at, text)| {
                let bytes = BASE64_STANDARD.decode(text).map_err(|_| SealError::BadKey(at + 1))?;
                let cipher = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::BadKey(at + 1))?;
                let mut id = [0; KEY_ID_LEN];
                id.copy_from_slice(
                    sha256(&[b"evergate key id", bytes.as_slice()].concat()).first_chunk().unwrap_or(&[0; KEY_ID_LEN]),
                );
                let derivation = Salt::new(HKDF_SHA256, DERIVATION_SALT).extract(&bytes);
                Ok(Arc::new(Key { id: KeyId(id), cipher: LessSafeKey::new(cipher), derivation }))
            })
            .collect::<Result<Arc<[_]>, SealError>>()?;
        let seals = opens.first().cloned().ok_or(SealError::NoKey)?;
        Ok(Self { seals, opens })
    }

    /// The ring with the keys of another one, which encrypt nothing.
    #[must_use]
    pub fn opening_also(self, other: &Self) -> Self {
        let further = other.opens.iter().filter(|key| !self.has(key.id));
        let opens = self.opens.iter().chain(further).map(Arc::clone).collect();
        Self { opens, ..self }
    }

    /// The key that encrypts.
    pub fn sealing(&self) -> KeyId {
        self.seals.id
    }

    /// Returns all keys, the encrypting one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.opens.iter().map(|key| key.id)
    }

    /// Returns the key that a value is encrypted under; `None` if it does not have the format of an encrypted value.
    pub fn key_of(sealed: &[u8]) -> Option<KeyId> {
        let id = sealed.strip_prefix(&[FORMAT])?.first_chunk()?;
        Some(KeyId(*id))
    }

    /// Whether a key is on the ring.
    pub fn has(&self, key: KeyId) -> bool {
        self.opens.iter().any(|known| known.id == key)
    }

    /// Derives 32 secret bytes for `context` from a key of the ring (HKDF, RFC 5869): the same ones wherever that key is. `None`: it is
    /// not on the ring.
    pub fn derive(&self, from: KeyId, context: &str) -> Option<Zeroizing<[u8; 32]>> {
        let key = self.opens.iter().find(|key| key.id == from)?;
        let mut derived = Zeroizing::new([0; 32]);
        key.derivation.expand(&[context.as_bytes()], HKDF_SHA256).ok()?.fill(derived.as_mut_slice()).ok()?;
        Some(derived)
    }

    /// Encrypts a value of `context` again under the first key.
    ///
    /// # Errors
    /// Those of [`KeyRing::open`].
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal(context, &self.open(context, sealed)?)
    }

    /// Generates a key in the format that [`KeyRing::from_base64`] parses.
    pub fn generate() -> String {
        BASE64_STANDARD.encode(random::<32>())
    }

    /// Encrypts `plain` for `context`.
    ///
    /// # Errors
    /// [`SealError::Altered`] if the cipher fails, which happens only for texts of gigabytes.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = Vec::with_capacity(1 + KEY_ID_LEN + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.seals.id.0);
        sealed.extend_from_slice(&nonce);
        let mut body = plain.to_vec();
        self.seals
            .cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut body)
            .map_err(|_| SealError::Altered)?;
        sealed.append(&mut body);
        Ok(sealed)
    }

    /// Decrypts a value of `context`.
    ///
    /// # Errors
    /// [`SealError::Malformed`], [`SealError::UnknownKey`] or [`SealError::Altered`].
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or(SealError::Malformed)?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID_LEN>().ok_or(SealError::Malformed)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let id = KeyId(*id);
        let key = self.opens.iter().find(|key| key.id == id).ok_or(SealError::UnknownKey(id))?;
        let mut body = body.to_vec();
        let plain = key
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut body)
            .map_err(|_| SealError::Altered)?;
        Ok(plain.to_vec())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.opens.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[&str]) -> KeyRing {
        KeyRing::from_base64(keys.iter().copied()).unwrap()
    }

    #[test]
    fn what_is_sealed_for_one_context_opens_in_no_other() {
        let ring = ring(&[&KeyRing::generate()]);
        let sealed = ring.seal("grants.refresh_token/a", b"token").unwrap();
        assert_eq!(ring.open("grants.refresh_token/a", &sealed).unwrap(), b"token");
        assert_eq!(ring.open("grants.refresh_token/b", &sealed), Err(SealError::Altered));
        assert_eq!(ring.open("grants.access_token/a", &sealed), Err(SealError::Altered));
    }

    #[test]
    fn an_old_key_still_opens_and_a_removed_one_is_named_as_the_cause() {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let sealed = ring(&[&old]).seal("x", b"token").unwrap();
        assert_eq!(ring(&[&new, &old]).open("x", &sealed).unwrap(), b"token");
        let lost = ring(&[&old]).sealing();
        assert_eq!(ring(&[&new]).open("x", &sealed), Err(SealError::UnknownKey(lost)));
        let both = ring(&[&new, &old]);
        let anew = both.reseal("x", &sealed).unwrap();
        assert_eq!(ring(&[&new]).open("x", &anew).unwrap(), b"token");
        assert_eq!(both.ids().collect::<Vec<_>>(), [both.sealing(), lost]);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let ring = ring(&[&KeyRing::generate()]);
        let sealed = ring.seal("x", b"token").unwrap();
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(ring.open("x", &bent).is_err(), "byte {at}");
            assert!(ring.open("x", &sealed[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn the_same_text_never_seals_to_the_same_bytes() {
        let ring = ring(&[&KeyRing::generate()]);
        let all: std::collections::HashSet<_> = (0..1000).map(|_| ring.seal("x", b"same").unwrap()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused_by_its_position() {
        assert_eq!(KeyRing::from_base64([]).unwrap_err(), SealError::NoKey);
        let short = BASE64_STANDARD.encode([0; 31]);
        assert_eq!(KeyRing::from_base64([KeyRing::generate().as_str(), &short]).unwrap_err(), SealError::BadKey(2));
    }
}
