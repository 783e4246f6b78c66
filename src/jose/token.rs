//! One signed token.

use aws_lc_rs::hmac;
use base64::prelude::*;
use serde_json::Value;

use super::{Algorithm, JoseError, KeySet, Names, Object, object};
use crate::secret::Secret;

/// A token in the compact form, parsed and not verified.
#[derive(Debug)]
pub struct Token<'a> {
    header: Object,
    /// Header and payload as they were signed.
    signed: &'a str,
    payload: Object,
    signature: Vec<u8>,
}

/// What a token may be verified with.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// These algorithms.
    pub algorithms: &'a [Algorithm],
    /// Public keys, for algorithms that have them.
    pub keys: &'a KeySet,
    /// Whether a name that is none of theirs is taken.
    pub names: Names,
    /// Secrets, for algorithms that need one. Never a key of the set: it is public.
    pub secrets: &'a [&'a Secret],
}

/// So many keys are tried for one token.
const MOST_TRIES: usize = 16;

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// Any [`JoseError`] that needs no key.
    pub fn parse(token: &'a str) -> Result<Self, JoseError> {
        let token = token.trim();
        match token.split('.').count() {
            3 => {}
            5 => return Err(JoseError::Encrypted),
            _ => return Err(JoseError::Malformed),
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JoseError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JoseError::Malformed)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed);
        let header = object(&decode(header)?).ok_or(JoseError::Malformed)?;
        if header.members.contains_key("crit") {
            return Err(JoseError::Extension);
        }
        let payload = object(&decode(payload)?).ok_or(JoseError::Payload)?;
        Ok(Self { header, signed, payload, signature: decode(signature)? })
    }

    /// Its `typ`, in lower case and without `application/` (RFC 7515 section 4.1.9).
    pub fn kind(&self) -> Option<String> {
        let kind = self.header.members.get("typ")?.as_str()?.to_ascii_lowercase();
        Some(kind.strip_prefix("application/").map(str::to_owned).unwrap_or(kind))
    }

    /// The name of the key (`kid`) that it says it is signed with. Nothing is believed for it.
    pub fn key_name(&self) -> Option<&str> {
        self.header.members.get("kid")?.as_str()
    }

    /// What it says, which nobody may have signed: for turning it away before its signature is looked at.
    pub fn unverified(&self) -> &Object {
        &self.payload
    }

    /// Its algorithm, if it is one of those accepted.
    ///
    /// # Errors
    /// [`JoseError::Algorithm`].
    pub fn algorithm(&self, accepted: &[Algorithm]) -> Result<Algorithm, JoseError> {
        // Readers of a header that names two algorithms would not agree.
        let name = self.header.members.get("alg").and_then(Value::as_str).filter(|_| self.header.repeated.is_empty());
        let found = name.and_then(Algorithm::named).filter(|algorithm| accepted.contains(algorithm));
        found.ok_or_else(|| JoseError::Algorithm(safe(name.unwrap_or("(none)"))))
    }

    /// What it says, signed by a key or a secret that fits, and the algorithm that it was signed with.
    ///
    /// # Errors
    /// [`JoseError`].
    pub fn verify(self, accepted: Accepted<'_>) -> Result<(Object, Algorithm), JoseError> {
        let algorithm = self.algorithm(accepted.algorithms)?;
        let verified = match algorithm.shortest_secret() {
            Some(shortest) => self.by_secret(algorithm, shortest, accepted.secrets),
            None => self.by_key(algorithm, accepted.keys, accepted.names),
        };
        verified.map(|()| (self.payload, algorithm))
    }

    fn by_key(&self, algorithm: Algorithm, keys: &KeySet, names: Names) -> Result<(), JoseError> {
        let id = self.header.members.get("kid").and_then(Value::as_str);
        let (mut tried, mut weak, mut named_is_weak) = (0, None, false);
        for key in keys.fitting(algorithm, id, names).take(MOST_TRIES) {
            if let Some(bits) = key.weakness() {
                weak = weak.or(Some(bits));
                named_is_weak |= id.is_some() && key.id.as_deref() == id;
                continue;
            }
            tried += 1;
            if key.has_signed(algorithm, self.signed.as_bytes(), &self.signature) {
                return Ok(());
            }
        }
        Err(match weak.filter(|_| tried == 0 || named_is_weak) {
            Some(bits) => JoseError::WeakKey(bits),
            None if tried == 0 => JoseError::NoKey { algorithm: algorithm.name(), id: id.map(safe) },
            None => JoseError::BadSignature(tried),
        })
    }

    fn by_secret(&self, algorithm: Algorithm, shortest: usize, secrets: &[&Secret]) -> Result<(), JoseError> {
        let hash = match algorithm {
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            Algorithm::Hs256
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::EdDsa => hmac::HMAC_SHA256,
        };
        let long_enough = secrets.iter().map(|secret| secret.expose().as_bytes()).filter(|secret| secret.len() >= shortest);
        let signed = |secret: &[u8]| hmac::verify(&hmac::Key::new(hash, secret), self.signed.as_bytes(), &self.signature).is_ok();
        if long_enough.clone().any(signed) {
            Ok(())
        } else {
            // No newer key would help.
            Err(JoseError::Secret(long_enough.count()))
        }
    }
}

/// A name that somebody else wrote, for the log.
fn safe(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}
