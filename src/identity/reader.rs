//! Which mapping of claims an identity was read with.

use serde::{Deserialize, Serialize};

use crate::secret::{hex, sha256};

/// A digest of the settings that say how a provider's claims are read (`CODER_OIDC_GROUP_FIELD` and the like).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimReader(Box<str>);

impl ClaimReader {
    /// The digest of `settings`, an unambiguous text.
    pub fn of(settings: &str) -> Self {
        Self(hex(sha256(format!("claims {settings}").as_bytes()).first_chunk::<6>().unwrap_or(&[0; 6])).into())
    }
}
