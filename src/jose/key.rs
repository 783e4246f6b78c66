//! The provider's public keys (JWK and JWK Set, RFC 7517).

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::prelude::*;
use serde_json::{Map, Value};

use super::{Algorithm, JoseError, object};

/// Public keys, each read on its own.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

/// Which names of keys a token may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those of the set.
    Known,
    /// Any: Ory Hydra's renewed ID tokens name the key that signed the first one, which may be gone.
    Any,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// The only algorithm that it is for, where it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ec { curve: Curve, point: Vec<u8> },
    Ed25519(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

/// More keys than this no provider has.
const MOST_KEYS: usize = 128;
const FEWEST_BITS: usize = 2048;

impl KeySet {
    /// Reads a set. Keys that are no use for signatures, or broken, are left out.
    ///
    /// # Errors
    /// [`JoseError::KeySet`].
    pub fn parse(text: &[u8]) -> Result<Self, JoseError> {
        let document = object(text).ok_or(JoseError::KeySet)?;
        let Some(Value::Array(keys)) = document.members.get("keys") else { return Err(JoseError::KeySet) };
        Ok(Self(keys.iter().take(MOST_KEYS).filter_map(|key| Key::read(key.as_object()?)).collect()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key of this name may be among them: one has it, or has none.
    pub fn may_have(&self, name: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref().is_none_or(|id| id == name))
    }

    /// Those that a token of this algorithm may be signed with, the one that it names first, and then the others: some name a
    /// key and sign with the next. Where it names none of the set, only keys without a name may be meant, unless strange
    /// names are taken too.
    pub(super) fn fitting<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
        names: Names,
    ) -> impl Iterator<Item = &'a Key> {
        let is_named = move |key: &&Key| id.is_some() && key.id.as_deref() == id;
        let is_known = id.is_none() || names == Names::Any || self.0.iter().any(|key| is_named(&key));
        let fits = move |key: &&Key| key.fits(algorithm) && (is_known || key.id.is_none());
        let named = self.0.iter().filter(fits).filter(is_named);
        named.chain(self.0.iter().filter(fits).filter(move |key| !is_named(key)))
    }
}

impl Key {
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let may_verify = |operations: &Vec<Value>| operations.iter().any(|operation| operation.as_str() == Some("verify"));
        if key.get("key_ops").and_then(Value::as_array).is_some_and(|operations| !may_verify(operations)) {
            return None;
        }
        // Some pad what RFC 7515 has without padding.
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa { modulus: without_zeros(bytes("n")?), exponent: without_zeros(bytes("e")?) },
            ("EC", Some(name)) => {
                let curve = Curve::named(name)?;
                let size = curve.size();
                let mut point = vec![4];
                point.extend(padded(bytes("x")?, size)?);
                point.extend(padded(bytes("y")?, size)?);
                Material::Ec { curve, point }
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
            // A shared secret does not belong into a public document, and is never taken from one.
            (_, _) => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        if self.algorithm.as_deref().is_some_and(|name| Algorithm::named(name) != Some(algorithm)) {
            return false;
        }
        match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
                matches!(self.material, Material::Rsa { .. })
            }
            Algorithm::Es256 => matches!(self.material, Material::Ec { curve: Curve::P256, .. }),
            Algorithm::Es384 => matches!(self.material, Material::Ec { curve: Curve::P384, .. }),
            Algorithm::Es512 => matches!(self.material, Material::Ec { curve: Curve::P521, .. }),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => false,
        }
    }

    /// How many bits it has, where that is too few.
    pub(super) fn weakness(&self) -> Option<usize> {
        let Material::Rsa { modulus, .. } = &self.material else { return None };
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.len() * 8 - zeros;
        (bits < FEWEST_BITS).then_some(bits)
    }

    pub(super) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let simple = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { modulus, exponent }, _) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }),
            (Material::Ec { point, .. }, Algorithm::Es256) => simple(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::Ec { point, .. }, Algorithm::Es384) => simple(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Material::Ec { point, .. }, Algorithm::Es512) => simple(&signature::ECDSA_P521_SHA512_FIXED, point),
            (Material::Ed25519(point), Algorithm::EdDsa) => simple(&signature::ED25519, point),
            (Material::Ec { .. } | Material::Ed25519(_), _) => false,
        }
    }
}

impl Curve {
    fn named(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// Of a coordinate, in bytes.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::EdDsa
        | Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512 => None,
    }
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// A coordinate at its full length: some write it as a number, without the zeros that it begins with, or with one more.
fn padded(coordinate: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let number = without_zeros(coordinate);
    let missing = size.checked_sub(number.len())?;
    Some([vec![0; missing], number].concat())
}
