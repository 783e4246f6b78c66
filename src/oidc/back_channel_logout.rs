//! Verifying the logout tokens that the provider sends (OpenID Connect Back-Channel Logout 1.0).

use super::{
    Provider, ProviderError,
    key_cache::KeyPurpose,
    logout_token::{self, LogoutToken},
};
use crate::jose::{Algorithm, JoseError, SignedToken};

impl Provider {
    /// Verifies a logout token and reads whom the provider has logged out.
    ///
    /// # Errors
    /// [`ProviderError::LogoutToken`]: the token is not acceptable. Any other: it could not be verified now.
    pub async fn verify_logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let metadata = self.metadata()?;
        let refused = |error: JoseError| ProviderError::LogoutToken(error.into());
        let parsed = SignedToken::parse(token).map_err(refused)?;
        // Anybody can send a token, so its claims are validated before its signature, for which keys may have to be fetched.
        let logout = logout_token::validate(&parsed, &metadata.issuer, &self.registrations(), self.clock.now())
            .map_err(ProviderError::LogoutToken)?;
        // The provider may have several keys, but it signs this client's tokens with one algorithm (section 2.6). Before an ID
        // token shows which, no client secret verifies a logout token: the previous secret may be in other hands already.
        let algorithms: Vec<Algorithm> =
            match self.signing_algorithm().filter(|algorithm| metadata.algorithms.contains(algorithm)) {
                Some(seen) => vec![seen],
                None => metadata.algorithms.iter().filter(|algorithm| algorithm.min_secret_len().is_none()).copied().collect(),
            };
        parsed.algorithm(&algorithms).map_err(refused)?;
        self.verify_signature(&metadata, token, &algorithms, KeyPurpose::Logout).await?.map_err(refused)?;
        Ok(logout)
    }
}
