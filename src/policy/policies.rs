//! The policies for every user, one for each provider.

use std::sync::Arc;

use super::Policy;

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

impl Policies {
    /// The policies of all providers.
    pub fn new(policies: impl IntoIterator<Item = ProviderPolicy>) -> Self {
        Self(policies.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|of| &of.policy)
    }

    /// The policy for the users of the provider that has given grants with this issuer and client ID. Nobody else's user is admitted.
    pub fn of(&self, issuer: &str, client_id: &str) -> Option<&Policy> {
        match &*self.0 {
            // Whether the grant is of the only provider is asked where it is used.
            [only] => Some(&only.policy),
            several => several.iter().find(|of| of.issuer == issuer && of.client_id == client_id).map(|of| &of.policy),
        }
    }
}
