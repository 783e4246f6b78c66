//! A key that signs tokens: a private key, generated or out of a PEM file, or a secret.

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    encoding::{AsDer, PublicKeyX509Der},
    error::Unspecified,
    hmac,
    rand::SystemRandom,
    rsa::KeyPair as RsaKeyPair,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::*;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Map, Value, json};

use super::Algorithm;
use crate::secret::{Secret, sha256};

/// A key that signs, with what the header of its tokens says of it.
#[derive(Debug)]
pub struct SigningKey {
    header: Map<String, Value>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
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

/// A file holds no private key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// The file holds no private key in PEM, or only an encrypted one.
    #[error("it holds no private key in PEM that is not encrypted")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The key is of a type that is not supported.
    #[error("it is neither an RSA key of 2048 to 8192 bits nor an EC key on P-256 or P-384")]
    Unsupported,
}

impl SigningKey {
    fn new(material: Material) -> Self {
        Self { header: Map::new(), material }
    }

    /// Generates a key for ES256, with this identifier (`kid`).
    ///
    /// # Errors
    /// [`SigningError`].
    pub fn generate(id: &str) -> Result<Self, SigningError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self::new(Material::P256(pair)).with_header("kid", id))
    }

    /// The key pair for ES256 whose private key is `scalar`. Its identifier is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`SigningError::Failed`]: the number is zero or larger than the curve's order, as one in 2³² is.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, SigningError> {
        let failed = |_| SigningError::Failed;
        let public = PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(failed)?.compute_public_key()?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, public.as_ref());
        let pair = pair.map_err(failed)?;
        let [x, y] = coordinates(&pair);
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()));
        Ok(Self::new(Material::P256(pair)).with_header("kid", &thumbprint))
    }

    /// A secret for HS256.
    pub fn from_secret(secret: &Secret) -> Self {
        Self::new(Material::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()))))
    }

    /// The first private key of a PEM file: PKCS #1 (RSA), PKCS #8 (RSA or EC) or SEC 1 (EC).
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, PrivateKeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(PrivateKeyError::Pem)?;
        let rsa = if let PrivateKeyDer::Pkcs1(key) = &der {
            RsaKeyPair::from_der(key.secret_pkcs1_der()).ok()
        } else if let PrivateKeyDer::Pkcs8(key) = &der {
            RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()
        } else {
            None
        };
        let ec = |algorithm| {
            if let PrivateKeyDer::Sec1(key) = &der {
                EcdsaKeyPair::from_private_key_der(algorithm, key.secret_sec1_der()).ok()
            } else if let PrivateKeyDer::Pkcs8(key) = &der {
                EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der()).ok()
            } else {
                None
            }
        };
        let material = rsa
            .map(|pair| Material::Rsa(Box::new(pair)))
            .or_else(|| ec(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Material::P256))
            .or_else(|| ec(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Material::P384));
        material.map(Self::new).ok_or(PrivateKeyError::Unsupported)
    }

    /// Adds a member to the header of every token that the key signs.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// The algorithms that the key can sign with, the most usual one first.
    pub fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{Es256, Es384, Hs256, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match &self.material {
            Material::Rsa(_) => &[Rs256, Ps256, Rs384, Rs512, Ps384, Ps512],
            Material::P256(_) => &[Es256],
            Material::P384(_) => &[Es384],
            Material::Secret(_) => &[Hs256],
        }
    }

    /// The public half as a SubjectPublicKeyInfo (RFC 5280 section 4.1). A secret has none.
    pub fn public_key_der(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match &self.material {
            Material::Rsa(pair) => pair.public_key().as_der().ok()?,
            Material::P256(pair) | Material::P384(pair) => pair.public_key().as_der().ok()?,
            Material::Secret(_) => return None,
        };
        Some(der.as_ref().to_vec())
    }

    /// The public half of a key on P-256 as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Option<Value> {
        let Material::P256(pair) = &self.material else { return None };
        let [x, y] = coordinates(pair);
        let kid = self.header.get("kid");
        Some(json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y}))
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
            (Material::P256(pair), Algorithm::Es256) | (Material::P384(pair), Algorithm::Es384) => {
                Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec())
            }
            (Material::Secret(key), Algorithm::Hs256) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            (Material::Rsa(pair), _) => {
                let rsa = algorithm.rsa().ok_or(SigningError::Algorithm(algorithm))?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa.signing, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            (Material::P256(_) | Material::P384(_) | Material::Secret(_), _) => Err(SigningError::Algorithm(algorithm)),
        }
    }
}

/// Both coordinates of a pair's public point, as a JSON Web Key has them.
fn coordinates(pair: &EcdsaKeyPair) -> [String; 2] {
    // An uncompressed point is the byte 4 and both.
    let point = pair.public_key().as_ref();
    [1, 33].map(|from| BASE64_URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::Ed25519KeyPair;

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
    fn a_number_is_one_key_pair_with_one_name() {
        let key = |scalar: [u8; 32]| SigningKey::from_scalar(&scalar);
        let one = key([1; 32]).unwrap().jwk().unwrap();
        assert_eq!(key([1; 32]).unwrap().jwk().unwrap(), one);
        assert_ne!(key([2; 32]).unwrap().jwk().unwrap()["kid"], one["kid"]);
        assert_eq!(one["kid"].as_str().unwrap().len(), 43);
        for none in [[0; 32], [0xff; 32]] {
            assert_eq!(key(none).err(), Some(SigningError::Failed));
        }
        let token = key([1; 32]).unwrap().sign(Algorithm::Es256, &json!({"sub": "ann"})).unwrap();
        let keys = KeySet::parse(json!({"keys": [one]}).to_string().as_bytes()).unwrap();
        let options = VerificationOptions {
            algorithms: &[Algorithm::Es256],
            keys: &keys,
            key_issuer: None,
            unknown_key_ids: UnknownKeyIds::Reject,
            secrets: &[],
        };
        assert!(SignedToken::parse(&token).unwrap().verify(options).is_ok());
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

    /// A PEM document of these bytes.
    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    }

    #[test]
    fn private_keys_are_read_in_every_usual_form_of_pem() {
        use aws_lc_rs::{
            encoding::{EcPrivateKeyRfc5915Der, Pkcs8V1Der},
            rsa::KeySize,
        };
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        // What PKCS #8 wraps is PKCS #1: behind the outer header, the version, the algorithm and the header of the octets.
        let pkcs1 = &rsa.as_ref()[26..];
        let mut cases =
            vec![(pem("RSA PRIVATE KEY", pkcs1), Algorithm::Rs256), (pem("PRIVATE KEY", rsa.as_ref()), Algorithm::Rs256)];
        for (curve, algorithm) in
            [(&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::Es256), (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::Es384)]
        {
            let pair = EcdsaKeyPair::generate(curve).unwrap();
            let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
            cases.push((pem("EC PRIVATE KEY", sec1.as_ref()), algorithm));
            cases.push((pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()), algorithm));
        }
        let certificate = pem("CERTIFICATE", b"not looked at");
        for (text, algorithm) in cases {
            let key = SigningKey::from_pem(format!("{certificate}{text}").as_bytes()).unwrap();
            assert_eq!(key.algorithms().first(), Some(&algorithm), "{text}");
            for algorithm in key.algorithms() {
                assert!(key.sign(*algorithm, &json!({})).is_ok(), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn what_is_no_usable_private_key_is_said_to_be_none() {
        let encrypted = pem("ENCRYPTED PRIVATE KEY", b"anything");
        for text in ["", "nonsense", encrypted.as_str(), "-----BEGIN PRIVATE KEY-----\nAAAA"] {
            assert!(matches!(SigningKey::from_pem(text.as_bytes()), Err(PrivateKeyError::Pem(_))), "{text}");
        }
        let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        for der in [b"nonsense", ed25519.as_ref()] {
            let text = pem("PRIVATE KEY", der);
            assert!(matches!(SigningKey::from_pem(text.as_bytes()), Err(PrivateKeyError::Unsupported)), "{text}");
        }
    }
}
