//! Builds the providers, and what belongs to each.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::task::TaskTracker;

use super::foundations::Foundations;
use crate::{
    clock::Clock,
    config::{Checked, ProviderSettings},
    oidc::{Provider, Providers},
    policy::{Policies, ProviderPolicy},
    sign_in::{LoginParts, SignIn, SignIns},
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

/// The logins at these providers.
pub(super) fn sign_ins(
    settings: &Checked,
    foundations: &Foundations,
    providers: &Providers,
    tasks: &TaskTracker,
) -> anyhow::Result<SignIns> {
    let parts = Arc::new(LoginParts {
        prefix: settings.gateway.prefix.clone(),
        sites: settings.gateway.exchange.sites.clone(),
        shares_login: settings.gateway.shares_login,
        login_site: settings.gateway.login_site(),
        cookies: settings.gateway.exchange.cookies.clone(),
        marks_browsers: false,
        sessions: settings.session.clone(),
        providers: providers.clone(),
        store: foundations.store.clone(),
        store_wait: foundations.timings.login_store_wait,
        return_tos: Arc::default(),
        turns: Arc::default(),
        tasks: tasks.clone(),
        keys: foundations.keys.clone(),
        clock: foundations.clock.clone(),
    });
    let sign_in = |(provider, own): (&Arc<Provider>, &ProviderSettings)| SignIn {
        parts: Arc::clone(&parts),
        provider: Arc::clone(provider),
        redirect_uris: settings.gateway.callback_uris(provider.name()),
        text: own.text.clone(),
        email_domains: own.email_domains.clone(),
        policy: own.policy.clone(),
        metrics: foundations.metrics.of_provider(provider.name()),
        refresh_tokens: Arc::default(),
        exchanges: Arc::default(),
    };
    let mut all = providers.iter().zip(settings.providers()).map(sign_in);
    let first = all.next().context("there is no provider")?;
    Ok(SignIns::new(first, all.collect()))
}
