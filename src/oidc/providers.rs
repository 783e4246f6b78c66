//! All providers at which users log in.

use std::sync::Arc;

use serde_json::Value;

use super::{Provider, VerifyError};
use crate::{
    client_registration::ClientRegistration,
    jose::{JsonObject, SignedToken},
};

/// The providers, of which there is one at least. A user is known by the issuer and the subject, and a grant belongs to the provider
/// that it names by issuer and client ID: its tokens are sent to no other.
#[derive(Clone, Debug)]
pub struct Providers {
    first: Arc<Provider>,
    further: Arc<[Arc<Provider>]>,
}

impl Providers {
    /// The providers in the order of the settings.
    pub fn new(first: Arc<Provider>, further: Vec<Arc<Provider>>) -> Self {
        Self { first, further: further.into() }
    }

    /// Whether discovery has succeeded at all of them.
    pub fn are_ready(&self) -> bool {
        self.iter().all(|provider| provider.is_ready())
    }

    /// Whether the first discovery of any is still under way ([`Provider::is_about_to_be_known`]).
    pub fn are_about_to_be_known(&self) -> bool {
        self.iter().any(|provider| provider.is_about_to_be_known())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        std::iter::once(&self.first).chain(self.further.iter())
    }

    /// The only one, if there is one.
    pub fn only(&self) -> Option<&Arc<Provider>> {
        self.further.is_empty().then_some(&self.first)
    }

    /// The provider that grants of this registration are of.
    pub fn of(&self, registration: ClientRegistration<'_>) -> Option<&Arc<Provider>> {
        self.iter().find(|provider| provider.registration() == registration)
    }

    /// The provider that grants of this registration are of, or that Evergate is another client of by now.
    pub fn successor_of(&self, registration: ClientRegistration<'_>) -> Option<&Arc<Provider>> {
        self.of(registration).or_else(|| self.iter().find(|provider| provider.registrations().include(registration)))
    }

    /// Tells each provider which clients Evergate was there, as `lineage` has it. One that another provider of the settings is, is no
    /// former one.
    pub fn follow<'a>(&self, lineage: impl Fn(ClientRegistration<'_>) -> Vec<&'a str>) {
        for provider in self.iter() {
            let mut clients = lineage(provider.registration());
            clients.retain(|client_id| self.of(ClientRegistration { issuer: provider.issuer(), client_id }).is_none());
            provider.follow(&clients);
        }
    }

    /// The provider that a logout token says it is of, by `iss` and `aud`. Nothing of it is verified. The only provider is to say what is
    /// wrong with a token that is of none.
    pub fn of_logout_token(&self, token: &str) -> Option<&Arc<Provider>> {
        if let Some(only) = self.only() {
            return Some(only);
        }
        let parsed = SignedToken::parse(token).ok()?;
        let claims = parsed.unverified();
        let is_client =
            |provider: &Arc<Provider>, audience: &str| provider.registrations().client_ids().any(|own| own == audience);
        let is_for = |provider: &&Arc<Provider>| match claims.members.get("aud") {
            Some(Value::String(audience)) => is_client(provider, audience),
            Some(Value::Array(audiences)) => {
                audiences.iter().filter_map(Value::as_str).any(|audience| is_client(provider, audience))
            }
            Some(_) | None => false,
        };
        self.iter().filter(|provider| provider.may_have_issued(claims)).find(is_for)
    }

    /// The provider that has signed a request or an event, as far as that says itself, by `iss`. Nothing of it is verified.
    ///
    /// # Errors
    /// It is none that a provider could have signed.
    pub fn of_event(&self, token: &str) -> Result<&Arc<Provider>, VerifyError> {
        let parsed = SignedToken::parse(token)?;
        let issuer = parsed.unverified().members.get("iss").and_then(Value::as_str).unwrap_or_default();
        let of_issuer = self.iter().find(|provider| provider.is_event_issuer(issuer));
        of_issuer.ok_or(VerifyError::Refused("its iss is no provider's"))
    }

    /// The providers of the issuer that an access token says it is of.
    pub fn of_access_token<'a>(&'a self, claims: &'a JsonObject) -> impl Iterator<Item = &'a Arc<Provider>> {
        self.iter().filter(|provider| provider.may_have_issued(claims))
    }
}

impl Provider {
    /// Whether a token that is not verified says that this provider has issued it. A provider whose tokens may have any issuer is asked
    /// only for what names the configured one: it must not take what is another's.
    fn may_have_issued(&self, claims: &JsonObject) -> bool {
        match self.metadata() {
            Ok(metadata) if metadata.issuer.is_checked() => metadata.issuer.is_of(claims),
            Ok(_) | Err(_) => claims.members.get("iss").and_then(Value::as_str) == Some(self.issuer()),
        }
    }
}
