//! The provider's public keys (JWK and JWK Set, RFC 7517).

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::prelude::*;
use serde_json::{Map, Value};

use super::{Algorithm, JoseError, JsonObject};

/// A set of public keys.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    /// Whether it has more usable keys than are kept.
    is_cut: bool,
}

/// What happens to a token that names a key (`kid`) that is not in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKeyIds {
    /// Only keys without an identifier are tried.
    Reject,
    /// All keys are tried: Ory Hydra's refreshed ID tokens name the key that signed the first one, which may be gone.
    Accept,
}

/// One public key (RFC 7517 section 4).
#[derive(Debug)]
pub(super) struct VerificationKey {
    pub(super) id: Option<String>,
    /// The only algorithm that the key may be used with (`alg`), if it says.
    algorithm: Option<String>,
    /// The issuer whose tokens it verifies (`issuer`, no registered member), if it says.
    pub(super) issuer: Option<String>,
    /// The certificate of the key (`x5c`, DER), if it says. No signature is judged by it.
    certificate: Option<Vec<u8>>,
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

/// What a key says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribedKey<'a> {
    /// Its identifier (`kid`).
    pub id: Option<&'a str>,
    /// The algorithm that it is for (`alg`).
    pub algorithm: Option<&'a str>,
    /// Its certificate, in DER.
    pub certificate: Option<&'a [u8]>,
}

/// Further keys of a set are ignored; no provider has so many.
const MAX_KEYS: usize = 1024;
/// The members of a key that say what it is, and what it may be used for.
const READ_MEMBERS: [&str; 11] = ["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "issuer"];
/// The least size of an RSA key in bits.
const MIN_RSA_BITS: usize = 2048;

impl KeySet {
    /// Parses a set (RFC 7517 section 5). Keys that are malformed or not for signatures are left out.
    ///
    /// # Errors
    /// [`JoseError::KeySet`].
    pub fn parse(text: &[u8]) -> Result<Self, JoseError> {
        let keys = JsonObject::parse_list(text, "keys").ok_or(JoseError::KeySet)?;
        let clear = keys.iter().filter(|key| READ_MEMBERS.iter().all(|name| !key.unreadable.iter().any(|odd| odd == name)));
        let mut usable = clear.filter_map(|key| VerificationKey::read(&key.members));
        let keys = usable.by_ref().take(MAX_KEYS).collect();
        Ok(Self { keys, is_cut: usable.next().is_some() })
    }

    /// What the keys say of themselves, for whoever administers.
    pub fn described(&self) -> impl Iterator<Item = DescribedKey<'_>> {
        self.keys.iter().map(|key| DescribedKey {
            id: key.id.as_deref(),
            algorithm: key.algorithm.as_deref(),
            certificate: key.certificate.as_deref(),
        })
    }

    /// Whether it has more usable keys than are kept.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key with this identifier may be in the set: a key has it, or a key has none.
    pub fn may_contain(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref().is_none_or(|id| id == name))
    }

    /// The keys that may have signed a token of this algorithm: first the one that it names, then the others, because some
    /// providers name a key and sign with the next one. If it names none of the set, only keys without an identifier are
    /// candidates, unless unknown identifiers are accepted.
    pub(super) fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
        unknown_key_ids: UnknownKeyIds,
    ) -> impl Iterator<Item = &'a VerificationKey> {
        let is_named = move |key: &&VerificationKey| id.is_some() && key.id.as_deref() == id;
        let is_known = id.is_none() || unknown_key_ids == UnknownKeyIds::Accept || self.keys.iter().any(|key| is_named(&key));
        let fits = move |key: &&VerificationKey| key.fits(algorithm) && (is_known || key.id.is_none());
        let named = self.keys.iter().filter(fits).filter(is_named);
        named.chain(self.keys.iter().filter(fits).filter(move |key| !is_named(key)))
    }
}

/// The longest certificate that is kept, in bytes of base64.
const MAX_CERTIFICATE_LEN: usize = 16 * 1024;

/// The first certificate of a key (RFC 7517 section 4.7), which is base64 and not base64url.
fn certificate(key: &Map<String, Value>) -> Option<Vec<u8>> {
    let text = key.get("x5c")?.as_array()?.first()?.as_str().filter(|text| text.len() <= MAX_CERTIFICATE_LEN)?;
    BASE64_STANDARD.decode(text).ok()
}

impl VerificationKey {
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let may_verify = |operations: &Vec<Value>| operations.iter().any(|operation| operation.as_str() == Some("verify"));
        if key.get("key_ops").and_then(Value::as_array).is_some_and(|operations| !may_verify(operations)) {
            return None;
        }
        // Some providers pad base64url, which RFC 7515 section 2 has without padding.
        let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa { modulus: without_zeros(bytes("n")?), exponent: without_zeros(bytes("e")?) },
            ("EC", Some(name)) => {
                let curve = Curve::from_name(name)?;
                let size = curve.size();
                let mut point = vec![4];
                point.extend(padded(bytes("x")?, size)?);
                point.extend(padded(bytes("y")?, size)?);
                Material::Ec { curve, point }
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x")?),
            // A symmetric key in a public document is no secret, so it is never used.
            (_, _) => return None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            algorithm: text("alg").map(str::to_owned),
            issuer: text("issuer").map(str::to_owned),
            certificate: certificate(key),
            material,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        if self.algorithm.as_deref().is_some_and(|name| Algorithm::from_name(name) != Some(algorithm)) {
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

    /// The size in bits of an RSA key that is too short to be accepted.
    pub(super) fn rejected_rsa_bits(&self) -> Option<usize> {
        let Material::Rsa { modulus, .. } = &self.material else { return None };
        let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.len() * 8 - zeros;
        (bits < MIN_RSA_BITS).then_some(bits)
    }

    /// Whether the key verifies `signature` over `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let simple = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (&self.material, algorithm) {
            (Material::Rsa { modulus, exponent }, _) => algorithm.rsa().is_some_and(|rsa| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(rsa.verification, message, signature).is_ok()
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
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    /// The length of a coordinate in bytes.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

/// A coordinate at its full length: some providers write it as a number, without leading zeros or with one more.
fn padded(coordinate: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let number = without_zeros(coordinate);
    let missing = size.checked_sub(number.len())?;
    Some([vec![0; missing], number].concat())
}
