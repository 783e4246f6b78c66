//! Claims of the access token (`CODER_OIDC_ACCESS_TOKEN_CLAIMS`): some providers write groups and roles there alone.

use serde_json::Value;

use super::{
    Claims, Provider, ProviderError,
    discovery::ProviderMetadata,
    id_token::{Expected, ExpectedNonce, validate_claims},
    issuer::IssuerMatch,
    key_cache::KeyPurpose,
    merge::merge,
};
use crate::secret::Secret;

impl Provider {
    /// Adds what only the access token says to the ID token's claims, where that is configured. The access token must be a token of
    /// the same issuer for the same client and subject, signed as ID tokens are.
    ///
    /// # Errors
    /// [`ProviderError::OtherSubject`], [`ProviderError::AccessToken`], [`ProviderError::Keys`].
    pub(super) async fn with_access_token_claims(
        &self,
        metadata: &ProviderMetadata,
        id_token: Claims,
        access_token: &Secret,
        purpose: KeyPurpose,
    ) -> Result<Claims, ProviderError> {
        if !self.settings.access_token_claims {
            return Ok(id_token);
        }
        let signed = self.verify_signature(metadata, access_token.expose(), &metadata.algorithms, purpose).await?;
        let (token, algorithm) = signed.map_err(|error| ProviderError::AccessToken(error.into()))?;
        let text_of = |claims: &Claims, name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let subject = text_of(&id_token, "sub").unwrap_or_default();
        let expected = Expected {
            issuer: &metadata.issuer,
            client_id: self.client_id(),
            subject: Some(&subject),
            tenant: None,
            nonce: ExpectedNonce::Unchecked,
            // Nothing hashes the access token but the ID token.
            access_token: "",
            algorithm,
            now: self.clock.now(),
        };
        if let Err(error) = validate_claims(&token, expected) {
            let is_of_this_issuer = metadata.issuer.compare(&token) == IssuerMatch::Same;
            let names_another = text_of(&token.members, "sub").is_some_and(|found| found != subject);
            let is_proof = is_of_this_issuer && names_another && token.repeated.is_empty() && token.unreadable.is_empty();
            return Err(if is_proof { ProviderError::OtherSubject } else { ProviderError::AccessToken(error) });
        }
        Ok(merge(token.once(), id_token, &self.settings.mapping))
    }
}
