//! What identifies a session in the store.

use crate::secret::{Secret, hex, random_text, sha256};

/// SHA-256 of a session's cookie value; identifies the session in the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionHash(pub [u8; 32]);

impl SessionHash {
    /// Hashes the cookie value `value`.
    pub fn of(value: &str) -> Self {
        Self(sha256(value.as_bytes()))
    }

    /// Generates a new session's cookie value, which is sent once, and the hash that is stored.
    pub fn fresh() -> (Secret, Self) {
        let value = random_text::<32>();
        let hash = Self::of(&value);
        (Secret::new(value), hash)
    }

    /// Returns the beginning of the hash: enough to follow one session through the logs, too little to find it in the store.
    pub fn short(&self) -> String {
        hex(self.0.first_chunk::<4>().unwrap_or(&[0; 4]))
    }
}

impl std::fmt::Debug for SessionHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.short())
    }
}
