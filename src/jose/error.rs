//! Why a token is not accepted.

/// Why a token is not accepted, or a key set cannot be read. The texts are for the log; of the token they hold only the names
/// of its algorithm and key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// The token does not consist of three parts in base64url, of which the first is a JSON object.
    #[error("it is not a signed JWT")]
    Malformed,
    /// The token has five parts, so it is encrypted (JWE).
    #[error("it is encrypted, which is not supported; have the provider sign it only")]
    Encrypted,
    /// The header has `crit` (RFC 7515 section 4.1.11).
    #[error("it demands an extension (crit)")]
    Extension,
    /// The algorithm is unknown or not accepted.
    #[error("its algorithm {0} is not accepted")]
    Algorithm(String),
    /// No key of the set fits the token's algorithm and `kid`. The provider may have newer keys.
    #[error("no key of the provider fits it ({algorithm}, key id {})", .id.as_deref().unwrap_or("not named"))]
    NoKey {
        /// The token's `alg`.
        algorithm: &'static str,
        /// The token's `kid`.
        id: Option<String>,
    },
    /// The only keys that fit are too short to be secure.
    #[error("it is signed with an RSA key of {0} bits; fewer than 2048 are not accepted")]
    WeakKey(usize),
    /// None of the fitting keys verifies the signature. The provider may have newer keys.
    #[error("its signature is by none of the {tried} keys that fit it")]
    BadSignature {
        /// How many were tried.
        tried: usize,
        /// Whether one of them is the key that the token names (`kid`): newer keys would hardly say otherwise.
        is_named: bool,
    },
    /// The token is signed with HMAC, and none of the client secrets that are long enough verifies it.
    #[error("its signature is by none of the {0} client secrets that are long enough for it")]
    Secret(usize),
    /// The payload is not a JSON object.
    #[error("its payload is not a JSON object")]
    Payload,
    /// The document is not a key set.
    #[error("it is not a JSON object with a list of keys")]
    KeySet,
}

impl JoseError {
    /// Whether newer keys of the provider could change the result.
    pub fn may_need_newer_keys(&self) -> bool {
        match self {
            Self::NoKey { .. } | Self::BadSignature { .. } | Self::WeakKey(_) => true,
            Self::Malformed
            | Self::Encrypted
            | Self::Extension
            | Self::Algorithm(_)
            | Self::Secret(_)
            | Self::Payload
            | Self::KeySet => false,
        }
    }

    /// Whether the key that the token names is known, and has not signed it.
    pub fn is_by_no_named_key(&self) -> bool {
        matches!(self, Self::BadSignature { is_named: true, .. })
    }
}
