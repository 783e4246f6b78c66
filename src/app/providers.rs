//! Builds the providers, and what belongs to each.

use std::sync::Arc;

use anyhow::Context;

use crate::{
    clock::Clock,
    config::{Checked, ProviderSettings},
    oidc::{Provider, Providers},
    policy::{Policies, ProviderPolicy},
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

/// The logins at each provider, as `build` makes them of it and its settings.
pub(super) fn sign_ins(
    settings: &Checked,
    providers: &Providers,
    build: impl Fn(&Arc<Provider>, &ProviderSettings) -> SignIn,
) -> anyhow::Result<SignIns> {
    let mut all = providers.iter().zip(settings.providers()).map(|(provider, settings)| build(provider, settings));
    let first = all.next().context("there is no provider")?;
    Ok(SignIns::new(first, all.collect()))
}
