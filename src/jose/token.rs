//! A signed token in the compact form (RFC 7515 section 7.1).

use aws_lc_rs::hmac;
use base64::prelude::*;
use serde_json::Value;

use super::{Algorithm, JoseError, JsonObject, KeySet, UnknownKeyIds, key::VerificationKey};
use crate::secret::Secret;

/// A token that is parsed and not verified yet.
#[derive(Debug)]
pub struct SignedToken<'a> {
    header: JsonObject,
    /// Header and payload, as the text that was signed.
    signed: &'a str,
    payload: JsonObject,
    signature: Vec<u8>,
}

/// What a token is verified with.
#[derive(Clone, Copy, Debug)]
pub struct VerificationOptions<'a> {
    /// The accepted algorithms.
    pub algorithms: &'a [Algorithm],
    /// The public keys.
    pub keys: &'a KeySet,
    /// Whether a key that names this issuer (`issuer`, as those of Microsoft Entra ID do) may have signed a token with these claims;
    /// `None` if that does not matter.
    pub key_issuer: Option<fn(&str, &JsonObject) -> bool>,
    /// Whether a token may name a key that is not in the set.
    pub unknown_key_ids: UnknownKeyIds,
    /// The secrets for HMAC. A key of the set is never used as a secret, because it is public.
    pub secrets: &'a [&'a Secret],
}

/// The most keys that are tried for one token.
const MAX_KEYS_TRIED: usize = 16;

impl<'a> SignedToken<'a> {
    /// Parses a token.
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
        let header = JsonObject::parse(&decode(header)?).ok_or(JoseError::Malformed)?;
        if !header.unreadable.is_empty() {
            return Err(JoseError::Malformed);
        }
        if header.members.contains_key("crit") {
            return Err(JoseError::Extension);
        }
        let payload = JsonObject::parse(&decode(payload)?).ok_or(JoseError::Payload)?;
        Ok(Self { header, signed, payload, signature: decode(signature)? })
    }

    /// The header's `typ`, in lower case and without `application/` (RFC 7515 section 4.1.9).
    pub fn typ(&self) -> Option<String> {
        let typ = self.header.members.get("typ")?.as_str()?.to_ascii_lowercase();
        Some(typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ))
    }

    /// The header's `kid`, which proves nothing.
    pub fn key_id(&self) -> Option<&str> {
        self.header.members.get("kid")?.as_str()
    }

    /// The claims before verification, which anybody may have written. They serve to refuse a token early.
    pub fn unverified(&self) -> &JsonObject {
        &self.payload
    }

    /// The header's `alg`, if it is an accepted algorithm.
    ///
    /// # Errors
    /// [`JoseError::Algorithm`].
    pub fn algorithm(&self, accepted: &[Algorithm]) -> Result<Algorithm, JoseError> {
        // Two readers of a header with repeated members may take different algorithms.
        let name = self.header.members.get("alg").and_then(Value::as_str).filter(|_| self.header.repeated.is_empty());
        let found = name.and_then(Algorithm::from_name).filter(|algorithm| accepted.contains(algorithm));
        found.ok_or_else(|| JoseError::Algorithm(safe(name.unwrap_or("(none)"))))
    }

    /// Verifies the signature, and returns the claims and the algorithm.
    ///
    /// # Errors
    /// [`JoseError`].
    pub fn verify(self, accepted: VerificationOptions<'_>) -> Result<(JsonObject, Algorithm), JoseError> {
        let algorithm = self.algorithm(accepted.algorithms)?;
        let verified = match algorithm.min_secret_len() {
            Some(shortest) => self.verify_with_secrets(algorithm, shortest, accepted.secrets),
            None => self.verify_with_keys(algorithm, &accepted),
        };
        verified.map(|()| (self.payload, algorithm))
    }

    fn verify_with_keys(&self, algorithm: Algorithm, accepted: &VerificationOptions<'_>) -> Result<(), JoseError> {
        let id = self.header.members.get("kid").and_then(Value::as_str);
        let (mut tried, mut is_named, mut weak, mut named_is_weak) = (0, false, None, false);
        let signs_for = |key: &&VerificationKey| match (accepted.key_issuer, key.issuer.as_deref()) {
            (Some(is_key_of), Some(issuer)) => is_key_of(issuer, &self.payload),
            (Some(_) | None, _) => true,
        };
        let candidates = accepted.keys.candidates(algorithm, id, accepted.unknown_key_ids);
        for key in candidates.filter(signs_for).take(MAX_KEYS_TRIED) {
            let is_the_named = id.is_some() && key.id.as_deref() == id;
            if let Some(bits) = key.rejected_rsa_bits() {
                weak = weak.or(Some(bits));
                named_is_weak |= is_the_named;
                continue;
            }
            tried += 1;
            is_named |= is_the_named;
            if key.verifies(algorithm, self.signed.as_bytes(), &self.signature) {
                return Ok(());
            }
        }
        Err(match weak.filter(|_| tried == 0 || named_is_weak) {
            Some(bits) => JoseError::WeakKey(bits),
            None if tried == 0 => JoseError::NoKey { algorithm: algorithm.name(), id: id.map(safe) },
            None => JoseError::BadSignature { tried, is_named },
        })
    }

    fn verify_with_secrets(&self, algorithm: Algorithm, shortest: usize, secrets: &[&Secret]) -> Result<(), JoseError> {
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
            // Newer keys of the provider would not help.
            Err(JoseError::Secret(long_enough.count()))
        }
    }
}

/// A name from the token, made safe for the log.
fn safe(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(64).collect()
}
