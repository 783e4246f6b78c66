//! A key that signs tokens: a private key, generated or out of a PEM file, or a secret.

use aws_lc_rs::{
    error::Unspecified,
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::*;
use serde_json::{Map, Value, json};

use super::Algorithm;
use crate::secret::Secret;

/// A key that signs, with what the header of its tokens says of it.
#[derive(Debug)]
pub struct SigningKey {
    header: Map<String, Value>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    P256(EcdsaKeyPair),
    Secret(Box<hmac::Key>),
}

/// A token cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Failed,
    /// The key is of another type than the algorithm's.
    #[error("the key cannot sign with {}", .0.name())]
    Algorithm(Algorithm),
}

impl From<Unspecified> for SigningError {
    fn from(_: Unspecified) -> Self {
        Self::Failed
    }
}

impl SigningKey {
    /// Generates a key for ES256, with this identifier (`kid`).
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn generate(id: &str) -> Result<Self, SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self { header: Map::new(), material: Material::P256(pair) }.with_header("kid", id))
    }

    /// A secret for HS256.
    pub fn from_secret(secret: &Secret) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Self { header: Map::new(), material: Material::Secret(Box::new(key)) }
    }

    /// Adds a member to the header of every token that the key signs.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// The public half of a generated key as a JSON Web Key (RFC 7517). A secret has none.
    pub fn jwk(&self) -> Option<Value> {
        let Material::P256(pair) = &self.material else { return None };
        let point = pair.public_key().as_ref();
        // An uncompressed point is the byte 4 and both coordinates.
        let coordinate = |from: usize| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        let kid = self.header.get("kid");
        Some(
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": coordinate(1), "y": coordinate(33)}),
        )
    }

    /// Signs `claims` as a token in the compact form (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String, SigningError> {
        let mut header = self.header.clone();
        header.extend([("alg".to_owned(), algorithm.name().into()), ("typ".to_owned(), "JWT".into())]);
        let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(Value::Object(header).to_string()), encode(claims.to_string()));
        let signature = self.signature(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        match (&self.material, algorithm) {
            (Material::P256(pair), Algorithm::Es256) => Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            (Material::Secret(key), Algorithm::Hs256) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            (Material::P256(_) | Material::Secret(_), _) => Err(SigningError::Algorithm(algorithm)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{KeySet, SignedToken, UnknownKeyIds, VerificationOptions};

    #[test]
    fn a_signed_token_is_verified_with_the_public_half_and_with_no_other_key() {
        let (key, other) = (SigningKey::generate("a").unwrap(), SigningKey::generate("a").unwrap());
        let token = key.sign(Algorithm::Es256, &json!({"sub": "ann"})).unwrap();
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
        assert_eq!(key.sign(Algorithm::Hs256, &json!({})), Err(SigningError::Algorithm(Algorithm::Hs256)));
    }

    #[test]
    fn a_token_signed_with_a_secret_is_verified_with_that_secret_alone() {
        let secret = |text: &str| Secret::new(text.repeat(32));
        let token = SigningKey::from_secret(&secret("a")).sign(Algorithm::Hs256, &json!({"sub": "ann"})).unwrap();
        let verified = |secret: &Secret| {
            let options = VerificationOptions {
                algorithms: &[Algorithm::Hs256],
                keys: &KeySet::default(),
                key_issuer: None,
                unknown_key_ids: UnknownKeyIds::Reject,
                secrets: &[secret],
            };
            SignedToken::parse(&token).unwrap().verify(options).is_ok()
        };
        assert!(verified(&secret("a")) && !verified(&secret("b")));
    }
}
