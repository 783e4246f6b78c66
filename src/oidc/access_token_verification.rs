//! Verifying the access tokens that API clients present: by the provider's keys, or by introspection.

use super::{
    AccessToken, AccessTokenError, Provider, ProviderError,
    access_token::{check_claims, check_type, issued_at, other_names, use_of},
    id_token::{VerifyError, time},
    issuer::IssuerMatch,
    key_cache::KeyPurpose,
};
use crate::{
    clock::Timestamp,
    identity::Identity,
    jose::{Algorithm, JsonObject, SignedToken},
    secret::Secret,
};

/// What access tokens have of which ID tokens know nothing; nonce and at_hash are not in every ID token. Microsoft Entra ID writes
/// `roles` into both kinds, and how the client has proved itself (`azpacr`, `appidacr`) into access tokens alone.
const MARKS: [&str; 7] = ["scope", "scp", "client_id", "cid", "appid", "azpacr", "appidacr"];

impl Provider {
    /// Verifies an access token of the provider.
    ///
    /// # Errors
    /// [`AccessTokenError`].
    pub async fn verify_access_token(&self, token: &Secret) -> Result<AccessToken, AccessTokenError> {
        match SignedToken::parse(token.expose()) {
            Ok(parsed) => self.verify_signed(token.expose(), &parsed).await,
            // Not for us to read: the provider says what it is.
            Err(_) => self.introspect_access_token(token).await,
        }
    }

    async fn verify_signed(&self, token: &str, parsed: &SignedToken<'_>) -> Result<AccessToken, AccessTokenError> {
        let unavailable = |error: ProviderError| AccessTokenError::Unavailable(error.to_string());
        check_type(parsed)?;
        let metadata = self.metadata().map_err(unavailable)?;
        // Nobody makes keys be fetched by a token that another has issued.
        if metadata.issuer.compare(parsed.unverified()) != IssuerMatch::Same {
            return Err(AccessTokenError::because("its iss is another issuer"));
        }
        // The provider announces algorithms for ID tokens alone. A client secret signs no access token.
        let signed = self.verify_signature(&metadata, token, &Algorithm::ASYMMETRIC, KeyPurpose::AccessToken).await;
        let (claims, _) = signed.map_err(unavailable)?.map_err(VerifyError::from)?;
        check_claims(&claims, self.clock.now())?;
        let says_so = parsed.typ().as_deref() == Some("at+jwt") || ["typ", "token_use"].iter().any(|name| claims.has(name));
        if !says_so && !MARKS.iter().any(|name| claims.has(name)) {
            return Err(AccessTokenError::because("nothing in it says that it is an access token, and not an ID token"));
        }
        let expires_at = time(&claims, "exp");
        if expires_at.is_none() {
            return Err(AccessTokenError::because("it has no exp that is a time"));
        }
        let tenant = metadata.issuer.tenant(&claims.members).map(str::to_owned);
        Ok(AccessToken { is_self_contained: true, ..self.access_token(claims, expires_at, tenant)? })
    }

    /// Reads the claims of a token that is good.
    pub(super) fn access_token(
        &self,
        mut claims: JsonObject,
        expires_at: Option<Timestamp>,
        tenant: Option<String>,
    ) -> Result<AccessToken, AccessTokenError> {
        let (audiences, client, scopes) = use_of(&claims);
        let (issued_at, other_names) = (issued_at(&claims), other_names(&claims.members));
        if let Some(client) = client.as_ref().filter(|_| !claims.has("sub")) {
            // A client that acts for itself need not have a subject in introspection (RFC 7662 section 2.2). The name is no user's.
            claims.members.insert("sub".to_owned(), format!("client:{client}").into());
        }
        let identity = self.settings.mapping.identity(&claims.once());
        let identity = identity.map_err(|_| AccessTokenError::because("it has no sub that is a text"))?;
        Ok(AccessToken {
            identity: Identity { tenant, ..identity },
            other_names,
            audiences,
            client,
            scopes,
            issued_at,
            expires_at,
            is_self_contained: false,
        })
    }
}
