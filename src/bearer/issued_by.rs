//! Who has issued a token, and verifies it.

use std::sync::Arc;

use crate::{
    oidc::{AccessToken, Provider, TokenIssuer},
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

    /// By what the user of a token may be ended; nothing where nobody logs in. An access token may name its user otherwise than ID tokens do:
    /// as Okta's, whose `sub` is the login.
    pub(super) fn names_of(&self, token: &AccessToken) -> Arc<[UserName]> {
        let Some(provider) = self.provider() else { return Arc::default() };
        let (subject, other, registrations) = (&token.identity.subject, &token.other_names, provider.registrations());
        let mut keys = UserKey::all_of(&token.identity);
        let mut add = |key| {
            if !keys.contains(&key) {
                keys.push(key);
            }
        };
        // An identifier may be what another user has chosen as a name: it is a login where the token has the identifier besides, or if it
        // is an address.
        let login = Some(subject).filter(|subject| other.subject.is_some() || subject.contains('@'));
        login.into_iter().chain(&other.login).flat_map(|login| UserKey::of_login(login)).for_each(&mut add);
        other.subject.iter().cloned().map(UserKey::Subject).for_each(&mut add);
        let subjects = std::iter::once(subject).chain(&other.subject);
        let tokens = subjects.flat_map(|subject| UserKey::token_names(subject, &registrations));
        UserKey::each_name(&keys, &registrations).into_iter().chain(tokens).collect()
    }

    /// The provider, if it is one.
    pub(super) fn provider(&self) -> Option<&Arc<Provider>> {
        match self {
            Self::Provider(provider) => Some(provider),
            Self::Issuer(_) => None,
        }
    }
}
