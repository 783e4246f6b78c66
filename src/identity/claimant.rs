//! Whom headers tell of.

use super::Identity;
use crate::secret::Secret;

/// Whom headers tell of. The tokens are absent while they are not verified to be this user's.
#[derive(Clone, Copy, Debug)]
pub struct Claimant<'a> {
    /// The verified claims.
    pub identity: &'a Identity,
    /// The current access token.
    pub access_token: Option<&'a Secret>,
    /// The newest ID token.
    pub id_token: Option<&'a Secret>,
}
