//! Whether a refresh's response is about the grant's subject.
//!
//! A grant ends only on proof that it is not. A token that cannot be read or verified proves nothing: the new tokens are kept,
//! and the identity stays as it was last verified.

use super::{
    Claims, Provider, ProviderError, TokenResponse, VerifyError,
    discovery::ProviderMetadata,
    id_token::{self, Expected, ExpectedNonce},
    key_cache::KeyPurpose,
    merge::merge,
};
use crate::{
    identity::Identity,
    jose::{Algorithm, JoseError, JsonObject},
    secret::Secret,
    telemetry::logs::causes,
};

/// The verdict on a response's ID token by the cached keys, before anything is fetched.
#[derive(Debug)]
pub struct LocalVerdict {
    checked: Result<Option<JsonObject>, VerifyError>,
    /// The ID token takes from the identity what decides who may pass, and no user info is to come that could say otherwise.
    withdraws: bool,
}

/// What becomes of an identity by a response that is about the same subject.
enum Refreshed {
    /// All was read that the provider sends with a token refresh.
    Read(Identity),
    /// A call failed, or a part cannot be read: what the provider has to say is not known.
    Unread(Identity),
}

/// The verdict on a refresh's response.
#[derive(Debug)]
pub enum RefreshVerdict {
    /// It is about the same subject, whose identity is now this.
    Verified(Box<Identity>),
    /// It is proven to be about another subject, or from or for another party.
    SubjectMismatch(ProviderError),
    /// Neither can be proven.
    Inconclusive(ProviderError),
}

impl LocalVerdict {
    /// Whether the identity that is stored is not good for the new tokens: they may be somebody else's, or it has lost what it was good
    /// for. Until what came of it is saved too, the access token must not be forwarded.
    pub fn holds_back_the_identity(&self) -> bool {
        self.withdraws || self.checked.is_err()
    }
}

impl Provider {
    /// Verifies a response by the cached keys. Makes no call, so that it can run before the response is saved.
    pub fn verify_refresh_locally(&self, tokens: &TokenResponse, before: &Identity) -> LocalVerdict {
        let (Some(token), Ok(metadata)) = (&tokens.id_token, self.metadata()) else {
            return LocalVerdict { checked: Ok(None), withdraws: false };
        };
        let signed = self.verify_signature_with(token.expose(), &metadata.algorithms, &self.keys.current(), KeyPurpose::Renewal);
        let checked = self.validate_id_token(&metadata, signed, tokens, Some(before), ExpectedNonce::Unchecked).map(Some);
        let withdraws = match &checked {
            Ok(Some(signed)) if metadata.userinfo_endpoint.is_none() => {
                let left = self.settings.mapping.restricted_by(before, &signed.clone().once());
                (&left.groups, &left.roles, &left.email) != (&before.groups, &before.roles, &before.email)
            }
            Ok(_) | Err(_) => false,
        };
        LocalVerdict { checked, withdraws }
    }

    /// Verifies a response, with newer keys and user info where they are needed.
    pub async fn verify_refresh(&self, tokens: &TokenResponse, before: &Identity, local: LocalVerdict) -> RefreshVerdict {
        let refreshed = match self.verify_refreshed(tokens, before, local).await {
            Ok(refreshed) => refreshed,
            Err(verdict) => return verdict,
        };
        let own = Some(self.claim_reader());
        RefreshVerdict::Verified(Box::new(match refreshed {
            // Asked again soon, and not counted as an answer: neither to how claims are read now, nor to claims that are needed since.
            Refreshed::Unread(identity) => {
                let claims = identity.claims.asked_like(&before.claims);
                Identity { claims, is_partly_unread: true, ..identity }
            }
            Refreshed::Read(identity) if identity.reader.as_ref() == own => {
                Identity { tried_reader: None, tried_since: None, is_partly_unread: false, ..identity }
            }
            // What a response of only some claims leaves as it was is still as another replica or release has read it.
            Refreshed::Read(identity) => {
                let since = before.tried_since.filter(|_| before.tried_reader.as_ref() == own);
                let tried_since = Some(since.unwrap_or_else(|| self.clock.now()));
                Identity { tried_reader: own.cloned(), tried_since, is_partly_unread: false, ..identity }
            }
        }))
    }

    async fn verify_refreshed(
        &self,
        tokens: &TokenResponse,
        before: &Identity,
        local: LocalVerdict,
    ) -> Result<Refreshed, RefreshVerdict> {
        let mapping = &self.settings.mapping;
        let mut metadata = match self.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return Err(RefreshVerdict::Inconclusive(error)),
        };
        let mut local = local;
        // The provider may have begun to sign otherwise since its metadata were read.
        if let Err(VerifyError::Signature(JoseError::Algorithm(_))) = &local.checked
            && let Some(newer) = self.newer_metadata(&metadata).await
        {
            metadata = newer;
            local = self.verify_refresh_locally(tokens, before);
        }
        let signed = self.signed_claims(&metadata, tokens, before, local).await?;
        let userinfo = match self.fetch_userinfo(&metadata, &tokens.access_token, &before.subject, KeyPurpose::Renewal).await {
            Ok(userinfo) => userinfo,
            Err(ProviderError::OtherSubject) => return Err(RefreshVerdict::SubjectMismatch(ProviderError::OtherSubject)),
            Err(error) => {
                tracing::warn!(
                    oidc.issuer = self.issuer(), %error, "user info could not be read after a token refresh; the identity stays as it was"
                );
                let restricted = signed.map_or_else(|| before.clone(), |signed| mapping.restricted_by(before, &signed));
                return Ok(Refreshed::Unread(restricted));
            }
        };
        let tenant = signed.as_ref().and_then(|signed| metadata.issuer.tenant(signed)).map(str::to_owned);
        // Claims are replaced only as a whole: the ID token alone would remove what only user info has.
        let claims = match (signed, userinfo) {
            (Some(signed), Some(userinfo)) => merge(signed, userinfo, mapping),
            (Some(signed), None) if metadata.userinfo_endpoint.is_none() => {
                let token = &tokens.access_token;
                match self.with_claims_of_new_token(&metadata, signed.clone(), token).await? {
                    Some(claims) => claims,
                    None => return Ok(Refreshed::Unread(mapping.restricted_by(before, &signed))),
                }
            }
            // What only the ID token had stays, because no newer one says otherwise.
            (None, Some(userinfo)) => {
                let userinfo = merge(Claims::new(), userinfo, mapping);
                let claims = self.with_groups_of_graph(&metadata, userinfo, &tokens.access_token).await;
                let reader =
                    if mapping.replaces(before, &claims) { Some(self.claim_reader().clone()) } else { before.reader.clone() };
                return Ok(Refreshed::Read(Identity { reader, ..mapping.updated_by(before, &claims) }));
            }
            (None, None) if metadata.userinfo_endpoint.is_none() => {
                let known = [("sub".to_owned(), before.subject.clone().into())].into_iter().collect();
                let token = &tokens.access_token;
                return Ok(match self.with_claims_of_new_token(&metadata, known, token).await? {
                    Some(claims) => Refreshed::Read(self.without_id_token(before, &claims)),
                    None => Refreshed::Unread(before.clone()),
                });
            }
            (Some(_) | None, None) => {
                return Ok(Refreshed::Read(mapping.completed(before, &Claims::new())));
            }
        };
        let claims = self.with_groups_of_graph(&metadata, claims, &tokens.access_token).await;
        match mapping.identity_after(&before.claims, &claims) {
            Ok(identity) => {
                let (tenant, reader) = (before.tenant.clone().or(tenant), Some(self.claim_reader().clone()));
                let identity = Identity { tenant, reader, ..identity };
                Ok(Refreshed::Read(identity.with_groups_known_before(before)))
            }
            Err(error) => Err(RefreshVerdict::Inconclusive(error.into())),
        }
    }

    /// The claims of the ID token, if there is one, verified with newer keys where they are needed.
    async fn signed_claims(
        &self,
        metadata: &ProviderMetadata,
        tokens: &TokenResponse,
        before: &Identity,
        local: LocalVerdict,
    ) -> Result<Option<Claims>, RefreshVerdict> {
        let checked = match (local.checked, &tokens.id_token) {
            (Err(VerifyError::Signature(error)), Some(token)) if error.may_need_newer_keys() => {
                match self.verify_signature(metadata, token.expose(), &metadata.algorithms, KeyPurpose::Renewal).await {
                    Ok(signed) => {
                        self.validate_id_token(metadata, signed, tokens, Some(before), ExpectedNonce::Unchecked).map(Some)
                    }
                    Err(error) => return Err(RefreshVerdict::Inconclusive(error)),
                }
            }
            (local, _) => local,
        };
        match checked {
            Ok(signed) => Ok(signed.map(JsonObject::once)),
            Err(error @ VerifyError::IdentityMismatch(_)) => Err(RefreshVerdict::SubjectMismatch(error.into())),
            Err(error @ (VerifyError::Signature(_) | VerifyError::OutsideValidity(_) | VerifyError::Refused(_))) => {
                Err(RefreshVerdict::Inconclusive(error.into()))
            }
        }
    }

    /// `known` with the claims of the new access token. `None`: they could not be read, which is logged.
    async fn with_claims_of_new_token(
        &self,
        metadata: &ProviderMetadata,
        known: Claims,
        token: &Secret,
    ) -> Result<Option<Claims>, RefreshVerdict> {
        match self.with_access_token_claims(metadata, known, token, KeyPurpose::Renewal).await {
            Ok(claims) => Ok(Some(claims)),
            Err(ProviderError::OtherSubject) => Err(RefreshVerdict::SubjectMismatch(ProviderError::OtherSubject)),
            Err(error) => {
                tracing::warn!(
                    oidc.issuer = self.issuer(),
                    error = causes(&error),
                    "the access token's claims could not be read after a token refresh; the identity stays as it was"
                );
                Ok(None)
            }
        }
    }

    /// The identity after a token refresh without an ID token, by the claims of the access token. They take back and give nothing,
    /// because those of an ID token, which win, are not there to be asked.
    fn without_id_token(&self, before: &Identity, claims: &Claims) -> Identity {
        let mapping = &self.settings.mapping;
        mapping.restricted_by(&mapping.completed(before, claims), claims)
    }

    /// Verifies the ID token of a login and returns its claims.
    pub(super) async fn verify_login(
        &self,
        metadata: &ProviderMetadata,
        tokens: &TokenResponse,
        nonce: &str,
    ) -> Result<JsonObject, ProviderError> {
        let token = tokens.id_token.as_ref().ok_or(ProviderError::NoIdToken)?;
        let signed = self.verify_signature(metadata, token.expose(), &metadata.algorithms, KeyPurpose::Login).await?;
        let claims = self.validate_id_token(metadata, signed, tokens, None, ExpectedNonce::Exactly(nonce))?;
        if let Some(max_age) = self.settings.max_age() {
            id_token::check_max_age(&claims, max_age, self.clock.now())?;
        }
        Ok(claims)
    }

    fn validate_id_token(
        &self,
        metadata: &ProviderMetadata,
        signed: Result<(JsonObject, Algorithm), JoseError>,
        tokens: &TokenResponse,
        before: Option<&Identity>,
        nonce: ExpectedNonce<'_>,
    ) -> Result<JsonObject, VerifyError> {
        let (token, algorithm) = signed?;
        let expected = Expected {
            issuer: &metadata.issuer,
            client_id: self.client_id(),
            subject: before.map(|before| before.subject.as_str()),
            tenant: before.and_then(|before| before.tenant.as_deref()),
            nonce,
            access_token: tokens.access_token.expose(),
            algorithm,
            now: self.clock.now(),
        };
        id_token::validate_claims(&token, expected)?;
        self.record_signing_algorithm(algorithm);
        Ok(token)
    }
}
