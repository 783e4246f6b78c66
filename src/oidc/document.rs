//! The public documents of whoever issues tokens, how they are asked for, and how key sets are read.

use crate::jose::KeySet;

/// A set that has no usable key: a provider may answer so while it starts.
pub(super) const NO_KEY: &str = "there is no key among them that can verify a signature";

/// Reads the key set of an issuer. That it has more keys than are kept is logged.
pub(super) fn read_keys(issuer: &str, document: &[u8]) -> Result<KeySet, String> {
    let keys = KeySet::parse(document).map_err(|error| error.to_string())?;
    if keys.is_cut() {
        tracing::warn!(
            oidc.issuer = issuer,
            keys.count = keys.len(),
            "an issuer has more keys than are kept; those at the end are not"
        );
    }
    Ok(keys)
}

/// A public document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Document {
    /// The metadata, whose address follows from the issuer.
    Metadata,
    /// The keys, whose address the metadata name.
    Keys,
}

impl Document {
    /// What it may come as (`Accept`). A key set has a type of its own (RFC 7517 section 8.5), which most servers do not use; the API
    /// server of Kubernetes refuses with 406 whoever does not name it.
    pub(super) fn media_types(self) -> &'static str {
        match self {
            Self::Metadata => "application/json",
            Self::Keys => "application/jwk-set+json, application/json",
        }
    }
}
