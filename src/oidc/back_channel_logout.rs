//! Verifying the logout tokens that the provider sends (OpenID Connect Back-Channel Logout 1.0).

use super::{
    Provider, ProviderError, VerifyError,
    discovery::ProviderMetadata,
    key_cache::KeyPurpose,
    logout_token::{self, LogoutToken},
};
use crate::{
    jose::{Algorithm, JoseError, KeySet, SignedToken, UnknownKeyIds, VerificationOptions},
    secret::Secret,
};

/// How a logout token may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LogoutSignature {
    /// With one of these algorithms, as ID tokens are.
    Usual(Vec<Algorithm>),
    /// With one of these, which use the client secret. No ID token has shown that the provider still takes the previous one, which
    /// may be in other hands already.
    ByCurrentSecret(Vec<Algorithm>),
}

impl Provider {
    /// Reads whom a logout token names, and verifies nothing but its claims: anybody can send one.
    ///
    /// # Errors
    /// [`ProviderError::LogoutToken`]: the token is not acceptable. Any other: it could not be read now.
    pub fn read_logout_token(&self, token: &str) -> Result<LogoutToken, ProviderError> {
        let metadata = self.metadata()?;
        let parsed = SignedToken::parse(token).map_err(refused)?;
        logout_token::validate(&parsed, &metadata.issuer, &self.registrations(), self.clock.now())
            .map_err(ProviderError::LogoutToken)
    }

    /// Whether this process has accepted an ID token, which shows how the provider signs.
    pub fn has_seen_a_signature(&self) -> bool {
        self.signing_algorithm().is_some()
    }

    /// Verifies a logout token and reads whom the provider has logged out. `id_token` is one that the provider has given to this client,
    /// as far as one is known.
    ///
    /// # Errors
    /// [`ProviderError::LogoutToken`]: the token is not acceptable. Any other: it could not be verified now.
    pub async fn verify_logout_token(&self, token: &str, id_token: Option<&Secret>) -> Result<LogoutToken, ProviderError> {
        let metadata = self.metadata()?;
        // Its claims are validated before its signature, for which keys may have to be fetched.
        let logout = self.read_logout_token(token)?;
        let verified = match self.verify_logout_signature(&metadata, token, id_token).await? {
            // The provider may have begun to sign otherwise since its metadata were read.
            Err(JoseError::Algorithm(name)) => match self.newer_metadata(&metadata).await {
                Some(newer) => self.verify_logout_signature(&newer, token, id_token).await?,
                None => Err(JoseError::Algorithm(name)),
            },
            verified => verified,
        };
        verified.map_err(refused)?;
        // The session that has shown it ends by this token, which may come again because not all of the end could be recorded.
        if let Some(algorithm) = stored_algorithm(&metadata, id_token).filter(|_| !self.has_seen_a_signature()) {
            self.record_signing_algorithm(algorithm);
        }
        Ok(logout)
    }

    async fn verify_logout_signature(
        &self,
        metadata: &ProviderMetadata,
        token: &str,
        id_token: Option<&Secret>,
    ) -> Result<Result<(), JoseError>, ProviderError> {
        let seen = self.signing_algorithm().or_else(|| stored_algorithm(metadata, id_token));
        match logout_signature(&metadata.algorithms, seen) {
            LogoutSignature::Usual(algorithms) => {
                if let Err(error) = SignedToken::parse(token).and_then(|parsed| parsed.algorithm(&algorithms)) {
                    return Ok(Err(error));
                }
                Ok(self.verify_signature(metadata, token, &algorithms, KeyPurpose::Logout).await?.map(drop))
            }
            LogoutSignature::ByCurrentSecret(algorithms) => {
                let secrets: Vec<&Secret> = self.settings.client_secret.iter().collect();
                let options = VerificationOptions {
                    key_issuer: None,
                    algorithms: &algorithms,
                    keys: &KeySet::default(),
                    unknown_key_ids: UnknownKeyIds::Reject,
                    secrets: &secrets,
                };
                Ok(SignedToken::parse(token).and_then(|parsed| parsed.verify(options)).map(drop))
            }
        }
    }
}

/// How an ID token is signed, if the metadata list that.
fn stored_algorithm(metadata: &ProviderMetadata, id_token: Option<&Secret>) -> Option<Algorithm> {
    SignedToken::parse(id_token?.expose()).ok()?.algorithm(&metadata.algorithms).ok()
}

fn refused(error: JoseError) -> ProviderError {
    ProviderError::LogoutToken(VerifyError::from(error))
}

/// How logout tokens may be signed by a provider whose metadata list these algorithms, and whose ID tokens have this one. It may have several
/// keys, but it signs this client's tokens with one algorithm (section 2.6).
fn logout_signature(listed: &[Algorithm], seen: Option<Algorithm>) -> LogoutSignature {
    if let Some(seen) = seen.filter(|seen| listed.contains(seen)) {
        return LogoutSignature::Usual(vec![seen]);
    }
    let (by_keys, by_secrets): (Vec<_>, Vec<_>) =
        listed.iter().copied().partition(|algorithm| algorithm.min_secret_len().is_none());
    // A secret is known to more parties than a key, so that it is not believed where the provider may mean its keys.
    if by_keys.is_empty() { LogoutSignature::ByCurrentSecret(by_secrets) } else { LogoutSignature::Usual(by_keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logout_token_is_signed_as_id_tokens_are_or_else_by_keys_or_else_by_the_current_secret() {
        use Algorithm::{Es256, Hs256, Rs256};
        for (listed, seen, expected) in [
            (vec![Rs256, Es256, Hs256], Some(Es256), LogoutSignature::Usual(vec![Es256])),
            (vec![Rs256, Es256, Hs256], Some(Hs256), LogoutSignature::Usual(vec![Hs256])),
            (vec![Rs256, Es256, Hs256], None, LogoutSignature::Usual(vec![Rs256, Es256])),
            // The provider has changed, and says so.
            (vec![Rs256, Es256], Some(Hs256), LogoutSignature::Usual(vec![Rs256, Es256])),
            (vec![Hs256], Some(Rs256), LogoutSignature::ByCurrentSecret(vec![Hs256])),
            (vec![Hs256], None, LogoutSignature::ByCurrentSecret(vec![Hs256])),
            (vec![Hs256], Some(Hs256), LogoutSignature::Usual(vec![Hs256])),
        ] {
            assert_eq!(logout_signature(&listed, seen), expected, "{listed:?} {seen:?}");
        }
    }
}
