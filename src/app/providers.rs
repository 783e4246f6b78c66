//! Builds the providers, and what belongs to each.

use std::sync::Arc;

use crate::{
    clock::Clock,
    config::{Checked, ProviderSettings},
    oidc::{Provider, Providers},
    policy::{Policies, Policy, ProviderPolicy},
    sign_in::{SignIn, SignIns},
};

/// The providers, none of which is called yet.
///
/// # Errors
/// A client's private key, or a certificate towards a provider, cannot be used.
pub(super) fn providers(settings: &Checked, clock: &Clock) -> anyhow::Result<Providers> {
    let build = |provider: &ProviderSettings| -> anyhow::Result<Arc<Provider>> {
        if provider.trust.client_certificate.is_some() {
            provider.trust.warn_of_validity(clock.now());
        }
        Ok(Arc::new(Provider::new(provider.oidc.clone(), provider.trust.client_config()?, clock.clone())?))
    };
    let further = settings.further_providers.iter().map(build).collect::<anyhow::Result<_>>()?;
    Ok(Providers::new(build(&settings.provider)?, further))
}

/// The policies for the users of each provider.
pub(super) fn policies(settings: &Checked) -> Policies {
    Policies::new(settings.providers().map(|provider| ProviderPolicy {
        issuer: provider.oidc.issuer.clone(),
        client_id: provider.oidc.client_id.clone(),
        policy: provider.policy.clone(),
    }))
}

/// The logins at each provider, as `build` makes them.
pub(super) fn sign_ins(
    providers: &Providers,
    policies: &Policies,
    build: impl Fn(&Arc<Provider>, Policy) -> SignIn,
) -> anyhow::Result<SignIns> {
    let mut all = Vec::new();
    for provider in providers.iter() {
        // Without its policy nobody would be kept out.
        let policy = policies.of(provider.issuer(), provider.client_id());
        let policy = policy.ok_or_else(|| anyhow::anyhow!("the provider {} has no policy", provider.name()))?;
        all.push(build(provider, policy.clone()));
    }
    let first = if all.is_empty() { None } else { Some(all.remove(0)) };
    Ok(SignIns::new(first.ok_or_else(|| anyhow::anyhow!("there is no provider"))?, all))
}
