//! Parses, verifies and signs tokens (JWS, RFC 7515). No other module does.
//!
//! A signature is verified over the bytes that were signed, with a key whose type, algorithm and use fit. Claims are not parsed
//! into types here: a caller reads those that it needs, so that a malformed claim that is not needed does no harm. A key of a set
//! that is malformed or of an unknown type is skipped and does not affect the others.

mod algorithm;
mod error;
mod key;
mod object;
mod signing_key;
mod token;

pub use algorithm::Algorithm;
pub use error::JoseError;
pub use key::{DescribedKey, KeySet, UnknownKeyIds};
pub use object::{JsonObject, has_member, raw_members};
pub use signing_key::{PrivateKeyError, SigningError, SigningKey};
pub use token::{SignedToken, VerificationOptions};

#[cfg(test)]
mod tests;
