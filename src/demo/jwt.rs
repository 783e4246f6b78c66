//! Signed tokens (ES256), for the demonstration's provider and the tests' one.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::*;
use serde_json::{Value, json};

/// A key that signs, and the name that it goes by.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn generate(id: &str) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { id: id.to_owned(), pair })
    }

    /// Its public half as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // An uncompressed point: the byte 4, then both coordinates.
        let coordinate = |from: usize| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": coordinate(1), "y": coordinate(33)})
    }

    /// `claims` as a signed token (RFC 7515).
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        self.sign_with_header(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims)
    }

    /// The same under a header of the caller's choice.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> anyhow::Result<String> {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}
