//! Signed tokens (JWS, RFC 7515): the one place that parses them and checks their signatures.
//!
//! A signature is checked over the bytes that were signed, with a key whose type, algorithm and use fit. Of the claims
//! nothing is parsed into a type here: whoever needs one reads it on its own, so that a claim that nobody needs decides
//! nothing. A key of a set that is broken or of a kind that is not known is skipped; it takes nothing from the others.

mod algorithm;
mod key;
mod object;
mod token;

pub use algorithm::Algorithm;
pub use key::{KeySet, Names};
pub use object::{Object, object};
pub use token::{Accepted, Token};

/// Why a token is not accepted, or a key set not read. The texts are for the log and hold nothing of the token but names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// There are not three parts in base64url with a JSON object for a header.
    #[error("it is not a signed JWT")]
    Malformed,
    /// There are five parts.
    #[error("it is encrypted, which is not supported; have the provider sign it only")]
    Encrypted,
    /// Its header has `crit` (RFC 7515 section 4.1.11).
    #[error("it demands an extension (crit)")]
    Extension,
    /// Its algorithm is unknown, or may not be used here.
    #[error("its algorithm {0} is not accepted")]
    Algorithm(String),
    /// No key of the set fits. The provider may have newer ones.
    #[error("no key of the provider fits it ({algorithm}, key id {})", .id.as_deref().unwrap_or("not named"))]
    NoKey {
        /// Its `alg`.
        algorithm: &'static str,
        /// Its `kid`.
        id: Option<String>,
    },
    /// The only keys that fit are too short to be worth anything.
    #[error("it is signed with an RSA key of {0} bits; fewer than 2048 are not accepted")]
    WeakKey(usize),
    /// No key that fits has signed it. The provider may have newer ones.
    #[error("its signature is by none of the {0} keys that fit it")]
    BadSignature(usize),
    /// It is signed with a shared secret, and with none of ours that is long enough.
    #[error("its signature is by none of the {0} client secrets that are long enough for it")]
    Secret(usize),
    /// What was signed is no JSON object.
    #[error("its payload is not a JSON object")]
    Payload,
    /// The document that should hold keys does not.
    #[error("it is not a JSON object with a list of keys")]
    KeySet,
}

impl JoseError {
    /// Whether newer keys of the provider could change the verdict.
    pub fn may_need_newer_keys(&self) -> bool {
        match self {
            Self::NoKey { .. } | Self::BadSignature(_) | Self::WeakKey(_) => true,
            Self::Malformed
            | Self::Encrypted
            | Self::Extension
            | Self::Algorithm(_)
            | Self::Secret(_)
            | Self::Payload
            | Self::KeySet => false,
        }
    }
}

#[cfg(test)]
mod tests;
