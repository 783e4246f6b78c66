//! The logins at all providers.

use std::sync::Arc;

use super::{SignIn, attempt::Attempt, authorization_response::AuthorizationResponse};
use crate::grant::Grant;

/// The login workflow of each provider, of which there is one at least.
#[derive(Clone, Debug)]
pub struct SignIns {
    first: Arc<SignIn>,
    further: Arc<[Arc<SignIn>]>,
}

impl SignIns {
    /// The workflows in the order of the settings.
    pub fn new(first: SignIn, further: Vec<SignIn>) -> Self {
        Self { first: Arc::new(first), further: further.into_iter().map(Arc::new).collect() }
    }

    /// The workflows with each changed in the same way.
    #[must_use]
    pub fn map(&self, change: impl Fn(&SignIn) -> SignIn) -> Self {
        Self::new(change(&self.first), self.further.iter().map(|sign_in| change(sign_in)).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SignIn>> {
        std::iter::once(&self.first).chain(self.further.iter())
    }

    /// The first. What is the same at all providers can be asked of it.
    pub fn first(&self) -> &Arc<SignIn> {
        &self.first
    }

    /// The only one, if there is one.
    pub fn only(&self) -> Option<&Arc<SignIn>> {
        self.further.is_empty().then_some(&self.first)
    }

    /// The login at the provider of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<SignIn>> {
        self.iter().find(|sign_in| sign_in.provider.name() == name)
    }

    /// The login at the provider that a grant is of.
    pub fn of(&self, grant: &Grant) -> Option<&Arc<SignIn>> {
        match self.only() {
            Some(only) => Some(only),
            None => self.iter().find(|sign_in| sign_in.provider.has_given(grant)),
        }
    }

    /// The login that `query`, which a provider has sent a browser back with, is the response to. The sealed `state` alone says which
    /// provider that is (RFC 9700 section 4.4). Without one of ours it is the first, which says what is wrong.
    pub fn of_response(&self, query: &str) -> &Arc<SignIn> {
        let attempt =
            AuthorizationResponse::parse(query).ok().and_then(|response| Attempt::open(&self.first.keys, &response.state));
        let named = attempt.and_then(|attempt| self.named(attempt.provider()));
        named.unwrap_or(&self.first)
    }
}
