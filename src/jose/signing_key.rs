//! A key that signs tokens (ES256), with its public half as a JSON Web Key.

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::*;
use serde_json::{Value, json};

/// A private key on P-256, and its identifier (`kid`).
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

/// The cryptographic library failed to generate a key or to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct SigningError;

impl From<Unspecified> for SigningError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

impl SigningKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn generate(id: &str) -> Result<Self, SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { id: id.to_owned(), pair })
    }

    /// The public half as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // An uncompressed point is the byte 4 and both coordinates.
        let coordinate = |from: usize| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": coordinate(1), "y": coordinate(33)})
    }

    /// Signs `claims` as a token in the compact form (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(&self, claims: &Value) -> Result<String, SigningError> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.id});
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, KeySet, SignedToken, UnknownKeyIds, VerificationOptions};

    #[test]
    fn a_signed_token_is_verified_with_the_public_half_and_with_no_other_key() {
        let (key, other) = (SigningKey::generate("a").unwrap(), SigningKey::generate("a").unwrap());
        let token = key.sign(&json!({"sub": "ann"})).unwrap();
        let verified = |key: &SigningKey| {
            let keys = KeySet::parse(json!({"keys": [key.jwk()]}).to_string().as_bytes()).unwrap();
            let options = VerificationOptions {
                algorithms: &[Algorithm::Es256],
                keys: &keys,
                key_issuer: None,
                unknown_key_ids: UnknownKeyIds::Reject,
                secrets: &[],
            };
            SignedToken::parse(&token).unwrap().verify(options).is_ok_and(|(claims, _)| claims.members.contains_key("sub"))
        };
        assert!(verified(&key) && !verified(&other));
    }
}
