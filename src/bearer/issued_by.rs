//! Who has issued a token, and verifies it.

use std::sync::Arc;

use crate::{
    identity::Identity,
    oidc::{Provider, TokenIssuer},
    policy::AcceptedTokens,
    session::{UserKey, UserName},
};

/// Who has issued a token, and verifies it.
#[derive(Clone, Debug)]
pub(super) enum IssuedBy {
    /// A provider, at which users log in.
    Provider(Arc<Provider>),
    /// An issuer at which nobody does.
    Issuer(Arc<TokenIssuer>),
}

impl IssuedBy {
    /// Whether a route takes its tokens.
    pub(super) fn is_taken_by(&self, accepted: &AcceptedTokens) -> bool {
        match self {
            Self::Provider(provider) => accepted.takes_provider(provider.name()),
            Self::Issuer(issuer) => accepted.issuers.iter().any(|name| name == issuer.name()),
        }
    }

    /// What apps are told of it.
    pub(super) fn issuer(&self) -> &str {
        match self {
            Self::Provider(provider) => provider.issuer(),
            Self::Issuer(issuer) => issuer.name(),
        }
    }

    /// By what the user of a token may be ended; nothing where nobody logs in.
    pub(super) fn names_of(&self, identity: &Identity) -> Arc<[UserName]> {
        let of = |provider: &Arc<Provider>| UserKey::names(identity, &provider.registrations()).into();
        self.provider().map(of).unwrap_or_default()
    }

    /// The provider, if it is one.
    pub(super) fn provider(&self) -> Option<&Arc<Provider>> {
        match self {
            Self::Provider(provider) => Some(provider),
            Self::Issuer(_) => None,
        }
    }
}
