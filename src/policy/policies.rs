//! The policies for every user, one for each provider.

use std::sync::Arc;

use super::Policy;

use crate::client_registration::ClientRegistration;

/// The policy for every user of each provider.
#[derive(Clone, Debug)]
pub struct Policies(Arc<[ProviderPolicy]>);

/// The policy for every user of one provider.
#[derive(Clone, Debug)]
pub struct ProviderPolicy {
    /// The issuer identifier of the provider.
    pub issuer: String,
    /// The client ID at the provider.
    pub client_id: String,
    /// The policy.
    pub policy: Policy,
}

impl ProviderPolicy {
    fn registration(&self) -> ClientRegistration<'_> {
        ClientRegistration { issuer: &self.issuer, client_id: &self.client_id }
    }
}

impl Policies {
    /// The policies of all providers.
    pub fn new(policies: impl IntoIterator<Item = ProviderPolicy>) -> Self {
        Self(policies.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|of| &of.policy)
    }

    /// The policy for the users of the provider that has given grants of this registration. Nobody else's user is admitted.
    pub fn of(&self, registration: ClientRegistration<'_>) -> Option<&Policy> {
        match &*self.0 {
            // Whether the grant is of the only provider is asked where it is used.
            [only] => Some(&only.policy),
            several => several.iter().find(|of| of.registration() == registration).map(|of| &of.policy),
        }
    }
}
